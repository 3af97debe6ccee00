#include "supervisord/guardian/news.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/proc.h"
#include "supervisord/proto/channel.h"

#define ANSWERS       64 /* a power of two */
#define REPEAT_WITHIN NS_PER_SEC

enum phase {
	PHASE_HELLO,
	PHASE_CHILDREN,
	PHASE_KEPT,
	PHASE_END,
	PHASE_NEWS
};

struct answer {
	enum msg_type type;

	union {
		struct msg_failed failed;
		struct msg_slot slot;
	} u;
};

static struct {
	enum phase phase;
	uint32_t cursor; /* of the table or of the keep, in the handover */
	struct msg_hello hello;
	uint32_t first, last; /* marked slots */
	struct answer answers[ANSWERS];
	unsigned answers_in, answers_out;
	uint32_t signals; /* bit n: signal n is to be told */
	struct msg_signal signal[32];
	int64_t told[32]; /* when each was told last; 0: never */
	unsigned stops;

	struct up {
		enum msg_type type;
		struct msg_pid body;
		bool untold;
	} ups[2];
} news = { .first = TABLE_NONE,
	.last = TABLE_NONE,
	.ups = { { .type = MSG_LOGGER_UP }, { .type = MSG_BROKER_UP } } };

void
news_mark(struct slot *s, enum news what)
{
	if ((s->news & NEWS_CHAINED) == 0) {
		s->news_prev = news.last;
		s->news_next = TABLE_NONE;
		if (news.last != TABLE_NONE)
			table_slots[news.last].news_next = s->child.slot;
		else
			news.first = s->child.slot;
		news.last = s->child.slot;
	}
	s->news |= (uint16_t)(what | NEWS_CHAINED);
}

static void
forget(struct slot *s)
{
	if ((s->news & NEWS_CHAINED) == 0)
		return;
	s->news = 0;
	if (s->news_prev != TABLE_NONE)
		table_slots[s->news_prev].news_next = s->news_next;
	else
		news.first = s->news_next;
	if (s->news_next != TABLE_NONE)
		table_slots[s->news_next].news_prev = s->news_prev;
	else
		news.last = s->news_prev;
}

void
news_free_if_done(struct slot *s)
{
	if (s->acked && s->news == 0 && s->tree == 0 && s->threads == 0)
		table_free(s);
}

void
news_acked(struct slot *s)
{
	s->acked = true;
	if ((s->news & NEWS_TREE_EMPTY) != 0)
		s->news &= (uint16_t) ~(NEWS_LAUNCHED | NEWS_EXITED);
	else
		forget(s);
	news_free_if_done(s);
}

void
news_signal(const struct signalfd_siginfo *info)
{
	int signo = (int)info->ssi_signo;
	struct msg_signal *m = &news.signal[signo % 32];

	if (signo == SIGTERM || signo == SIGINT)
		news.stops++;
	*m = (struct msg_signal){ signo, (int32_t)info->ssi_pid, info->ssi_uid,
		0 };
	news.signals |= 1U << (signo % 32);
}

unsigned
news_stops(void)
{
	return news.stops;
}

void
news_up(enum msg_type type, pid_t pid)
{
	struct up *up = &news.ups[type == MSG_BROKER_UP];

	up->body.pid = pid;
	up->untold = pid > 0;
	if (pid > 0)
		up->body.count++;
}

bool
news_room(void)
{
	return news.answers_in - news.answers_out < ANSWERS;
}

static struct answer *
new_answer(enum msg_type type)
{
	static struct answer lost;
	struct answer *a = &lost;

	if (news_room())
		a = &news.answers[news.answers_in++ % ANSWERS];
	a->type = type;
	return a;
}

void
news_not_launched(uint32_t cookie, int stage, int error)
{
	new_answer(MSG_NOT_LAUNCHED)->u.failed =
	    (struct msg_failed){ cookie, stage, error < 0 ? -error : error, 0 };
}

void
news_tree_empty(uint32_t slot, uint32_t gen)
{
	new_answer(MSG_TREE_EMPTY)->u.slot = (struct msg_slot){ slot, gen };
}

void
news_not_upgraded(int error)
{
	new_answer(MSG_NOT_UPGRADED)->u.failed =
	    (struct msg_failed){ 0, 0, error < 0 ? -error : error, 0 };
}

/*
 * A signal has no acknowledgement: a master may have ended before it acted on
 * one. A wish to end holds for every master; any other is repeated if it was
 * told shortly before.
 */
static void
repeat_signals(void)
{
	int64_t now = clock_mono();

	for (int signo = 1; signo < 32; signo++) {
		int64_t told = news.told[signo];
		bool ends =
		    signo == SIGTERM || signo == SIGINT || signo == SIGQUIT;

		if (told != 0 && (ends || now - told < REPEAT_WITHIN))
			news.signals |= 1U << signo;
	}
}

void
news_handover(unsigned masters, int last_status)
{
	while (news.first != TABLE_NONE) {
		struct slot *s = &table_slots[news.first];

		forget(s);
		news_free_if_done(s);
	}
	news.answers_in = news.answers_out = 0;
	for (size_t i = 0; i < N_ELEMENTS(news.ups); i++)
		news.ups[i].untold = news.ups[i].body.pid != 0;
	repeat_signals();
	news.phase = PHASE_HELLO;
	news.cursor = 0;
	news.hello = (struct msg_hello){ .version = PROTO_VERSION,
		.guardian_pid = (uint32_t)getpid(),
		.first = !guardian.ready,
		.pid1 = guardian.pid1,
		.masters = masters,
		.last_status = (uint32_t)last_status,
		.slots = TABLE_SLOTS,
		.no_tree = !proc_mounted(),
		.started_wall_ms = guardian.started_wall_ms,
		.run = guardian.run };
}

