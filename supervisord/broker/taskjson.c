#include "supervisord/broker/taskjson.h"

#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/json_check.h"
#include "supervisord/broker/base64.h"
#include "supervisord/broker/schedule.h"
#include "supervisord/proto/wire.h"

void
task_put_body(struct buf *out, const struct body *body, bool json)
{
	size_t from = out->size;

	if (body == NULL) {
		jw_null(out);
		return;
	}
	/* A handler may call JSON what is none: it must not break the line. */
	if (!json || json_check(body->data, body->size, NULL) < 0) {
		jw_object(out);
		jw_key(out, "base64");
		buf_char(out, '"');
		base64_put(out, body->data, body->size);
		buf_char(out, '"');
		jw_object_end(out);
		return;
	}
	jw_raw(out, body->data);
	for (; from < out->size; from++) {
		if (out->data[from] == '\n' || out->data[from] == '\r')
			out->data[from] = ' ';
	}
}

/* An empty text and a number that is not there are null. */
static void
put_text(struct buf *out, const char *key, const char *s)
{
	jw_kv_string(out, key, s != NULL && *s != '\0' ? s : NULL);
}

static void
put_number(struct buf *out, const char *key, uint64_t n)
{
	if (n != 0)
		jw_kv_int(out, key, (int64_t)n);
	else
		jw_kv_null(out, key);
}

static void
put_time(struct buf *out, const char *key, int64_t wall_ms)
{
	if (wall_ms != 0)
		jw_kv_time(out, key, wall_ms);
	else
		jw_kv_null(out, key);
}

void
task_put_progress(struct buf *out, const struct task *t)
{
	if (t->share != WIRE_NO_SHARE)
		jw_kv_seconds(out, "share", (int64_t)t->share * NS_PER_MS);
	else
		jw_kv_null(out, "share");
	jw_kv_string(out, "text", t->progress);
}

static void
put_times(struct buf *out, const struct task_row *row)
{
	put_time(out, "created_at", row->created_ms);
	put_time(out, "due_at", row->due_ms);
	put_time(out, "started_at", row->started_ms);
	put_time(out, "finished_at", row->finished_ms);
	if (row->timeout_ms > 0)
		jw_kv_seconds(out, "timeout", row->timeout_ms * NS_PER_MS);
	else
		jw_kv_null(out, "timeout");
}

/* Where it runs, or ran last, and how far it is. */
static void
put_place(struct buf *out, const struct task_row *row, const struct task *live)
{
	bool runs = live != NULL && live->hand != NULL && live->begun;

	put_text(out, "instance", row->instance);
	put_text(out, "host", row->host);
	if (runs)
		jw_kv_int(out, "thread", live->thread);
	else
		jw_kv_null(out, "thread");
	if (runs && (live->share != WIRE_NO_SHARE || live->progress != NULL)) {
		jw_key(out, "progress");
		jw_object(out);
		task_put_progress(out, live);
		jw_object_end(out);
	} else {
		jw_kv_null(out, "progress");
	}
}

void
task_put(struct buf *out, const struct broker *b, const struct task_row *row,
    const struct task *live, bool whole)
{
	jw_object(out);
	jw_kv_int(out, "id", (int64_t)row->id);
	jw_kv_string(out, "worker", row->worker);
	jw_kv_string(out, "func", row->func);
	jw_kv_string(out, "state",
	    row->state < TASK_STATES ? task_state_names[row->state] : "?");
	jw_kv_string(out, "priority",
	    row->priority < PRIORITIES ? task_priority_names[row->priority]
				       : "?");
	jw_kv_string(out, "key", row->key);
	jw_kv_string(out, "limit_key", row->limit_key);
	jw_kv_int(out, "attempts", row->attempts);
	jw_kv_int(out, "retries", row->retries);
	jw_kv_int(out, "failures", row->failures);
	jw_kv_int(out, "crashes", row->crashes);
	put_times(out, row);
	put_place(out, row, live);
	if (whole) {
		jw_key(out, "args");
		task_put_body(out, row->payload, row->json);
		jw_key(out, "result");
		task_put_body(out, row->result, row->result_json);
	}
	put_text(out, "error", row->error);
	put_text(out, "words", row->words);
	put_number(out, "parent", row->parent);
	put_number(out, "group", row->group);
	jw_kv_string(out, "schedule",
	    row->schedule != 0 ? schedules_name(b, row) : NULL);
	if (row->schedule != 0)
		jw_kv_int(out, "missed", row->missed);
	else
		jw_kv_null(out, "missed");
	jw_object_end(out);
}

int
task_state_of(const char *name)
{
	for (int i = 0; i < TASK_STATES; i++) {
		if (strcmp(task_state_names[i], name) == 0)
			return i;
	}
	return -1;
}
