#include "supervisord/logger/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/logger/file.h"
#include "supervisord/logger/flow.h"
#include "supervisord/logger/pack.h"
#include "supervisord/logger/peek.h"
#include "supervisord/logger/stamp.h"
#include "supervisord/logger/stream.h"

#define RETRY      NS_PER_SEC
#define DROP_AFTER (10 * NS_PER_SEC)
#define SLACK      64 /* descriptors for everything that is no pipe or log */

static struct names sinks;
static struct list lru = { &lru, &lru };          /* oldest first */
static struct list broken = { &broken, &broken }; /* by retry_at */
static size_t open_count, descriptors = 1024;

int
sinks_init(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return -errno;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
		(void)getrlimit(RLIMIT_NOFILE, &r);
	}
	descriptors = MIN_OF(r.rlim_cur, (rlim_t)1 << 20);
	return 0;
}

const char *
sink_words(const struct sink *s)
{
	return s->key[0] == '\1' ? s->key + 2 : s->key;
}

/* What is no file has a key no path can be: the flags keep apart what differs.
 */
static const char *
key_of(const struct msg_sink *m, const char *path)
{
	bool stamps = (m->flags & SINK_TIMESTAMPS) != 0;

	switch ((enum sink_kind)m->kind) {
	case SINK_FILE:
		return path;
	case SINK_SYSLOG:
		return "\1-syslog";
	case SINK_STDERR:
		return stamps ? "\1+stderr" : "\1-stderr";
	case SINK_NULL:
		return "\1-null";
	}
	return NULL;
}

static struct sink *
sink_new(const char *key)
{
	struct sink *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->key = strdup(key);
	if (s->key == NULL || names_add(&sinks, &s->node, s->key) < 0) {
		free(s->key);
		free(s);
		return NULL;
	}
	s->fd = s->pos = -1;
	buf_init(&s->out);
	list_init(&s->lru);
	list_init(&s->broken);
	list_init(&s->pack);
	list_init(&s->streams);
	return s;
}

struct sink *
sink_take(const struct msg_sink *m, const char *path)
{
	const char *key = key_of(m, path);
	struct names_node *n = names_find(&sinks, key);
	struct sink *s =
	    n != NULL ? CONTAINER_OF(n, struct sink, node) : sink_new(key);

	if (s == NULL)
		return NULL;
	if (((s->flags ^ m->flags) & SINK_TIMESTAMPS) != 0)
		sink_close(s);
	s->kind = m->kind;
	s->flags = m->flags;
	s->keep = m->keep;
	s->max_size = m->max_size;
	if (s->kind == SINK_FILE && (s->flags & SINK_COMPRESS) != 0)
		pack_want(s);
	return s;
}

void
sink_release(struct sink *s)
{
	/* The caller has already left, or has not yet joined, s->streams. */
	if (!list_empty(&s->streams))
		return;
	sink_close(s);
	pack_forget(s);
	list_remove(&s->broken);
	names_remove(&sinks, &s->node);
	buf_done(&s->out);
	free(s->key);
	free(s);
}

/* --- open and closed --------------------------------------------------------
 */

void
sink_close(struct sink *s)
{
	if (s->fd >= 0) {
		stamp_close(s);
		close(s->fd);
		s->fd = -1;
		open_count--;
	}
	s->blocked = false;
	list_remove(&s->lru);
}

static void
close_oldest(void)
{
	sink_close(LIST_ENTRY(lru.next, struct sink, lru));
}

void
sinks_make_room(size_t more)
{
	/* A file with timestamps has two. */
	while (!list_empty(&lru) &&
	       stream_pipes() + 2 * (open_count + more) + SLACK > descriptors)
		close_oldest();
}

int
sink_open(struct sink *s)
{
	int r;

	if (s->fd < 0) {
		sinks_make_room(1);
		do {
			r = s->kind == SINK_FILE ? file_open(s) : flow_open(s);
			if (r != -EMFILE && r != -ENFILE)
				break;
			if (list_empty(&lru))
				break;
			close_oldest();
		} while (true);
		if (r < 0)
			return r;
		open_count++;
		list_append(&lru, &s->lru);
		if (s->regular) {
			r = stamp_recover(s);
			if (r < 0) {
				sink_close(s);
				return r;
			}
		}
	} else if (lru.prev != &s->lru) {
		list_remove(&s->lru);
		list_append(&lru, &s->lru);
	}
	return 0;
}

void
sinks_reopen(void)
{
	struct list all, *l, *tmp;

	for (size_t i = 0; i < sinks.size; i++) {
		struct names_node *n;

		for (n = sinks.rows[i]; n != NULL; n = n->next) {
			struct sink *s = CONTAINER_OF(n, struct sink, node);

			s->retry_at = 0;
			s->rotate_after = 0;
		}
	}
	if (list_empty(&lru))
		return;
	list_init(&all);
	list_insert_before(lru.next, &all);
	list_remove(&lru);
	LIST_FOREACH(l, tmp, &all) {
		struct sink *s = LIST_ENTRY(l, struct sink, lru);

		sink_close(s);
		/* At once, for those who look for the new file. What fails
		 * is told when bytes come. */
		if (s->kind == SINK_FILE)
			(void)sink_open(s);
	}
}

