#include "supervisord/broker/flights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "supervisord/base/kept.h"
#include "supervisord/base/log.h"
#include "supervisord/base/slab.h"

#define FLIGHTS_MAGIC   0x53564654U
#define FLIGHTS_VERSION 1U

struct flight_row {
	uint64_t id;     /* 0: free */
	uint64_t number; /* grows with every row that is written */
	int64_t sent;
	uint32_t slot, gen;
	uint32_t attempt;
	uint32_t flags;
};

struct memory {
	uint32_t magic; /* set last */
	uint32_t version;
	uint32_t row_size, hand_size;
	uint32_t rows_used, hands_used; /* none at or behind has been used */
	uint64_t id[2];                 /* 0: not made yet */
	uint64_t pad[3];
	struct flight_row rows[FLIGHTS_ROWS];
	struct kept_hand hands[FLIGHTS_HANDS];
};

_Static_assert(sizeof(struct kept_hand) == 4096, "whole pages");
_Static_assert(sizeof(uint64_t) * 2 == FLIGHTS_ID, "an identity");
_Static_assert(sizeof(struct flight_row) == 40, "no padding");

struct flights {
	struct memory *shared;
	struct idmap by_id;
	uint64_t number;
	uint32_t *free_rows, free_count;
	uint32_t *free_hands, free_hands_count;
	bool full; /* that was said */
};

static bool
usable(const void *p)
{
	const struct memory *s = p;

	return s->magic == FLIGHTS_MAGIC && s->version == FLIGHTS_VERSION &&
	       s->row_size == sizeof(struct flight_row) &&
	       s->hand_size == sizeof(struct kept_hand) &&
	       s->rows_used <= FLIGHTS_ROWS && s->hands_used <= FLIGHTS_HANDS;
}

static struct slab kept = SLAB(struct flight, 4096);

static struct flight *
flight_of(struct flights *f, const struct flight_row *r, uint32_t row)
{
	struct flight *flight = slab_take(&kept);

	if (flight == NULL)
		return NULL;
	flight->id = r->id;
	flight->attempt = r->attempt;
	flight->slot = r->slot;
	flight->gen = r->gen;
	flight->sent = r->sent;
	flight->flags = r->flags;
	flight->row = row;
	list_init(&flight->link);
	idmap_add(&f->by_id, &flight->by_id, flight->id);
	return flight;
}

static void
free_row(struct flights *f, uint32_t row)
{
	if (row == FLIGHTS_NONE)
		return;
	kept_in_order();
	f->shared->rows[row].id = 0;
	kept_in_order();
	f->free_rows[f->free_count++] = row;
}

/* Of a task with two rows the older has ended. */
static void
load_row(struct flights *f, uint32_t row)
{
	struct flight_row *r = &f->shared->rows[row];
	struct flight *other;

	if (r->number > f->number)
		f->number = r->number;
	if (r->id == 0) {
		f->free_rows[f->free_count++] = row;
		return;
	}
	other = flights_find(f, r->id);
	if (other != NULL && f->shared->rows[other->row].number > r->number) {
		free_row(f, row);
		return;
	}
	if (other != NULL)
		flights_clear(f, other);
	/* Without memory it is as if it had never been written: the task runs
	 * again. */
	if (flight_of(f, r, row) == NULL)
		free_row(f, row);
}

static bool
load(struct flights *f)
{
	f->free_rows = calloc(FLIGHTS_ROWS, sizeof *f->free_rows);
	f->free_hands = calloc(FLIGHTS_HANDS, sizeof *f->free_hands);
	if (f->free_rows == NULL || f->free_hands == NULL)
		return false;
	for (uint32_t i = f->shared->rows_used; i > 0; i--)
		load_row(f, i - 1);
	for (uint32_t i = f->shared->hands_used; i > 0; i--) {
		if (f->shared->hands[i - 1].used == 0)
			f->free_hands[f->free_hands_count++] = i - 1;
	}
	return true;
}

struct flights *
flights_open(int fd, int *ret_fd, bool *ret_fresh)
{
	struct flights *f = calloc(1, sizeof *f);

	if (f == NULL)
		return NULL;
	f->shared = kept_open("supervisord-flights", sizeof *f->shared, fd,
	    usable,
	    "what is running will not be known to the broker after this one",
	    ret_fd, ret_fresh);
	if (f->shared == NULL) {
		free(f);
		return NULL;
	}
	if (*ret_fresh) {
		f->shared->version = FLIGHTS_VERSION;
		f->shared->row_size = sizeof(struct flight_row);
		f->shared->hand_size = sizeof(struct kept_hand);
		kept_in_order();
		f->shared->magic = FLIGHTS_MAGIC;
	}
	if (!load(f)) {
		flights_free(f);
		return NULL;
	}
	return f;
}

static void
release(struct flights *f, struct flight *flight)
{
	idmap_remove(&f->by_id, &flight->by_id);
	if (flight->series != NULL)
		buf_done(flight->series);
	free(flight->series);
	slab_give(&kept, flight);
}

