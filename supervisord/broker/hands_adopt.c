/*
 * What a broker that was killed has left: processes that have said HELLO to it,
 * tasks it has sent them. Each process is asked what it holds (SYNC); what it
 * has answered before stands before that in its socket.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/hands_int.h"

#define FUNCTIONS_MAX 4096

/* --- HELLO ---------------------------------------------------------------- */

static bool
read_functions(struct hand *h, json_t *functions)
{
	size_t count = json_object_size(functions), i = 0;
	const char *name;
	json_t *how;

	if (functions == NULL || json_is_null(functions))
		return true;
	if (!json_is_object(functions) || count > FUNCTIONS_MAX)
		return false;
	h->functions = calloc(count + 1, sizeof *h->functions);
	h->functions_json = calloc(count + 1, sizeof *h->functions_json);
	if (h->functions == NULL || h->functions_json == NULL)
		return false;
	json_object_foreach(functions, name, how)
	{
		const char *word = json_string_value(how);

		if (strlen(name) > WIRE_FUNC_MAX || word == NULL)
			return false;
		h->functions[i] = strdup(name);
		h->functions_json[i] = strcmp(word, "bytes") != 0;
		if (h->functions[i] == NULL)
			return false;
		i++;
	}
	return true;
}

static uint32_t
small_number(const json_t *v, uint32_t otherwise)
{
	json_int_t n = json_integer_value(v);

	return json_is_integer(v) && n >= 0 && n <= WIRE_THREADS_MAX
		   ? (uint32_t)n
		   : otherwise;
}

static bool
read_hello(struct hand *h, const char *text, size_t size)
{
	json_t *root = json_loadb(text, size, 0, NULL);
	bool well;

	well = json_is_object(root) &&
	       json_integer_value(json_object_get(root, "hello")) ==
		   WIRE_VERSION &&
	       read_functions(h, json_object_get(root, "functions"));
	if (well) {
		uint32_t threads =
		    small_number(json_object_get(root, "threads"), h->threads);

		h->threads = MAX_OF(1U, MIN_OF(threads, h->threads));
		h->prefetch =
		    small_number(json_object_get(root, "prefetch"), 0);
	}
	json_decref(root);
	return well;
}

static void
keep_hello(struct hand *h, const char *text, size_t size)
{
	struct kept_hand *k =
	    flights_hand_add(h->broker->flights, h->slot, h->gen);

	h->in->kept = k;
	if (k == NULL)
		return;
	k->lines = h->in->lines;
	k->threads = h->threads;
	k->prefetch = h->prefetch;
	k->stopping = h->stopping        ? STOPPING_NOW
		      : h->in->finishing ? STOPPING_WHEN_DONE
					 : STOPPING_NOT;
	if (size <= sizeof k->hello) {
		memcpy(k->hello, text, size);
		k->hello_size = (uint32_t)size;
	}
	flights_hand_keep(k);
}

bool
hand_hello(struct hand *h, const char *text, size_t size)
{
	if (!read_hello(h, text, size)) {
		hand_broke(h, "a HELLO that is not of version %d: %.*s",
		    WIRE_VERSION, (int)MIN_OF(size, (size_t)80), text);
		return false;
	}
	keep_hello(h, text, size);
	h->up = true;
	hand_recycle_draw(h);
	log_debug("%s: up, threads %u, prefetch %u", h->name, h->threads,
	    h->prefetch);
	/* Before it is given a task: it may crash by the first. */
	hand_tell_up(h);
	core_hand_up(h->broker, h);
	hand_update(h);
	return true;
}

/* --- adoption ------------------------------------------------------------- */

static void
adopt_state(struct hand *h, struct kept_hand *k)
{
	struct conn_in *in = h->in;

	in->kept = k;
	in->adopted = in->decided = true;
	in->lines = in->rest = k->lines != 0;
	in->draining = k->draining != 0;
	in->drained = k->drained != 0;
	in->replaced = k->killing != 0;
	in->recycling = k->recycling != 0;
	h->stopping = h->stopping || k->stopping == STOPPING_NOW;
	in->finishing = in->finishing || k->stopping == STOPPING_WHEN_DONE;
	h->served = k->served;
	h->up = true;
	if (k->hello_size == 0 ||
	    !read_hello(h, k->hello, MIN_OF(k->hello_size, sizeof k->hello))) {
		h->threads = MAX_OF(1U, MIN_OF(k->threads, WIRE_THREADS_MAX));
		h->prefetch = MIN_OF(k->prefetch, WIRE_THREADS_MAX);
	}
}

