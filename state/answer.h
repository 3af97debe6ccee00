#ifndef STATE_ANSWER_H
#define STATE_ANSWER_H

/* Questions, answered as the JSON of the control protocol. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/state.h"
#include "supervisord/base/buf.h"
#include "supervisord/base/list.h"

struct store;

struct question {
	struct list link;
	uint64_t token;
	bool history; /* else events */
	char **names; /* sorted; NULL: all */
	size_t name_count;
	int64_t since_ms, limit;
	/* the answer; its place is there before anybody is promised one */
	int error;
	struct buf json;
};

/* A copy of q. 0, -EINVAL (what is that?) or -ENOMEM. */
int question_new(const struct state_question *q, struct question **ret);
void question_free(struct question *q);

/*
 * The newest rows of `newer`, and behind them those of `older` (either may be
 * NULL), as a JSON array, oldest first. Returns an SQLite code; the rows of
 * `older` are a help only, and what can't be read of it is no error.
 */
int question_answer(const struct question *q, struct store *newer,
    struct store *older, struct buf *json);

#endif
