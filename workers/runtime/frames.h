#ifndef RUNTIME_FRAMES_H
#define RUNTIME_FRAMES_H

/*
 * Frames out of a stream of bytes: what comes from the task socket goes in at
 * one end, whole bodies (pieces put together) come out at the other.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/base/buf.h"
#include "supervisord/proto/wire.h"

struct frames {
	uint8_t *data;
	size_t from, to, room; /* data[from..to) has not been looked at */
	struct buf series;     /* the pieces so far */
	uint64_t series_id;
	bool in_series;
};

struct frame {
	struct wire_head head; /* size: of the whole body */
	const uint8_t *body;   /* until the next call */
};

/* A TASK's body, taken apart. All borrowed from the frame. */
struct frame_task {
	uint64_t id;
	uint32_t attempt, timeout_ms, missed;
	const char *func; /* func_size bytes, no NUL */
	size_t func_size;
	const uint8_t *payload;
	size_t size;
	bool is_json;
};

int frames_init(struct frames *f); /* 0 or -ENOMEM */
void frames_done(struct frames *f);

/* Where to read to, and how much there is room for: never 0. */
void *frames_room(struct frames *f, size_t *ret_room);
void frames_fill(struct frames *f, size_t n); /* so many have been read */

/*
 * 1 and a frame, 0 when more has to be read, -EPROTO when what comes is no
 * frame, -ENOMEM.
 */
int frames_next(struct frames *f, struct frame *ret);

/* 0, or -EPROTO when it is too short for what it says or too long. */
int frames_task(const struct frame *frame, struct frame_task *ret);

#endif
