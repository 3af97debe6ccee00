#ifndef STATE_SAVED_H
#define STATE_SAVED_H

/* What a store held when it was opened, read once and kept for the start. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/state.h"

struct saved_fact {
	char *key, *value;
};

struct saved_run {
	bool known, in_order;
	uint64_t run;
};

struct saved_block;
struct store;

struct saved {
	struct state_saved *instances; /* by name */
	size_t instance_count, instance_room;
	struct saved_fact *facts; /* by key */
	size_t fact_count, fact_room;
	struct saved_block *texts;
	/* The newest incarnation's run, and the newest run before that one. */
	struct saved_run last, before;
	uint64_t last_incarnation;
	uint64_t last_event;
};

/* An SQLite code; what could be read is there in any case. */
int saved_read(struct saved *saved, struct store *st);
void saved_free(struct saved *saved);

const struct state_saved *saved_instance(
    const struct saved *saved, const char *name);
const char *saved_fact(const struct saved *saved, const char *key);

#endif
