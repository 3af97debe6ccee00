#include "supervisord/master/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/master/answers.h"
#include "supervisord/master/control.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/master.h"
#include "supervisord/master/procfs.h"

/* An exit the guardian keeps in mind until the store has it. */
struct ack {
	struct list link;
	uint64_t sequence;
	struct msg_slot slot;
};

static void
acknowledge(struct master *m, uint64_t committed)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &m->acks) {
		struct ack *a = LIST_ENTRY(l, struct ack, link);

		if (a->sequence > committed)
			break;
		peer_send(&m->guardian, MSG_ACK, &a->slot, NULL, 0, -1);
		list_remove(&a->link);
		free(a);
	}
}

static void
news(struct ev_loop *loop, ev_io *io, int events)
{
	struct master *m = io->data;
	struct state_news n;

	(void)loop;
	(void)events;
	while (state_poll(m->state, &n) != STATE_NOTHING) {
		const char *health;

		switch (n.said) {
		case STATE_COMMITTED:
			acknowledge(m, n.committed);
			break;
		case STATE_HEALTH:
			health = state_health(m->state);
			if (health != NULL)
				log_warn("%s", health);
			else
				log_info("state is written to disk again");
			record_event(m, NULL, "store",
			    health != NULL ? health
					   : "state is written to disk again",
			    &nobody);
			break;
		case STATE_ANSWER:
			answers_arrived(m, n.token, n.error, &n.json);
			break;
		case STATE_NOTHING:
			break;
		}
	}
}

static void store_kept_events(struct master *m);
static void store_kept_exits(struct master *m);

/* Everything of one turn of the loop goes into one transaction. */
bool
record_open(struct master *m, bool *ret_clean)
{
	struct state_options options = { .dir = m->fleet->settings.state_dir };
	int r = state_open(&options, &m->state);

	if (r < 0) {
		log_error("can't open the state store in %s: %s",
		    options.dir != NULL ? options.dir : "memory", strerror(-r));
		return false;
	}
	list_init(&m->acks);
	ev_io_init(&m->state_io, news, state_fd(m->state), EV_READ);
	m->state_io.data = m;
	ev_io_start(m->loop, &m->state_io);
	store_kept_events(m);
	/* One that is written to disk gets what it lacks from the guardian. */
	if (options.dir == NULL || state_health(m->state) != NULL)
		store_kept_exits(m);
	state_begin(m->state, m->hello.run, procfs_self(), VERSION, m->boot_id,
	    ret_clean, &m->incarnation);
	if (state_health(m->state) != NULL)
		log_warn("%s", state_health(m->state));
	return true;
}

bool
record_is_forgetful(const struct master *m)
{
	return m->fleet->settings.state_dir == NULL || m->incarnation <= 1 ||
	       state_health(m->state) != NULL;
}

void
record_close(struct master *m, bool in_order, const char *why)
{
	state_end(m->state, in_order, why);
	ev_io_stop(m->loop, &m->state_io);
	state_close(m->state, 2000);
	m->state = NULL;
}

static void
event_json(struct buf *b, const struct state_event *e, uint64_t sequence)
{
	jw_object(b);
	jw_kv_int(b, "seq", (int64_t)sequence);
	jw_kv_time(b, "at", e->at_ms);
	jw_kv_string(b, "name", e->name);
	jw_kv_string(b, "kind", e->kind);
	jw_kv_string(b, "from", e->from);
	jw_kv_string(b, "to", e->to);
	jw_kv_string(b, "reason", e->reason);
	jw_key(b, "actor");
	if (e->actor_uid >= 0) {
		jw_object(b);
		jw_kv_int(b, "uid", e->actor_uid);
		jw_kv_int(b, "pid", e->actor_pid);
		jw_kv_string(b, "command", e->actor_command);
		jw_object_end(b);
	} else {
		jw_null(b);
	}
	jw_object_end(b);
}

static uint8_t
state_index(const char *name)
{
	uint8_t i = 0;

	while (i < ST_COUNT &&
	       (name == NULL || strcmp(life_state_names[i], name) != 0))
		i++;
	return i;
}

/* Until the store has it, memory that outlives us has. */
static uint64_t
store_event(struct master *m, const struct state_event *e)
{
	struct memory_event *kept = memory_next_event(m->memory);

	kept->at_ms = e->at_ms;
	kept->actor_uid = e->actor_uid;
	kept->actor_pid = e->actor_pid;
	kept->from = state_index(e->from);
	kept->to = state_index(e->to);
	snprintf(kept->name, sizeof kept->name, "%s",
	    e->name != NULL ? e->name : "");
	snprintf(kept->kind, sizeof kept->kind, "%s", e->kind);
	snprintf(kept->actor_command, sizeof kept->actor_command, "%s",
	    e->actor_command != NULL ? e->actor_command : "");
	snprintf(kept->reason, sizeof kept->reason, "%s",
	    e->reason != NULL ? e->reason : "");
	kept->sequence = state_put_event(m->state, e);
	return kept->sequence;
}

/* What the master before has seen and the store has not. */
static void
store_kept_events(struct master *m)
{
	struct memory_event *kept = calloc(MEMORY_EVENTS, sizeof *kept);
	size_t n = 0;

	if (kept != NULL)
		n = memory_take_events(
		    m->memory, state_last_event(m->state), kept);
	for (size_t i = 0; i < n; i++) {
		const struct memory_event *k = &kept[i];
		struct state_event e = {
			.at_ms = k->at_ms,
			.name = k->name[0] != '\0' ? k->name : NULL,
			.from = k->from < ST_COUNT ? life_state_names[k->from]
						   : NULL,
			.to = k->to < ST_COUNT ? life_state_names[k->to] : NULL,
			.kind = k->kind,
			.reason = k->reason,
			.actor_uid = k->actor_uid,
			.actor_pid = k->actor_pid,
			.actor_command = k->actor_command[0] != '\0'
					     ? k->actor_command
					     : NULL,
		};

		store_event(m, &e);
	}
	free(kept);
}