void
sinks_finish(void)
{
	while (!list_empty(&lru))
		close_oldest();
}

/* --- broken -----------------------------------------------------------------
 */

static void
retry_later(struct sink *s, int64_t now)
{
	s->retry_at = now + RETRY;
	list_remove(&s->broken);
	list_append(&broken, &s->broken);
}

static void
sink_break(struct sink *s, int error)
{
	int64_t now = clock_mono();

	/* It may come back as another file, or on another disk. */
	sink_close(s);
	s->error = error;
	if (s->retrying)
		return;
	s->broken_since = now;
	retry_later(s, now);
	log_warn("%s can't be written: %s", sink_words(s), strerror(error));
	stream_tell(s);
}

static bool
dropping(const struct sink *s)
{
	return clock_mono() - s->broken_since >= DROP_AFTER;
}

static void
mend(struct sink *s)
{
	list_remove(&s->broken);
	if (s->lost > 0)
		log_warn("%s can be written again; %" PRIu64
			 " bytes of output were lost",
		    sink_words(s), s->lost);
	else
		log_info(
		    "%s can be written again; nothing was lost", sink_words(s));
	s->lost = 0;
	stream_tell(s);
}

/* A line in the file itself where bytes are missing. */
static int
write_notice(struct sink *s, int error)
{
	char line[256];
	int r = sink_open(s);

	if (r < 0 || s->kind != SINK_FILE || !s->regular)
		return r;
	r = file_has_room(s);
	if (r < 0)
		return r;
	snprintf(line, sizeof line,
	    "supervisord: %" PRIu64 " bytes of output were lost here (%s)",
	    s->lost, strerror(error));
	return file_write_line(s, line);
}

static void
try_again(struct sink *s, int was)
{
	struct list *l, *tmp;

	if (s->lost > 0) {
		int r = write_notice(s, was);

		if (r < 0) {
			sink_break(s, -r);
			return;
		}
		s->retrying = false;
		mend(s);
	}
	LIST_FOREACH(l, tmp, &s->streams) {
		stream_drain(LIST_ENTRY(l, struct stream, of_sink));
		if (s->error != 0)
			return;
	}
	if (s->retrying)
		mend(s);
}

static void
retry(struct sink *s, int64_t now)
{
	int was = s->error;

	s->error = 0;
	s->retrying = true;
	retry_later(s, now);
	try_again(s, was);
	s->retrying = false;
	/* A worker that waits for room writes nothing that would wake us. */
	if (s->error != 0 && dropping(s))
		stream_wake(s);
}

void
sinks_retry(int64_t now)
{
	while (!list_empty(&broken)) {
		struct sink *s = LIST_ENTRY(broken.next, struct sink, broken);

		if (s->retry_at > now)
			return;
		retry(s, now);
	}
}

int64_t
sinks_next_retry(void)
{
	if (list_empty(&broken))
		return INT64_MAX;
	return LIST_ENTRY(broken.next, struct sink, broken)->retry_at;
}

/* --- bytes ------------------------------------------------------------------
 */

static ssize_t
drop(struct sink *s, struct pipe *p, size_t avail)
{
	ssize_t n = peek_drop(p->fd, avail);

	if (n <= 0)
		return -EAGAIN;
	s->lost += (uint64_t)n;
	p->stream->dropped += (uint64_t)n;
	return n;
}

static ssize_t
move(struct sink *s, struct pipe *p, size_t avail, size_t budget)
{
	int r;

	switch ((enum sink_kind)s->kind) {
	case SINK_NULL:
		return peek_drop(p->fd, MIN_OF(avail, budget));
	case SINK_SYSLOG:
		return syslog_move(s, p, avail);
	case SINK_FILE:
	case SINK_STDERR:
		break;
	}
	if (s->blocked)
		return -EAGAIN;
	r = sink_open(s);
	if (r < 0)
		return r;
	if (!s->regular)
		return flow_move(s, p, avail);
	if ((s->flags & SINK_TIMESTAMPS) != 0)
		return stamp_move(s, p, MIN_OF(avail, budget));
	return file_move(s, p->fd, avail, budget);
}

ssize_t
sink_move(struct sink *s, struct pipe *p, size_t avail, size_t budget)
{
	ssize_t n;

	if (s->error != 0)
		return dropping(s) ? drop(s, p, avail) : -EAGAIN;
	n = move(s, p, avail, budget);
	if (n < 0 && n != -EAGAIN) {
		sink_break(s, (int)-n);
		return -EAGAIN;
	}
	return n;
}
