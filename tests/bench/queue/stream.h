#ifndef BENCH_QUEUE_STREAM_H
#define BENCH_QUEUE_STREAM_H

/* Frames of the protocol over a socket, with buffers on both sides. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/proto/wire.h"

#define ROOM (1U << 20)

struct stream {
	int fd;
	char *in, *out;
	size_t in_size, out_size, out_room;
};

void stream_init(struct stream *s, int fd);
void put(
    struct stream *s, uint8_t type, uint64_t id, const void *body, uint32_t n);
/* Sends what the socket takes. */
void flush(struct stream *s);
/* Reads what is there; false at the end. */
bool fill(struct stream *s);
/* The next whole frame of what was read, from *at on. */
bool next(struct stream *s, size_t *at, struct wire_head *h, const char **body);
/* The frames up to at are done with. */
void took(struct stream *s, size_t at);
/* Until it can be read, or written if there is something to write. */
void wait_for(struct stream *s);

int64_t now_us(void);
void die(const char *what) __attribute__((noreturn));

#endif