static void
adopt_hand(struct hand *h)
{
	struct broker *b = h->broker;
	struct conn_in *in = h->in;
	struct kept_hand *k = flights_hand(b->flights, h->slot, h->gen);

	if (k == NULL && b->strangers)
		hand_broke(h, "what it said to the broker before is lost");
	if (k == NULL)
		return;
	adopt_state(h, k);
	hand_recycle_draw(h);
	core_hand_up(b, h);
	if (in->lines && k->mid_line)
		buf_char(&in->out, '\n');
	in->sync = (uint64_t)(clock_mono() & INT32_MAX) | 1;
	hand_say(h, WIRE_SYNC, in->sync);
	if (k->torn)
		hand_broke(
		    h, "half a frame went with a broker that was killed");
	if (in->replaced)
		hand_ask(h, REPLACE_KILL, "a task of it did not end in time");
	else if (in->recycling)
		hand_ask_recycle(h);
	hand_update(h);
}

static bool
has_hand(const struct kept_hand *k, void *arg)
{
	return hand_of(arg, k->slot, k->gen) != NULL;
}

static void
adopt_flight(struct flight *f, void *arg)
{
	struct broker *b = arg;
	struct hand *h = hand_of(b, f->slot, f->gen);

	if (h == NULL || !h->up) {
		flights_clear(b->flights, f);
		return;
	}
	f->hand = h;
	h->in->flights++;
	h->in->adopting++;
	core_adopt(b, h, f->id, f->attempt);
}

void
hand_forget(struct flight *f)
{
	struct hand *h = f->hand;

	hand_not_asked(f);
	h->in->forgotten--;
	h->in->flights--;
	flights_clear(h->broker->flights, f);
	hand_look_idle(h);
}

struct unheld {
	struct hand *hand;
	const struct said *said; /* NULL: none is held */
};

static void
forget_unheld(struct flight *f, void *arg)
{
	const struct unheld *u = arg;

	if (f->hand == u->hand && f->forgotten &&
	    (u->said == NULL || !said_held(u->said, f->id)))
		hand_forget(f);
}

void
hand_forget_unheld(struct hand *h, const struct said *s)
{
	struct unheld u = { h, s };

	if (h->in->forgotten > 0)
		flights_each(h->broker->flights, forget_unheld, &u);
}

void
hands_adopted(struct broker *b, struct hand *h, uint64_t id, struct task *t)
{
	struct flight *f = flights_find(b->flights, id);

	if (f == NULL || f->hand != h || f->task != NULL || f->ended ||
	    f->forgotten)
		return;
	h->in->adopting--;
	if (t == NULL) {
		/* It may still be executed. */
		f->forgotten = true;
		h->in->forgotten++;
	} else {
		f->task = t;
		t->unsure = true;
		t->sent_mono = f->sent;
		hand_flight_begins(f);
	}
	if (h->in->adopting == 0 && !b->hands->telling)
		hand_begin(h);
}

void
hand_begin(struct hand *h)
{
	if (h->in->exited) {
		hand_exited(h);
		return;
	}
	if (h->in->broken)
		return;
	hand_resume_limits(h);
	hand_poll(h, true);
	hand_read(h);
}

void
hands_told(struct broker *b)
{
	struct hand *h, *tmp;

	b->hands->telling = true;
	HASH_ITER(hh, b->hands->table, h, tmp)
	adopt_hand(h);
	flights_hands_sweep(b->flights, has_hand, b);
	flights_each(b->flights, adopt_flight, b);
	core_adopted(b);
	b->hands->telling = false;
	HASH_ITER(hh, b->hands->table, h, tmp)
	{
		if (h->in->adopting == 0)
			hand_begin(h);
	}
}
