#include "supervisord/master/to_broker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/master/amend.h"
#include "supervisord/master/autoscale.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/master.h"
#include "supervisord/master/memfd.h"
#include "supervisord/master/record.h"
#include "supervisord/master/recycle.h"
#include "supervisord/master/relief.h"

/* The logger is asked for an exit's last lines, and waited for so long. */
#define LINES_SECONDS 1.
#define TOLD_MOST     256 /* exits that wait for their lines, or a broker */
#define TOLD_TEXT     8192

/* An exit the broker is still to be told of. */
struct told {
	struct list link;
	struct msg_slot slot;
	int pid;
	bool ready; /* its lines have come, or will not */
	ev_tstamp at;
	struct buf text;
	char name[PROTO_NAME];
};

struct to_broker {
	struct master *m;
	struct peer peer;
	struct list told; /* oldest first */
	unsigned told_count;
	ev_timer timer;   /* for the oldest that is not ready */
	char health[512]; /* of its stores, in words; "": well */
};

/* --- what it is to know --------------------------------------------------- */

bool
to_broker_is_wanted(const struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->count; i++) {
		if (fleet->workers[i]->hybrid)
			return true;
	}
	return fleet->schedules_count > 0;
}

static const struct msg_name config_name = { "broker/config" };

static void
keep_config(struct master *m)
{
	struct buf text;
	int fd;

	buf_init(&text);
	to_broker_write_config(m, &text);
	if (m->broker_config != NULL && !text.failed &&
	    strcmp(m->broker_config, buf_text(&text)) == 0) {
		buf_done(&text);
		return;
	}
	fd = text.failed ? -ENOMEM : memfd_sealed("broker-config", &text);
	if (fd < 0) {
		log_error(
		    "the broker can't be told its config: %s", strerror(-fd));
		amend_later(m);
		buf_done(&text);
		return;
	}
	peer_send(&m->guardian, MSG_KEEP, &config_name, NULL, 0, fd);
	close(fd);
	free(m->broker_config);
	m->broker_config = buf_take(&text);
}

/* Those that are being ended still have tasks to finish. */
static bool
any_hybrid_lives(const struct master *m)
{
	struct team *team, *tmp;
	struct instance *it;
	unsigned i;

	CREW_FOREACH(&m->crew, team, tmp, i, it)
	{
		if (it->row->hybrid && it->row->life.alive)
			return true;
	}
	return false;
}

static bool begin(struct master *m);

void
to_broker_configure(struct master *m)
{
	struct msg_flag wanted = { .value = to_broker_is_wanted(m->fleet) ||
					    (m->broker_wanted &&
						any_hybrid_lives(m)) };

	if (wanted.value && m->broker == NULL && !begin(m)) {
		log_error("no memory for the link to the broker");
		amend_later(m);
	}
	/* The config first: a broker finds it at its start. */
	if (wanted.value)
		keep_config(m);
	if (m->broker_said && m->broker_wanted == (wanted.value != 0))
		return;
	m->broker_said = true;
	m->broker_wanted = wanted.value != 0;
	peer_send(&m->guardian, MSG_BROKER_WANTED, &wanted, NULL, 0, -1);
	if (wanted.value)
		return;
	peer_send(&m->guardian, MSG_DROP, &config_name, NULL, 0, -1);
	free(m->broker_config);
	m->broker_config = NULL;
}

/* --- exits and their last lines ------------------------------------------- */

static void
forget(struct to_broker *b, struct told *t)
{
	list_remove(&t->link);
	b->told_count--;
	buf_done(&t->text);
	free(t);
}

/* Those that are ready, if anybody is there to hear of them. */
static void
tell(struct to_broker *b)
{
	struct list *l, *tmp;

	if (b->peer.fd < 0)
		return;
	LIST_FOREACH(l, tmp, &b->told) {
		struct told *t = LIST_ENTRY(l, struct told, link);

		if (!t->ready)
			continue;
		peer_send(&b->peer, MSG_EXIT_TOLD, &t->slot, t->text.data,
		    t->text.size, -1);
		forget(b, t);
	}
}

static void
await_lines(struct to_broker *b)
{
	struct list *l, *tmp;

	if (ev_is_active(&b->timer))
		return;
	LIST_FOREACH(l, tmp, &b->told) {
		struct told *t = LIST_ENTRY(l, struct told, link);
		double left = t->at + LINES_SECONDS - ev_now(b->m->loop);

		if (t->ready)
			continue;
		ev_timer_set(&b->timer, MAX_OF(left, 0.001), 0.);
		ev_timer_start(b->m->loop, &b->timer);
		return;
	}
}

