#ifndef LOGGER_SINK_H
#define LOGGER_SINK_H

/*
 * Where bytes go. Sinks are found by their path, so two streams that name one
 * file share one sink and are appended in turn. Files are opened with the first
 * bytes and at most so many are kept open as descriptors are left.
 *
 * A sink that can't be written is broken: its pipes hold the bytes, every
 * second it is tried again; after ten seconds what arrives is dropped and
 * counted, so that a full disk does not stop a worker for ever.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"
#include "supervisord/logger/names.h"
#include "supervisord/proto/messages.h"

struct pipe;

struct sink {
	struct names_node node;
	struct list lru;     /* while open */
	struct list broken;  /* while broken, by retry_at */
	struct list pack;    /* while rotated files wait to be compressed */
	struct list streams; /* that use it */
	char *key;           /* a file's path; "\1..." for what is no file */
	int fd, pos;         /* -1: closed. pos: see stamp.c */
	uint32_t kind, flags, keep;
	uint32_t pack_index; /* FILE.n being compressed now; 0: none */
	int64_t max_size;
	int64_t size; /* of the file, as of the last look */
	dev_t dev;
	ino_t ino;
	int error; /* errno while broken, else 0 */
	bool retrying, regular, guarded, blocked, mid_line;
	int64_t broken_since, retry_at;
	int64_t rotate_after; /* rotation failed: not tried before this time */
	uint64_t lost;        /* bytes dropped since it broke */
	uint64_t staged_done; /* see stamp.c */
	struct buf out;       /* formatted, not yet written (flow.c) */
};

int sinks_init(void); /* 0 or -errno */

/* The sink for a message, its settings brought up to date; a reference. */
struct sink *sink_take(const struct msg_sink *m, const char *path);
void sink_release(struct sink *s);

/*
 * Moves bytes of the pipe, which has avail, into the sink: how many; 0: try
 * again; -EAGAIN: not now (the sink sees to it that the pipe is woken).
 */
ssize_t sink_move(struct sink *s, struct pipe *p, size_t avail, size_t budget);

int sink_open(struct sink *s);
void sink_close(struct sink *s);
void sinks_reopen(void);
/* Closes all and removes what only helps a killed logger's successor. */
void sinks_finish(void);
/* Closes files until there is room for `more` descriptors. */
void sinks_make_room(size_t more);
void sinks_retry(int64_t now);
int64_t sinks_next_retry(void); /* CLOCK_MONOTONIC ns, or INT64_MAX */
/* "/var/log/x.log", "syslog", "stderr" */
const char *sink_words(const struct sink *s);

#endif