bool
news_handing_over(void)
{
	return news.phase != PHASE_NEWS;
}

/* A row tells all there is, so a slot's marks end with it. */
static int
send_children(int channel)
{
	struct slot *s;

	while ((s = table_next(news.cursor)) != NULL) {
		int error = 0;

		/* One that only waits for the broker is the master's no more.
		 */
		if (!s->acked || s->tree != 0)
			error = channel_send(
			    channel, MSG_CHILD, &s->child, NULL, 0, -1);
		if (error < 0)
			return error;
		news.cursor = s->child.slot + 1;
		forget(s);
	}
	return 0;
}

static int
send_kept(int channel)
{
	struct kept *k;

	while ((k = keep_next(news.cursor)) != NULL) {
		struct msg_name m;
		int error = 0;

		memcpy(m.name, k->name, sizeof m.name);
		if ((k->flags & KEEP_PIPE) == 0)
			error =
			    channel_send(channel, MSG_KEPT, &m, NULL, 0, k->fd);
		if (error < 0)
			return error;
		news.cursor = keep_index(k) + 1;
	}
	return 0;
}

static int
hand_over(int channel)
{
	int error = 0;

	while (error == 0 && news.phase != PHASE_NEWS) {
		switch (news.phase) {
		case PHASE_HELLO:
			error = channel_send(
			    channel, MSG_HELLO, &news.hello, NULL, 0, -1);
			break;
		case PHASE_CHILDREN:
			error = send_children(channel);
			break;
		case PHASE_KEPT:
			error = send_kept(channel);
			break;
		case PHASE_END:
			error = channel_send(
			    channel, MSG_HANDED_OVER, NULL, NULL, 0, -1);
			break;
		case PHASE_NEWS:
			break;
		}
		if (error == 0) {
			news.phase++;
			news.cursor = 0;
		}
	}
	return error;
}

/* In the order in which things happened to the child. */
static int
send_slot(int channel, struct slot *s)
{
	const struct msg_child *c = &s->child;
	struct msg_launched launched = { s->cookie, c->slot, c->gen, c->pid,
		c->started_mono, c->tag };
	struct msg_slot empty = { c->slot, c->gen };

	const struct {
		enum news news;
		enum msg_type type;
		const void *body;
	} told[] = { { NEWS_LAUNCHED, MSG_LAUNCHED, &launched },
		{ NEWS_EXITED, MSG_EXITED, c },
		{ NEWS_TREE_EMPTY, MSG_TREE_EMPTY, &empty } };

	for (size_t i = 0; i < N_ELEMENTS(told); i++) {
		int error;

		if ((s->news & told[i].news) == 0)
			continue;
		error = channel_send(
		    channel, told[i].type, told[i].body, NULL, 0, -1);
		if (error < 0)
			return error;
		s->news &= (uint16_t)~told[i].news;
	}
	return 0;
}

static int
send_slots(int channel)
{
	while (news.first != TABLE_NONE) {
		struct slot *s = &table_slots[news.first];
		int error = send_slot(channel, s);

		if (error < 0)
			return error;
		forget(s);
		news_free_if_done(s);
	}
	return 0;
}

static int
send_signals(int channel)
{
	while (news.signals != 0) {
		int signo = __builtin_ctz(news.signals);
		int error;

		news.signal[signo].count = news.stops;
		error = channel_send(
		    channel, MSG_SIGNALLED, &news.signal[signo], NULL, 0, -1);
		if (error < 0)
			return error;
		news.signals &= ~(1U << signo);
		news.told[signo] = clock_mono();
	}
	return 0;
}

static int
send_answers(int channel)
{
	while (news.answers_out != news.answers_in) {
		const struct answer *a =
		    &news.answers[news.answers_out % ANSWERS];
		int error = channel_send(channel, a->type, &a->u, NULL, 0, -1);

		if (error < 0)
			return error;
		news.answers_out++;
	}
	return 0;
}

static int
send_ups(int channel)
{
	for (size_t i = 0; i < N_ELEMENTS(news.ups); i++) {
		struct up *up = &news.ups[i];
		int error = 0;

		if (up->untold)
			error = channel_send(
			    channel, up->type, &up->body, NULL, 0, -1);
		if (error < 0)
			return error;
		up->untold = false;
	}
	return 0;
}

int
news_send(int channel)
{
	int error = hand_over(channel);

	if (error == 0)
		error = send_ups(channel);
	if (error == 0)
		error = send_slots(channel);
	if (error == 0)
		error = send_signals(channel);
	return error == 0 ? send_answers(channel) : error;
}

void
news_save(struct news_saved *ret)
{
	*ret = (struct news_saved){ .stops = news.stops };
	ret->signals = news.signals;
	for (int i = 1; i < 32; i++) {
		if (news.told[i] != 0)
			ret->told |= 1U << i;
	}
}

void
news_restore(const struct news_saved *saved)
{
	news.stops = saved->stops;
	news.signals = saved->signals;
	for (int i = 1; i < 32; i++) {
		news.signal[i].signo = i;
		news.told[i] = (saved->told & 1U << i) != 0;
	}
}