static void
lines_are_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct to_broker *b = CONTAINER_OF(timer, struct to_broker, timer);
	struct list *l, *tmp;

	(void)events;
	LIST_FOREACH(l, tmp, &b->told) {
		struct told *t = LIST_ENTRY(l, struct told, link);

		if (t->at + LINES_SECONDS <= ev_now(loop))
			t->ready = true;
	}
	tell(b);
	await_lines(b);
}

static void
note_exit(struct to_broker *b, const struct msg_slot *slot, const char *name,
    int pid, const char *words, bool lines)
{
	struct told *t = calloc(1, sizeof *t);

	if (t == NULL)
		return; /* the task's words lack the cause, that is all */
	if (b->told_count == TOLD_MOST)
		forget(b, LIST_ENTRY(b->told.next, struct told, link));
	t->slot = *slot;
	t->pid = pid;
	t->ready = !lines;
	ev_now_update(b->m->loop);
	t->at = ev_now(b->m->loop);
	snprintf(t->name, sizeof t->name, "%s", name);
	buf_init(&t->text);
	buf_fmt(&t->text, "%s\n", words);
	list_init(&t->link);
	list_append(&b->told, &t->link);
	b->told_count++;
	tell(b);
	await_lines(b);
}

void
to_broker_exited(struct master *m, const struct instance *it,
    const struct exit_info *e, bool lines)
{
	struct msg_slot slot = { it->row->slot, it->row->gen };
	char words[EXIT_WORDS];

	if (!it->row->hybrid)
		return;
	if (m->broker != NULL)
		note_exit(m->broker, &slot, it->row->name, e->pid,
		    exit_words(it, e, words, sizeof words), lines);
}

void
to_broker_look(struct master *m)
{
	if (m->broker_wanted && !to_broker_is_wanted(m->fleet))
		to_broker_configure(m);
}

void
to_broker_exited_before(
    struct master *m, const struct msg_child *child, const struct exit_info *e)
{
	struct msg_slot slot = { child->slot, child->gen };
	char words[EXIT_WORDS];

	if (m->broker != NULL)
		note_exit(m->broker, &slot, child->name, e->pid,
		    exit_words(NULL, e, words, sizeof words), false);
}

void
to_broker_lines(
    struct master *m, const char *name, int pid, const char *text, size_t size)
{
	struct to_broker *b = m->broker;
	struct list *l, *tmp;

	if (b == NULL)
		return;
	LIST_FOREACH(l, tmp, &b->told) {
		struct told *t = LIST_ENTRY(l, struct told, link);

		if (t->ready || t->pid != pid || strcmp(t->name, name) != 0)
			continue;
		buf_add(&t->text, text, MIN_OF(size, TOLD_TEXT - t->text.size));
		t->ready = true;
		break;
	}
	tell(b);
}

/* --- what it asks for ----------------------------------------------------- */

static void
replace(struct master *m, const struct msg *msg)
{
	const struct msg_replace *r = &msg->u.REPLACE;
	struct instance *it = crew_by_slot(&m->crew, r->slot, r->gen);
	char why[256];

	snprintf(why, sizeof why, "%.*s",
	    (int)strnlen(msg->tail, msg->tail_size), msg->tail);
	/* It may have ended meanwhile. */
	if (it == NULL || !it->row->life.alive)
		return;
	switch ((enum replace_how)r->how) {
	case REPLACE_DRAIN:
		recycle_due(m, it, why);
		break;
	case REPLACE_KILL:
		recycle_replace(m, it, why, true);
		break;
	case REPLACE_BROKEN:
		recycle_broken(m, it, why);
		break;
	case REPLACE_SOON:
	case REPLACE_NOT:
		relief_drains(m, it, r->how == REPLACE_SOON);
		break;
	}
}

static void
scale(struct master *m, const struct msg *msg)
{
	struct team *team = crew_team(&m->crew, msg->u.SCALE.name);
	char why[256];

	snprintf(why, sizeof why, "%.*s",
	    (int)strnlen(msg->tail, msg->tail_size), msg->tail);
	/* Its config may have changed meanwhile. */
	if (team != NULL && autoscale_by_queue(&team->worker->autoscale))
		autoscale_to(m, team, msg->u.SCALE.instances, why);
}

static void
queue_event(struct master *m, const struct msg *msg)
{
	const struct msg_event *e = &msg->u.QUEUE_EVENT;
	char kind[sizeof e->kind + 1] = "", words[513];

	memcpy(kind, e->kind, sizeof e->kind);
	snprintf(words, sizeof words, "%.*s",
	    (int)strnlen(msg->tail, msg->tail_size), msg->tail);
	record_event(
	    m, e->name[0] != '\0' ? e->name : NULL, kind, words, &nobody);
}

