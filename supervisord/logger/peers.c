#include "supervisord/logger/peers.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/logger/last.h"
#include "supervisord/logger/sink.h"
#include "supervisord/logger/stream.h"
#include "supervisord/proto/channel.h"

#define IN_ONE_GO 256 /* messages, before the pipes have their turn */

static int guardian = -1, master = -1;
static bool finish;
static char *home;
/* The master does not read: no more is read from it until it does. */
static bool full;
static struct msg_tail asked; /* of the one answer that found no room */
static bool owed;

int
peers_init(int fd)
{
	int r = channel_setup(fd);

	if (r == 0)
		guardian = fd;
	return r;
}

int
peers_guardian(void)
{
	return guardian;
}

int
peers_master(void)
{
	return master;
}

short
peers_master_events(void)
{
	return full ? POLLOUT : POLLIN;
}

const char *
peers_home(void)
{
	return home;
}

bool
peers_finish(void)
{
	return finish;
}

/* --- to the master ----------------------------------------------------------
 */

static void
hang_up(const char *why)
{
	if (why != NULL)
		log_warn("the master's channel is closed: %s", why);
	close(master);
	master = -1;
	full = owed = false;
}

static int
tell(enum msg_type type, const void *body, const void *tail, size_t size)
{
	int r = channel_send(master, type, body, tail, size, -1);

	if (r == -EAGAIN)
		full = true;
	else if (r < 0)
		hang_up(NULL);
	return r;
}

static int
answer(void)
{
	static char text[LAST_MAX];
	struct stream *s = stream_find(asked.name);
	struct msg_tail is = asked;
	bool of_exit = (asked.lines & TAIL_OF_EXIT) != 0;
	struct last_mark since = { 0 };
	size_t size = 0;
	int r;

	is.lines = 0;
	if (s != NULL && s->sink != NULL) {
		stream_drain(s);
		if (of_exit)
			since = s->exit;
		if (s->sink->kind == SINK_FILE)
			size = last_lines(s->sink->key,
			    asked.lines & ~TAIL_OF_EXIT, &since, text,
			    &is.lines);
	}
	r = tell(MSG_TAIL_IS, &is, text, size);
	/* What comes from here on is the next process's. */
	if (r != -EAGAIN && of_exit && s != NULL && s->sink != NULL &&
	    s->sink->kind == SINK_FILE)
		last_mark(s->sink->key, &s->exit);
	return r;
}

static int
tell_state(struct stream *s)
{
	struct msg_sinkstate m = { .dropped = s->dropped };
	char why[256] = "";
	int n = 0, r;

	memcpy(m.name, s->name, sizeof m.name);
	if (s->sink != NULL && s->sink->error != 0) {
		m.broken = 1;
		m.error = s->sink->error;
		n = snprintf(why, sizeof why, "%s: %s", sink_words(s->sink),
		    strerror(m.error));
	} else if (s->sink != NULL) {
		n = snprintf(why, sizeof why, "%s", sink_words(s->sink));
	}
	r = tell(
	    MSG_SINK_STATE, &m, why, MIN_OF((size_t)n, sizeof why - 1) + 1);
	if (r == 0)
		s->dropped = 0;
	return r;
}

void
peers_tell(void)
{
	struct stream *s;

	while (master >= 0 && !full && (s = stream_to_tell()) != NULL) {
		if (tell_state(s) < 0)
			return;
		list_remove(&s->tell);
	}
}

/* --- from the master --------------------------------------------------------
 */

/* A text of the tail, NUL-terminated and not empty, or NULL. */
static const char *
path_of(const struct msg *m)
{
	if (m->tail_size < 2 || m->tail[0] != '/' ||
	    memchr(m->tail, '\0', m->tail_size) != m->tail + m->tail_size - 1)
		return NULL;
	return m->tail;
}

static bool
take_sink(const struct msg *m)
{
	const struct msg_sink *sink = &m->u.SINK;
	const char *path = path_of(m);
	int r;

	if (sink->kind > SINK_NULL || sink->max_size < 0 ||
	    (sink->kind == SINK_FILE && path == NULL))
		return false;
	r = stream_set_sink(sink, path);
	if (r < 0)
		log_error("the output of %s can't be directed: %s", sink->name,
		    strerror(-r));
	return true;
}

static bool
take_home(const struct msg *m)
{
	const char *path = path_of(m);
	char *copy;

	if (path == NULL)
		return false;
	copy = strdup(path);
	if (copy != NULL) {
		free(home);
		home = copy;
	}
	return true;
}

/* False: not for us, or not meant well. */
static bool
from_master(const struct msg *m)
{
	switch (m->type) {
	case MSG_SINK:
		return take_sink(m);
	case MSG_SINK_DROP:
		stream_drop_sink(m->u.SINK_DROP.name);
		return true;
	case MSG_REOPEN:
		sinks_reopen();
		return true;
	case MSG_TAIL:
		asked = m->u.TAIL;
		owed = answer() == -EAGAIN;
		return true;
	case MSG_HOME:
		return take_home(m);
	}
	return false;
}

static void
read_master(void)
{
	for (int i = 0; i < IN_ONE_GO && master >= 0 && !full; i++) {
		struct msg m;
		int r = channel_receive(master, &m);

		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			hang_up(
			    r == -EPROTO ? "it sent no message of ours" : NULL);
			return;
		}
		if (from_master(&m))
			continue;
		if (m.fd >= 0)
			close(m.fd);
		if (master >= 0)
			hang_up(msg_name(m.type));
	}
}

void
peers_serve_master(void)
{
	if (full) {
		full = false;
		if (owed)
			owed = answer() == -EAGAIN;
		peers_tell();
		return;
	}
	read_master();
}

/* --- from the guardian ------------------------------------------------------
 */

static void
new_master(int fd)
{
	if (master >= 0)
		hang_up(NULL);
	(void)channel_setup(fd);
	master = fd;
	stream_tell_all_broken();
}

static void
from_guardian(const struct msg *m)
{
	int r;

	switch (m->type) {
	case MSG_PIPE:
		r = stream_add_pipe(m->u.PIPE.id, m->u.PIPE.name, m->fd);
		if (r < 0)
			log_error("the pipe of %s can't be read: %s",
			    m->u.PIPE.name, strerror(-r));
		return;
	case MSG_PIPE_DROP:
		stream_drop_pipe(m->u.PIPE_DROP.id, m->u.PIPE_DROP.name);
		return;
	case MSG_PEER:
		new_master(m->fd);
		return;
	case MSG_FINISH:
		finish = true;
		return;
	}
	log_error("the guardian sent %s: ignored", msg_name(m->type));
	if (m->fd >= 0)
		close(m->fd);
}

void
peers_read_guardian(void)
{
	for (int i = 0; i < IN_ONE_GO && !finish; i++) {
		struct msg m;
		int r = channel_receive(guardian, &m);

		if (r == -EAGAIN)
			return;
		if (r == -EPROTO || r == -EMFILE) {
			log_error("a message of the guardian is lost: %s",
			    strerror(-r));
			continue;
		}
		if (r <= 0) {
			close(guardian);
			guardian = -1;
			return;
		}
		from_guardian(&m);
	}
}
