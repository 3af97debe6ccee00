#ifndef LOGGER_STREAM_H
#define LOGGER_STREAM_H

/*
 * A stream is a name ("web:0", "web:0/err") with a sink. Its pipes come from
 * the guardian: one, or two for a while when a name is used again before
 * the old pipe has come to its end.
 *
 * Pipes lie in an epoll of their own, edge-triggered: what is written while
 * nobody looks costs no wake-up, and a pipe without writers reports that
 * once. A pipe in the ready list may have bytes; one that is in no list says so
 * by an edge.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisord/base/list.h"
#include "supervisord/logger/last.h"
#include "supervisord/logger/names.h"
#include "supervisord/proto/messages.h"

struct sink;

struct stream {
	struct names_node node;
	struct list of_sink; /* sink->streams */
	struct list pipes;
	struct list tell;  /* among those whose state the master should hear */
	struct sink *sink; /* NULL: not said yet, the pipes hold the bytes */
	uint64_t dropped;  /* bytes, since the master was last told */
	struct last_mark exit; /* the end of the last process's output */
	bool gone;             /* SINK_DROP: freed with its last pipe */
	char name[PROTO_NAME];
};

struct pipe {
	struct list ready;
	struct list of_stream;
	struct stream *stream;
	uint64_t id;
	int64_t wait; /* ns: how long it takes to fill about half */
	int fd;
	uint32_t capacity;
	bool dropped; /* PIPE_DROP: closed when empty and without writers */
	bool no_grow;
};

int stream_init(void);   /* 0 or -errno */
int stream_poller(void); /* descriptor: readable when pipes are */
size_t stream_pipes(void);

/* Takes the descriptor, also when it fails. */
int stream_add_pipe(uint64_t id, const char *name, int fd);
void stream_drop_pipe(uint64_t id, const char *name);
int stream_set_sink(const struct msg_sink *m, const char *path);
void stream_drop_sink(const char *name);
struct stream *stream_find(const char *name);

/* Asks the poller which pipes have news. */
void stream_collect(void);
bool stream_ready(void);
/*
 * One turn: every ready pipe gives at most a fixed number of bytes. Returns
 * when to look again: 0 at once, -1 when a pipe says so, else nanoseconds.
 */
int64_t stream_round(void);
/* Empties one stream's pipes, within reason. */
void stream_drain(struct stream *s);
/* Empties all until the deadline. */
void stream_drain_all(int64_t deadline);
/* Puts every pipe that goes to this sink into the ready list. */
void stream_wake(struct sink *sink);

/* No guardian: a pipe at its end will have no new writer. */
void stream_orphaned(void);
/* For each pipe, those dropped first; stops at the first non-zero answer. */
int stream_each_pipe(size_t from, int (*call)(struct pipe *p));

/* No writer is left, and no byte. */
bool pipe_at_end(const struct pipe *p);

/* What the master should hear (SINK_STATE), to be sent by peer.c. */
void stream_tell(struct sink *sink);
void stream_tell_all_broken(void);
struct stream *stream_to_tell(void); /* the first, or NULL */

#endif
