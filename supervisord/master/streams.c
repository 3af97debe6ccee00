#include "supervisord/master/streams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/fleet.h"
#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/master/answers.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/master.h"
#include "supervisord/master/record.h"
#include "supervisord/master/to_broker.h"

/* supervisord's own log, when it goes to a file. */
#define OWN_STREAM "supervisord"

#define EXIT_LINES 10

struct broken_stream {
	char name[PROTO_NAME];
	char words[320];
	UT_hash_handle hh;
};

/*
 * Cookies of TAIL: those of exits are kept here, those of commands are below
 * EXIT_COOKIES and handed to answers.c.
 */
#define EXIT_COOKIE 0x80000000U

/* What comes back with this one comes behind all settings sent before. */
#define SETTLED_COOKIE 0U

void
streams_log_dir(const struct master *m, char *out, size_t size)
{
	const struct settings *s = &m->fleet->settings;

	snprintf(out, size, "%s/log",
	    s->state_dir != NULL ? s->state_dir : s->run_dir);
}

bool
streams_path(const struct master *m, const struct instance *it, bool err,
    char *out, size_t size)
{
	const struct worker *w = it->team->worker;
	const struct output *o =
	    err && w->err.kind != OUTPUT_STDOUT ? &w->err : &w->out;
	char dir[PATH_MAX];

	if (o->kind != OUTPUT_FILE)
		return false;
	if (o->file != NULL)
		return fleet_fill(o->file, it->row->index, out, size) == 0;
	streams_log_dir(m, dir, sizeof dir);
	return (size_t)snprintf(out, size, "%s/%s%s.log", dir, it->row->name,
		   o == &w->err ? ".err" : "") < size;
}

static void
set_stream(struct master *m, const struct instance *it, bool err, bool fresh)
{
	const struct output *o =
	    err ? &it->team->worker->err : &it->team->worker->out;
	struct msg_sink msg = {
		.kind = SINK_NULL,
		.flags = (o->compress ? SINK_COMPRESS : 0U) |
			 (o->timestamps ? SINK_TIMESTAMPS : 0U) |
			 (fresh ? SINK_FRESH : 0U),
		.keep = o->keep,
		.max_size = o->max_size,
	};
	char path[PATH_MAX] = "";

	snprintf(msg.name, sizeof msg.name, "%.*s%s", PROTO_NAME - 6,
	    it->row->name, err ? "/err" : "");
	if (o->kind == OUTPUT_SYSLOG)
		msg.kind = SINK_SYSLOG;
	else if (streams_path(m, it, err, path, sizeof path))
		msg.kind = SINK_FILE;
	peer_send(&m->logger, MSG_SINK, &msg, path, strlen(path) + 1, -1);
}

static bool
is_piped(const struct output *o)
{
	return o->kind == OUTPUT_FILE || o->kind == OUTPUT_SYSLOG;
}

/* fresh: what its files have is not the present process's, nor the next one's.
 */
static void
set(struct master *m, const struct instance *it, bool fresh)
{
	if (is_piped(&it->team->worker->out))
		set_stream(m, it, false, fresh);
	if (is_piped(&it->team->worker->err))
		set_stream(m, it, true, fresh);
}

void
streams_set(struct master *m, const struct instance *it)
{
	set(m, it, !it->row->life.alive);
}

static void
forget_broken(struct master *m, const char *name)
{
	struct broken_stream *b;

	HASH_FIND_STR(m->broken, name, b);
	if (b != NULL) {
		HASH_DEL(m->broken, b);
		free(b);
	}
}

static void
drop_stream(struct master *m, const char *instance, const char *suffix)
{
	struct msg_name msg = { "" };

	snprintf(msg.name, sizeof msg.name, "%.*s%s", PROTO_NAME - 6, instance,
	    suffix);
	/* The guardian says so to the logger, too: no new writer will come. */
	peer_send(&m->guardian, MSG_DROP, &msg, NULL, 0, -1);
	peer_send(&m->logger, MSG_SINK_DROP, &msg, NULL, 0, -1);
	forget_broken(m, msg.name);
}

void
streams_drop(struct master *m, const struct instance *it)
{
	drop_stream(m, it->row->name, "");
	drop_stream(m, it->row->name, "/err");
}

static void
set_own(struct master *m)
{
	const struct settings *s = &m->fleet->settings;
	struct msg_sink msg = { .kind = SINK_FILE,
		.keep = 5,
		.max_size = 50 << 20,
		.name = OWN_STREAM };

	if (s->log_file != NULL)
		peer_send(&m->logger, MSG_SINK, &msg, s->log_file,
		    strlen(s->log_file) + 1, -1);
}