const char *
to_broker_health(const struct master *m)
{
	return m->broker != NULL && m->broker->health[0] != '\0'
		   ? m->broker->health
		   : NULL;
}

static void
receive(void *arg, struct msg *msg)
{
	struct to_broker *b = arg;

	switch ((enum msg_type)msg->type) {
	case MSG_REPLACE:
		replace(b->m, msg);
		break;
	case MSG_SCALE:
		scale(b->m, msg);
		break;
	case MSG_HAND_UP:
		/* What crashes from here on is a task's crash, not a failed
		 * start: tasks must not be able to make a worker FATAL. */
		drive_ready(b->m, msg->u.HAND_UP.slot, msg->u.HAND_UP.gen);
		break;
	case MSG_HAND_IDLE:
		drive_finished(
		    b->m, msg->u.HAND_IDLE.slot, msg->u.HAND_IDLE.gen);
		break;
	case MSG_QUEUE_EVENT:
		queue_event(b->m, msg);
		break;
	case MSG_QUEUE_HEALTH:
		snprintf(b->health, sizeof b->health, "%.*s",
		    (int)msg->tail_size, msg->tail);
		break;
	default:
		log_error("unexpected %s from the broker", msg_name(msg->type));
	}
	if (msg->fd >= 0)
		close(msg->fd);
}

/* --- the channel ---------------------------------------------------------- */

/* The guardian starts another and says so: nothing to do until then. */
static void
gone(void *arg, const char *why)
{
	struct to_broker *b = arg;

	b->health[0] = '\0';
	if (b->m->phase == PHASE_STOPPING || !b->m->broker_wanted)
		return;
	log_warn("the broker is gone (%s): waiting for the next one; tasks "
		 "that run go on meanwhile",
	    why);
}

static void
say(struct to_broker *b, const struct instance *it, enum stopping_how how)
{
	struct msg_stopping msg = { it->row->slot, it->row->gen, (uint32_t)how,
		0 };

	peer_send(&b->peer, MSG_STOPPING, &msg, NULL, 0, -1);
}

bool
to_broker_is_there(const struct master *m)
{
	return m->broker != NULL && m->broker->peer.fd >= 0;
}

void
to_broker_launched(struct master *m, const struct instance *it)
{
	if (m->broker != NULL && it->row->hybrid)
		say(m->broker, it, STOPPING_NOT);
}

void
to_broker_stopping(struct master *m, const struct instance *it)
{
	if (m->broker != NULL && it->row->hybrid && !it->hard)
		say(m->broker, it, STOPPING_NOW);
}

static enum stopping_how
stopping_how(const struct instance *it)
{
	if (it->row->life.state == ST_STOPPING)
		return STOPPING_NOW;
	return it->row->life.finishing ? STOPPING_WHEN_DONE : STOPPING_NOT;
}

void
to_broker_finishing(struct master *m, const struct instance *it)
{
	if (m->broker != NULL)
		say(m->broker, it, stopping_how(it));
}

static bool
begin(struct master *m)
{
	struct to_broker *b = m->broker = calloc(1, sizeof *b);

	if (b == NULL)
		return false;
	b->m = m;
	list_init(&b->told);
	ev_init(&b->timer, lines_are_late);
	peer_init(&b->peer, m->loop, receive, gone, b);
	return true;
}

void
to_broker_connect(struct master *m, int pid)
{
	struct team *team, *tmp;
	struct instance *it;
	int pair[2], r;
	unsigned i;

	m->broker_pid = pid;
	r = m->broker != NULL || begin(m) ? channel_pair(pair) : -ENOMEM;
	if (r < 0) {
		log_error("no channel to the broker: %s", strerror(-r));
		return;
	}
	peer_send(&m->guardian, MSG_BROKER_PEER, NULL, NULL, 0, pair[1]);
	close(pair[1]);
	peer_connect(&m->broker->peer, pair[0]);
	CREW_FOREACH(&m->crew, team, tmp, i, it)
	{
		enum stopping_how how = stopping_how(it);

		if (!it->row->hybrid || !it->row->life.alive || it->hard)
			continue;
		drive_heard(m, it);
		/* Where memory was lost, what an earlier master has said of it
		 * may be wrong. */
		if (how != STOPPING_NOT || m->broker_unsure)
			say(m->broker, it, how);
	}
	m->broker_unsure = false;
	tell(m->broker);
}
