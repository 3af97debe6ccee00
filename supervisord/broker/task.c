#include "supervisord/broker/task.h"

#include <stdlib.h>
#include <string.h>

const char *const task_state_names[TASK_STATES] = {
	[TASK_QUEUED] = "queued",
	[TASK_SCHEDULED] = "scheduled",
	[TASK_RUNNING] = "running",
	[TASK_DONE] = "done",
	[TASK_FAILED] = "failed",
	[TASK_CANCELLED] = "cancelled",
	[TASK_DEAD] = "dead",
};

const char *const task_priority_names[PRIORITIES] = {
	[PRIORITY_HIGH] = "high",
	[PRIORITY_MIDDLE] = "middle",
	[PRIORITY_LOW] = "low",
};

struct submission *
submission_new(void)
{
	/* Not calloc: it does not take what was freed a moment ago. */
	struct submission *s = malloc(sizeof(*s));

	if (s != NULL)
		*s = (struct submission){ .priority = PRIORITY_MIDDLE,
			.timeout_ms = -1,
			.result_ttl_ms = -1,
			.retries = -1 };
	return s;
}

void
submission_free(struct submission *s)
{
	if (s == NULL)
		return;
	free(s->func);
	body_release(s->payload);
	free(s->key);
	free(s->limit_key);
	free(s->then);
	free(s);
}

void
task_row_done(struct task_row *row)
{
	free(row->func);
	free(row->key);
	free(row->limit_key);
	free(row->then);
	body_release(row->payload);
	body_release(row->result);
	free(row->error);
	free(row->words);
	free(row->host);
	row->func = row->key = row->limit_key = row->then = NULL;
	row->payload = row->result = NULL;
	row->error = row->words = row->host = NULL;
}

struct task_row *
task_rows_add(struct task_row **rows, size_t *count)
{
	/* Grown at each power of two. */
	if ((*count & (*count - 1)) == 0) {
		size_t room = *count == 0 ? 1 : *count * 2;
		struct task_row *more = realloc(*rows, room * sizeof *more);

		if (more == NULL)
			return NULL;
		*rows = more;
	}
	memset(&(*rows)[*count], 0, sizeof **rows);
	return &(*rows)[(*count)++];
}

int64_t
queue_rank(int64_t ready_ms, uint8_t priority, int64_t aging_ms)
{
	/* Beyond any wall clock: a level is never left. */
	static const int64_t strict = 1LL << 52;

	return ready_ms +
	       (priority - PRIORITY_HIGH) * (aging_ms > 0 ? aging_ms : strict);
}
