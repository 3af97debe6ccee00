#include "supervisord/master/answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/state.h"
#include "supervisord/base/log.h"
#include "supervisord/master/rpc.h"

#define TAIL_SECONDS 1.0

struct question {
	struct list link;
	uint64_t token;
	struct request *r;
};

struct tail {
	struct list link;
	uint32_t cookie;
	ev_timer timer;
	struct ev_loop *loop;
	void (*arrived)(void *arg, const char *text, size_t size);
	void *arg;
};

static struct list questions = { &questions, &questions };
static struct list tails = { &tails, &tails };

void
answers_ask_store(struct request *r, struct state_question *q)
{
	static uint64_t token;
	struct question *waiting = calloc(1, sizeof *waiting);
	int e;

	q->token = ++token;
	e = waiting != NULL ? state_ask(r->m->state, q) : -ENOMEM;
	if (e < 0) {
		free(waiting);
		request_fail(r, RPC_FAILED,
		    "the state store can't be asked: %s", strerror(-e));
		return;
	}
	waiting->token = token;
	waiting->r = r;
	list_init(&waiting->link);
	list_append(&questions, &waiting->link);
}

void
answers_arrived(struct master *m, uint64_t token, int error, struct buf *json)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &questions) {
		struct question *q = LIST_ENTRY(l, struct question, link);

		if (q->token != token)
			continue;
		list_remove(&q->link);
		if (error < 0) {
			const char *health = state_health(m->state);

			request_fail(q->r, RPC_FAILED,
			    "the state store can't answer: %s",
			    health != NULL ? health : strerror(-error));
			buf_done(json);
		} else {
			request_reply(q->r, json);
		}
		free(q);
		return;
	}
	buf_done(json);
}

static void
finish(struct tail *t, const char *text, size_t size)
{
	ev_timer_stop(t->loop, &t->timer);
	list_remove(&t->link);
	t->arrived(t->arg, text, size);
	free(t);
}

static void
too_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	finish(CONTAINER_OF(timer, struct tail, timer), "", 0);
}

uint32_t
answers_new_tail(struct master *m,
    void (*arrived)(void *arg, const char *text, size_t size), void *arg)
{
	static uint32_t cookie;
	struct tail *t = calloc(1, sizeof *t);

	if (t == NULL) {
		arrived(arg, "", 0);
		return 0;
	}
	cookie = (cookie + 1) & 0x7fffffffU;
	t->cookie = cookie;
	t->loop = m->loop;
	t->arrived = arrived;
	t->arg = arg;
	ev_timer_init(&t->timer, too_late, TAIL_SECONDS, 0.);
	ev_now_update(m->loop);
	ev_timer_start(m->loop, &t->timer);
	list_init(&t->link);
	list_append(&tails, &t->link);
	return cookie;
}

void
answers_tail_arrived(
    struct master *m, uint32_t cookie, const char *text, size_t size)
{
	struct list *l, *tmp;

	(void)m;
	LIST_FOREACH(l, tmp, &tails) {
		struct tail *t = LIST_ENTRY(l, struct tail, link);

		if (t->cookie == cookie) {
			finish(t, text, size);
			return;
		}
	}
}