static void
put_event(struct master *m, struct state_event *e, const struct actor *by)
{
	uint64_t sequence;

	e->at_ms = clock_wall_ms();
	e->actor_uid = by->uid;
	e->actor_pid = by->pid;
	e->actor_command = by->command;
	sequence = store_event(m, e);
	if (control_has_subscribers(m->control)) {
		struct buf json;

		buf_init(&json);
		event_json(&json, e, sequence);
		control_publish(m->control, e->name, &json);
		buf_done(&json);
	}
}

void
record_change(struct master *m, struct instance *it,
    const struct life_change *change, const char *reason,
    const struct actor *by)
{
	struct state_event e = {
		.name = it->row->name,
		.from = life_state_names[change->from],
		.to = life_state_names[change->to],
		.kind = "state",
		.reason = reason,
	};

	put_event(m, &e, by);
	if (change->to == ST_FATAL)
		log_error("%s: %s -> %s: %s", e.name, e.from, e.to, reason);
	else if (change->to == ST_BACKOFF)
		log_warn("%s: %s -> %s: %s", e.name, e.from, e.to, reason);
	else
		log_debug("%s: %s -> %s: %s", e.name, e.from, e.to, reason);
}

void
record_event(struct master *m, const char *name, const char *kind,
    const char *reason, const struct actor *by)
{
	struct state_event e = { .name = name, .kind = kind, .reason = reason };

	put_event(m, &e, by);
}

void
record_instance(struct master *m, struct instance *it)
{
	const struct memory_row *row = it->row;
	char reason[EXIT_WORDS + 128];
	struct state_instance r = {
		.name = row->name,
		.worker = it->team->name,
		.index = (int)row->index,
		.wanted_up = row->life.wanted,
		.wanted_by_user = row->by_user,
		.state = life_state_names[row->life.state],
		.pid = row->life.alive ? row->pid : 0,
		.start_ticks = row->life.alive ? row->start_ticks : 0,
		.boot_id = m->boot_id,
		.started_ms = row->started_ms,
		.restarts = (int64_t)row->life.restarts,
		.reason = instance_reason(it, reason, sizeof reason),
	};

	state_put_instance(m->state, &r);
}

void
record_gone(struct master *m, const char *name)
{
	state_drop_instance(m->state, name);
}

/* A store in memory ends with this process; memory that outlives us does not.
 */
static void
keep_exit(struct master *m, const struct state_exit *x)
{
	struct memory_exit *kept = memory_next_exit(m->memory);

	kept->started_ms = x->started_ms;
	kept->ended_ms = x->ended_ms;
	kept->lived_ms = x->duration_ms;
	kept->user_us = x->user_us;
	kept->system_us = x->system_us;
	kept->maxrss_kb = x->maxrss_kb;
	kept->pid = x->pid;
	kept->code = x->code;
	kept->signo = x->signo;
	kept->core = x->core;
	snprintf(kept->name, sizeof kept->name, "%s", x->name);
	snprintf(kept->cause, sizeof kept->cause, "%s", x->cause);
	kept->key = x->key;
}

/* Those the store has are known to it by their keys. */
static void
store_kept_exits(struct master *m)
{
	struct memory_exit *kept = calloc(MEMORY_EXITS, sizeof *kept);
	size_t n = kept != NULL ? memory_exits(m->memory, kept) : 0;

	for (size_t i = 0; i < n; i++) {
		const struct memory_exit *k = &kept[i];
		struct state_exit x = {
			.key = k->key,
			.name = k->name,
			.pid = k->pid,
			.started_ms = k->started_ms,
			.ended_ms = k->ended_ms,
			.duration_ms = k->lived_ms,
			.code = k->code,
			.signo = k->signo,
			.core = k->core,
			.cause = k->cause,
			.user_us = k->user_us,
			.system_us = k->system_us,
			.maxrss_kb = k->maxrss_kb,
		};

		state_put_exit(m->state, &x);
	}
	free(kept);
}

void
record_exit(struct master *m, struct instance *it,
    const struct msg_child *child, const struct exit_info *e)
{
	char words[EXIT_WORDS];
	struct state_exit x = {
		.key = child->tag,
		.name = child->name,
		.pid = child->pid,
		.started_ms = e->at_ms - e->lived_ms,
		.ended_ms = e->at_ms,
		.duration_ms = e->lived_ms,
		.code = e->code,
		.signo = e->signo,
		.core = e->core,
		.user_us = child->user_us,
		.system_us = child->system_us,
		.maxrss_kb = child->maxrss_kb,
	};
	struct msg_slot slot = { child->slot, child->gen };
	struct ack *a = malloc(sizeof *a);
	uint64_t sequence;

	x.cause = exit_words(it, e, words, sizeof words);
	keep_exit(m, &x);
	sequence = state_put_exit(m->state, &x);
	if (a == NULL || sequence == 0) {
		/* It can't be remembered: waiting would not help. */
		peer_send(&m->guardian, MSG_ACK, &slot, NULL, 0, -1);
		free(a);
		return;
	}
	a->sequence = sequence;
	a->slot = slot;
	list_init(&a->link);
	list_append(&m->acks, &a->link);
}

void
record_fact(struct master *m, const char *key, const char *value)
{
	state_put_fact(m->state, key, value);
}
