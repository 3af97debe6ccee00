#include "supervisord/logger/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/logger/sink.h"

#define BUDGET     (1 << 20) /* bytes a pipe may give in one turn */
#define LARGE_PIPE (1 << 20)
#define GROWN_MAX                                                              \
	(64 << 20) /* of all pipes together, beyond their first size */
#define WAIT_MAX    (3 * NS_PER_MS)
#define WAIT_MIN    (50 * 1000LL) /* less than a timer is worth: at once */
#define DRAIN_LIMIT (16 << 20)

static struct names streams;
static struct list ready = { &ready, &ready };
static struct list to_tell = { &to_tell, &to_tell };
static int poller = -1;
static size_t pipes;
static uint64_t grown;
static bool orphaned;

int
stream_init(void)
{
	poller = epoll_create1(EPOLL_CLOEXEC);
	return poller < 0 ? -errno : 0;
}

int
stream_poller(void)
{
	return poller;
}

size_t
stream_pipes(void)
{
	return pipes;
}

bool
stream_ready(void)
{
	return !list_empty(&ready);
}

struct stream *
stream_find(const char *name)
{
	struct names_node *n = names_find(&streams, name);

	return n != NULL ? CONTAINER_OF(n, struct stream, node) : NULL;
}

static struct stream *
find_or_make(const char *name)
{
	struct stream *s = stream_find(name);

	if (s != NULL)
		return s;
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	snprintf(s->name, sizeof s->name, "%s", name);
	list_init(&s->of_sink);
	list_init(&s->pipes);
	list_init(&s->tell);
	if (names_add(&streams, &s->node, s->name) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

static void
free_if_gone(struct stream *s)
{
	if (!list_empty(&s->pipes) || (s->sink != NULL && !s->gone))
		return;
	names_remove(&streams, &s->node);
	list_remove(&s->of_sink);
	list_remove(&s->tell);
	if (s->sink != NULL)
		sink_release(s->sink);
	free(s);
}

static void
mark_ready(struct pipe *p)
{
	if (!list_linked(&p->ready))
		list_append(&ready, &p->ready);
}

/* --- pipes ------------------------------------------------------------------
 */

int
stream_add_pipe(uint64_t id, const char *name, int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	struct stream *s = find_or_make(name);
	struct pipe *p = calloc(1, sizeof *p);
	struct list *l, *tmp;
	int err = ENOMEM, size;

	if (s == NULL || p == NULL)
		goto failed;
	LIST_FOREACH(l, tmp, &s->pipes) {
		if (LIST_ENTRY(l, struct pipe, of_stream)->id == id) {
			err = EEXIST;
			goto failed;
		}
	}
	size = fcntl(fd, F_GETPIPE_SZ);
	p->id = id;
	p->fd = fd;
	p->stream = s;
	p->wait = WAIT_MAX;
	p->capacity = size > 0 ? (uint32_t)size : 65536;
	if (p->capacity > 65536)
		grown += p->capacity;
	list_init(&p->ready);
	e.data.ptr = p;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0) {
		err = errno;
		if (p->capacity > 65536)
			grown -= p->capacity;
		goto failed;
	}
	list_append(&s->pipes, &p->of_stream);
	pipes++;
	sinks_make_room(0);
	return 0;
failed:
	if (s != NULL)
		free_if_gone(s);
	free(p);
	close(fd);
	return -err;
}

static void
pipe_free(struct pipe *p)
{
	struct stream *s = p->stream;

	close(p->fd); /* the epoll forgets it: nobody else in here has it */
	if (p->capacity > 65536)
		grown -= p->capacity;
	list_remove(&p->ready);
	list_remove(&p->of_stream);
	free(p);
	pipes--;
	free_if_gone(s);
}

bool
pipe_at_end(const struct pipe *p)
{
	struct pollfd f = { .fd = p->fd, .events = POLLIN };

	return poll(&f, 1, 0) == 1 && (f.revents & POLLHUP) != 0 &&
	       (f.revents & POLLIN) == 0;
}

void
stream_drop_pipe(uint64_t id, const char *name)
{
	struct stream *s = stream_find(name);
	struct list *l, *tmp;

	if (s == NULL)
		return;
	LIST_FOREACH(l, tmp, &s->pipes) {
		struct pipe *p = LIST_ENTRY(l, struct pipe, of_stream);

		if (p->id != id)
			continue;
		p->dropped = true;
		mark_ready(p);
		return;
	}
}

int
stream_each_pipe(size_t from, int (*call)(struct pipe *p))
{
	size_t at = 0;

	for (int dropped = 1; dropped >= 0; dropped--) {
		for (size_t i = 0; i < streams.size; i++) {
			struct names_node *n;

			for (n = streams.rows[i]; n != NULL; n = n->next) {
				struct stream *s =
				    CONTAINER_OF(n, struct stream, node);
				struct list *l, *tmp;

				LIST_FOREACH(l, tmp, &s->pipes) {
					struct pipe *p = LIST_ENTRY(
					    l, struct pipe, of_stream);
					int r;

					if (p->dropped != dropped ||
					    at++ < from)
						continue;
					r = call(p);
					if (r != 0)
						return r;
				}
			}
		}
	}
	return 0;
}

static int
wake_pipe(struct pipe *p)
{
	mark_ready(p);
	return 0;
}

void
stream_orphaned(void)
{
	orphaned = true;
	stream_each_pipe(0, wake_pipe);
}

/* --- sinks ------------------------------------------------------------------
 */

int
stream_set_sink(const struct msg_sink *m, const char *path)
{
	struct stream *s = find_or_make(m->name);
	struct sink *sink;
	struct list *l, *tmp;

	if (s == NULL)
		return -ENOMEM;
	/* So far nothing of its pipes is in there. */
	if (s->sink == NULL && m->kind == SINK_FILE &&
	    (m->flags & SINK_FRESH) != 0)
		last_mark(path, &s->exit);
	sink = sink_take(m, path);
	if (sink == NULL) {
		free_if_gone(s);
		return -ENOMEM;
	}
	s->gone = false;
	if (s->sink == sink) {
		sink_release(sink);
		return 0;
	}
	list_remove(&s->of_sink);
	list_append(&sink->streams, &s->of_sink);
	if (s->sink != NULL) {
		/* The master believes the stream broken: the new file is not,
		 * or not yet. */
		if ((s->sink->error != 0) != (sink->error != 0) &&
		    !list_linked(&s->tell))
			list_append(&to_tell, &s->tell);
		sink_release(s->sink);
	}
	s->sink = sink;
	LIST_FOREACH(l, tmp, &s->pipes)
		mark_ready(LIST_ENTRY(l, struct pipe, of_stream));
	return 0;
}

void
stream_drop_sink(const char *name)
{
	struct stream *s = stream_find(name);

	if (s == NULL)
		return;
	s->gone = true;
	free_if_gone(s);
}

void
stream_wake(struct sink *sink)
{
	struct list *l, *tmp, *k, *ktmp;

	LIST_FOREACH(l, tmp, &sink->streams) {
		struct stream *s = LIST_ENTRY(l, struct stream, of_sink);

		LIST_FOREACH(k, ktmp, &s->pipes)
			mark_ready(LIST_ENTRY(k, struct pipe, of_stream));
	}
}

void
stream_tell(struct sink *sink)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &sink->streams) {
		struct stream *s = LIST_ENTRY(l, struct stream, of_sink);

		if (!list_linked(&s->tell))
			list_append(&to_tell, &s->tell);
	}
}