void
flights_free(struct flights *f)
{
	struct idlink *l, *tmp;

	if (f == NULL)
		return;
	IDMAP_FOREACH(l, tmp, &f->by_id)
		release(f, IDMAP_ENTRY(l, struct flight, by_id));
	idmap_done(&f->by_id);
	munmap(f->shared, sizeof *f->shared);
	free(f->free_rows);
	free(f->free_hands);
	free(f);
}

static uint32_t
take_row(struct flights *f)
{
	if (f->free_count > 0) {
		f->full = false;
		return f->free_rows[--f->free_count];
	}
	if (f->shared->rows_used < FLIGHTS_ROWS)
		return f->shared->rows_used++;
	if (!f->full)
		log_warn("more than %d tasks are under way: those beyond are "
			 "not remembered for a broker after this one",
		    FLIGHTS_ROWS);
	f->full = true;
	return FLIGHTS_NONE;
}

struct flight *
flights_add(struct flights *f, uint64_t id, uint32_t attempt, uint32_t slot,
    uint32_t gen, int64_t sent)
{
	struct flight_row r = { id, ++f->number, sent, slot, gen, attempt, 0 };
	struct flight *before = flights_find(f, id), *flight;
	uint32_t row;

	if (before != NULL)
		idmap_remove(&f->by_id, &before->by_id);
	row = take_row(f);
	flight = flight_of(f, &r, row);
	if (flight == NULL) {
		if (row != FLIGHTS_NONE)
			f->free_rows[f->free_count++] = row;
		return NULL;
	}
	if (row != FLIGHTS_NONE) {
		struct flight_row *to = &f->shared->rows[row];

		to->number = r.number;
		to->sent = sent;
		to->slot = slot;
		to->gen = gen;
		to->attempt = attempt;
		to->flags = 0;
		kept_in_order();
		to->id = id;
		kept_in_order();
	}
	return flight;
}

struct flight *
flights_find(struct flights *f, uint64_t id)
{
	struct idlink *l = idmap_find(&f->by_id, id);

	return l != NULL ? IDMAP_ENTRY(l, struct flight, by_id) : NULL;
}

void
flights_flag(struct flights *f, struct flight *flight, uint32_t flags)
{
	flight->flags |= flags;
	if (flight->row != FLIGHTS_NONE)
		f->shared->rows[flight->row].flags = flight->flags;
	kept_in_order();
}

void
flights_clear(struct flights *f, struct flight *flight)
{
	free_row(f, flight->row);
	release(f, flight);
}

void
flights_each(struct flights *f, void (*each)(struct flight *flight, void *arg),
    void *arg)
{
	struct idlink *l, *tmp;

	IDMAP_FOREACH(l, tmp, &f->by_id)
		each(IDMAP_ENTRY(l, struct flight, by_id), arg);
}

bool
flights_id(struct flights *f, uint8_t out[FLIGHTS_ID])
{
	uint64_t *id = f->shared->id;

	while (id[0] == 0 || id[1] == 0) {
		uint64_t made[2];

		if (getrandom(made, sizeof made, 0) != (ssize_t)sizeof made)
			return false;
		/* Of one that is killed in between half is left: made anew, it
		 * was not used. */
		id[1] = made[1];
		kept_in_order();
		id[0] = made[0];
		kept_in_order();
	}
	memcpy(out, id, FLIGHTS_ID);
	return true;
}

uint32_t
flights_count(const struct flights *f)
{
	return f->by_id.count;
}

/* --- the processes -------------------------------------------------------- */

struct kept_hand *
flights_hand(struct flights *f, uint32_t slot, uint32_t gen)
{
	for (uint32_t i = 0; i < f->shared->hands_used; i++) {
		struct kept_hand *k = &f->shared->hands[i];

		if (k->used != 0 && k->slot == slot && k->gen == gen)
			return k;
	}
	return NULL;
}

struct kept_hand *
flights_hand_add(struct flights *f, uint32_t slot, uint32_t gen)
{
	struct kept_hand *k;

	if (f->free_hands_count > 0)
		k = &f->shared->hands[f->free_hands[--f->free_hands_count]];
	else if (f->shared->hands_used < FLIGHTS_HANDS)
		k = &f->shared->hands[f->shared->hands_used++];
	else
		return NULL;
	memset(k, 0, offsetof(struct kept_hand, hello));
	k->slot = slot;
	k->gen = gen;
	return k;
}

void
flights_hand_keep(struct kept_hand *k)
{
	kept_in_order();
	k->used = 1;
	kept_in_order();
}

void
flights_hand_clear(struct flights *f, struct kept_hand *k)
{
	kept_in_order();
	k->used = 0;
	kept_in_order();
	f->free_hands[f->free_hands_count++] = (uint32_t)(k - f->shared->hands);
}

void
flights_hands_sweep(struct flights *f,
    bool (*keep)(const struct kept_hand *k, void *arg), void *arg)
{
	for (uint32_t i = 0; i < f->shared->hands_used; i++) {
		struct kept_hand *k = &f->shared->hands[i];

		if (k->used != 0 && !keep(k, arg))
			flights_hand_clear(f, k);
	}
}