static void
sink_state(struct master *m, const struct msg *msg)
{
	const struct msg_sinkstate *s = &msg->u.SINK_STATE;
	struct broken_stream *b;
	char words[320];

	if (s->broken) {
		snprintf(words, sizeof words,
		    "%s: its log can't be written: %.*s; it is tried again, what "
		    "is written for long meanwhile is dropped and counted",
		    s->name, (int)strnlen(msg->tail, msg->tail_size),
		    msg->tail);
		forget_broken(m, s->name);
		b = calloc(1, sizeof *b);
		if (b != NULL) {
			memcpy(b->name, s->name, sizeof b->name);
			memcpy(b->words, words, sizeof b->words);
			HASH_ADD_STR(m->broken, name, b);
			if (b->hh.tbl == NULL)
				free(b);
		}
		log_warn("%s", words);
	} else {
		snprintf(words, sizeof words,
		    "%s: its log is written again; %llu bytes were dropped",
		    s->name, (unsigned long long)s->dropped);
		forget_broken(m, s->name);
		log_info("%s", words);
	}
	record_event(m, s->name, "log", words, &nobody);
}

/* The exit whose last lines these are is named by instance and pid. */
static void
tail_arrived(struct master *m, const struct msg *msg)
{
	const struct msg_tail *t = &msg->u.TAIL_IS;

	if (t->cookie & EXIT_COOKIE) {
		struct buf text;

		int pid = (int)(t->cookie & ~EXIT_COOKIE);

		to_broker_lines(m, t->name, pid, msg->tail, msg->tail_size);
		buf_init(&text);
		buf_add(&text, msg->tail, msg->tail_size);
		if (text.size > 0 && !text.failed)
			state_put_last_lines(
			    m->state, t->name, pid, buf_text(&text));
		buf_done(&text);
		return;
	}
	if (t->cookie == SETTLED_COOKIE) {
		m->logger_knows = true;
		return;
	}
	answers_tail_arrived(m, t->cookie, msg->tail, msg->tail_size);
}

static void
receive(void *arg, struct msg *msg)
{
	struct master *m = arg;

	if (msg->type == MSG_TAIL_IS)
		tail_arrived(m, msg);
	else if (msg->type == MSG_SINK_STATE)
		sink_state(m, msg);
	else
		log_error("unexpected %s from the logger", msg_name(msg->type));
	if (msg->fd >= 0)
		close(msg->fd);
}

/* The guardian starts another and says so: nothing to do until then. */
static void
gone(void *arg, const char *why)
{
	struct master *m = arg;

	m->logger_knows = m->logger_asked = false;
	log_warn("the logger is gone (%s): waiting for the next one; what "
		 "workers write stays in their pipes meanwhile",
	    why);
}

void
streams_connect(struct master *m, int logger_pid)
{
	struct instance *it;
	struct team *team, *tmp;
	char home[PATH_MAX];
	int pair[2], r = channel_pair(pair);
	/* Before the first there was none who could have read anything. */
	bool first = m->hello.first && m->logger_pid == 0;
	unsigned i;

	m->logger_pid = logger_pid;
	m->logger_knows = m->logger_asked = false;
	if (r < 0) {
		log_error("no channel to the logger: %s", strerror(-r));
		return;
	}
	if (m->logger.loop == NULL)
		peer_init(&m->logger, m->loop, receive, gone, m);
	peer_send(&m->guardian, MSG_LOGGER_PEER, NULL, NULL, 0, pair[1]);
	close(pair[1]);
	peer_connect(&m->logger, pair[0]);
	snprintf(
	    home, sizeof home, "%s/logger.sock", m->fleet->settings.run_dir);
	peer_send(&m->logger, MSG_HOME, NULL, home, strlen(home) + 1, -1);
	set_own(m);
	CREW_FOREACH(&m->crew, team, tmp, i, it)
	set(m, it, !it->row->life.alive || (first && !it->row->adopted));
}

void
streams_reopen(struct master *m)
{
	peer_send(&m->logger, MSG_REOPEN, NULL, NULL, 0, -1);
}

bool
streams_tail(struct master *m, const struct instance *it, unsigned lines,
    uint32_t cookie)
{
	struct msg_tail msg = { .cookie = cookie, .lines = lines };
	const struct worker *w = it->team->worker;

	if (m->logger.fd < 0 || !is_piped(&w->out))
		return false;
	memcpy(msg.name, it->row->name, sizeof msg.name);
	peer_send(&m->logger, MSG_TAIL, &msg, NULL, 0, -1);
	return true;
}

bool
streams_tail_of_exit(
    struct master *m, const struct instance *it, const struct exit_info *e)
{
	return e->stage == 0 && streams_tail(m, it, EXIT_LINES | TAIL_OF_EXIT,
				    EXIT_COOKIE | (uint32_t)e->pid);
}

void
streams_notes(const struct master *m, struct buf *b)
{
	struct broken_stream *s, *tmp;

	HASH_ITER(hh, m->broken, s, tmp)
	jw_string(b, s->words);
}

void
streams_ask_settled(struct master *m)
{
	struct msg_tail msg = { .name = OWN_STREAM, .cookie = SETTLED_COOKIE };

	if (m->logger.fd < 0 || m->logger_asked)
		return;
	m->logger_asked = true;
	peer_send(&m->logger, MSG_TAIL, &msg, NULL, 0, -1);
}