void
stream_tell_all_broken(void)
{
	for (size_t i = 0; i < streams.size; i++) {
		struct names_node *n;

		for (n = streams.rows[i]; n != NULL; n = n->next) {
			struct stream *s = CONTAINER_OF(n, struct stream, node);

			if (s->sink != NULL && s->sink->error != 0 &&
			    !list_linked(&s->tell))
				list_append(&to_tell, &s->tell);
		}
	}
}

struct stream *
stream_to_tell(void)
{
	return list_empty(&to_tell)
		   ? NULL
		   : LIST_ENTRY(to_tell.next, struct stream, tell);
}

/* --- turns ------------------------------------------------------------------
 */

void
stream_collect(void)
{
	struct epoll_event events[256];
	int n;

	do {
		n = epoll_wait(poller, events, N_ELEMENTS(events), 0);
		for (int i = 0; i < n; i++)
			mark_ready(events[i].data.ptr);
	} while (n == N_ELEMENTS(events));
}

/* More room means fewer turns for the same bytes. */
static void
grow(struct pipe *p)
{
	int size = (int)p->capacity * 4;

	if (size > LARGE_PIPE)
		size = LARGE_PIPE;
	if (p->no_grow || size <= (int)p->capacity ||
	    grown + (uint64_t)size > GROWN_MAX)
		return;
	size = fcntl(p->fd, F_SETPIPE_SZ, size);
	if (size < 0) {
		p->no_grow = true; /* EPERM: over pipe-user-pages-soft */
		return;
	}
	if (p->capacity > 65536)
		grown -= p->capacity;
	if (size > 65536)
		grown += (uint64_t)size;
	p->capacity = (uint32_t)size;
}

