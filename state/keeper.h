#ifndef STATE_KEEPER_H
#define STATE_KEEPER_H

/*
 * Where the rows go: into the file, or, while that is broken, into a store in
 * memory that stands in for it and is carried into it later. Knows no threads:
 * state_open uses it first, then the writer alone.
 */

#include <stdbool.h>
#include <stdint.h>

#include "state/store.h"
#include "supervisord/base/buf.h"

struct question;
struct saved;
struct state_options;

#define HEALTH_WORDS 512

/* A copy for the caller's thread. */
struct health {
	char broken[HEALTH_WORDS]; /* "": the file is written */
	char note[HEALTH_WORDS];   /* what happened to it a while ago */
	int64_t note_until;        /* clock_mono */
	int64_t lost;              /* rows for which there was no room */
};

struct keeper {
	char *path; /* of state.db; NULL: memory is all there is */
	struct keep keep, keep_in_memory;
	int64_t retry_ns, retry_at;
	int busy_ms;
	struct store *file; /* while broken: perhaps still readable, or NULL */
	struct store *memory; /* rows go here while it is there */
	struct trouble trouble;
	bool unsaved; /* memory holds what the file has not */
	bool told;    /* since the last keeper_health: health changed */
	struct health health;
};

/* 0, also when only memory works, or -ENOMEM. Fills *saved. */
int keeper_open(
    struct keeper *k, const struct state_options *options, struct saved *saved);
/* Tries the file a last time. */
void keeper_close(struct keeper *k);

void keeper_write(struct keeper *k, const struct queue *batch);
/* So many rows were lost before they came here. */
void keeper_dropped(struct keeper *k, int64_t rows);
/* The slow part after a commit: the log goes back into the file. */
void keeper_tidy(struct keeper *k);
/* 0 or -errno. */
int keeper_answer(struct keeper *k, const struct question *q, struct buf *json);

/* When to call keeper_retry (clock_mono), or -1: there is no need to. */
int64_t keeper_retry_at(const struct keeper *k);
void keeper_retry(struct keeper *k);

/* True if it is worth telling; *ret is filled in any case. */
bool keeper_health(struct keeper *k, struct health *ret);

#endif