/* The wait is steered so that a busy pipe is found about half full. */
static void
adapt(struct pipe *p, size_t moved)
{
	if (moved >= p->capacity / 2) {
		grow(p);
		p->wait = p->wait / 2 < WAIT_MIN ? 0 : p->wait / 2;
	} else if (moved < p->capacity / 4) {
		p->wait = p->wait == 0 ? WAIT_MIN : p->wait * 3 / 2;
		if (p->wait > WAIT_MAX)
			p->wait = WAIT_MAX;
	}
}

/* Returns true if there is more to be had now. Adds to *ret_moved. */
static bool
drain(struct pipe *p, size_t budget, size_t *ret_moved)
{
	size_t moved = 0;
	bool more = false;

	if (p->stream->sink == NULL)
		return false;
	for (;;) {
		int avail = 0;
		ssize_t n;

		if (moved >= budget) {
			more = true;
			break;
		}
		if (ioctl(p->fd, FIONREAD, &avail) < 0 || avail <= 0)
			break;
		n = sink_move(
		    p->stream->sink, p, (size_t)avail, budget - moved);
		if (n < 0)
			break;
		moved += (size_t)n;
		/* What came meanwhile has made an edge. */
		if (n == avail)
			break;
	}
	*ret_moved += moved;
	return more;
}

static bool
finished(const struct pipe *p)
{
	return (p->dropped || orphaned) && pipe_at_end(p);
}

int64_t
stream_round(void)
{
	struct list turn, *l, *tmp;
	int64_t wait = -1;

	if (list_empty(&ready))
		return -1;
	/* The list as it is now; who comes in meanwhile has the next turn. */
	list_init(&turn);
	list_insert_before(ready.next, &turn);
	list_remove(&ready);
	LIST_FOREACH(l, tmp, &turn) {
		struct pipe *p = LIST_ENTRY(l, struct pipe, ready);
		size_t moved = 0;
		bool more;

		list_remove(&p->ready);
		more = drain(p, BUDGET, &moved);
		if (more)
			mark_ready(p);
		else if (finished(p)) {
			pipe_free(p);
			continue;
		}
		adapt(p, moved);
		if ((moved >= p->capacity / 8 || p->wait < WAIT_MAX) &&
		    (wait < 0 || p->wait < wait))
			wait = p->wait;
	}
	return list_empty(&ready) ? wait : 0;
}

void
stream_drain(struct stream *s)
{
	struct list *l, *tmp;
	size_t moved = 0;

	LIST_FOREACH(l, tmp, &s->pipes) {
		struct pipe *p = LIST_ENTRY(l, struct pipe, of_stream);

		if (drain(p, DRAIN_LIMIT, &moved))
			mark_ready(p);
	}
}

void
stream_drain_all(int64_t deadline)
{
	stream_each_pipe(0, wake_pipe);
	do {
		stream_collect();
	} while (stream_round() >= 0 && clock_mono() < deadline);
}
