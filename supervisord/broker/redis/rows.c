/*
 * Tasks as hashes in Redis, and back. Fields that say nothing (0, none) are
 * left out; their names are short, as there are many of them: README.md says
 * what they stand for.
 */

#ifdef WITH_HIREDIS

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/redis/shared_int.h"

enum kind {
	KIND_INT64,
	KIND_UINT64,
	KIND_UINT32,
	KIND_INT32,
	KIND_UINT8,
	KIND_BOOL,
	KIND_TEXT,
	KIND_BODY
};

static const struct column {
	const char name[4];
	enum kind kind;
	size_t offset;
} columns[] = {

#define COLUMN(name, kind, field)                                              \
	{                                                                      \
		name, KIND_##kind, offsetof(struct task_row, field)            \
	}
	/* clang-format off */
	COLUMN("f", TEXT, func),
	COLUMN("p", BODY, payload),
	COLUMN("j", BOOL, json),
	COLUMN("pr", UINT8, priority),
	COLUMN("c", INT64, created_ms),
	COLUMN("ti", INT64, timeout_ms),
	COLUMN("tt", INT64, result_ttl_ms),
	COLUMN("re", INT32, retries),
	COLUMN("d", INT64, due_ms),
	COLUMN("k", TEXT, key),
	COLUMN("lk", TEXT, limit_key),
	COLUMN("th", TEXT, then),
	COLUMN("pa", UINT64, parent),
	COLUMN("g", UINT64, group),
	COLUMN("fm", INT64, fire_ms),
	COLUMN("sm", UINT32, schedule),
	COLUMN("mi", UINT32, missed),
	COLUMN("n", UINT32, attempts),
	COLUMN("fl", UINT32, failures),
	COLUMN("cr", UINT32, crashes),
	COLUMN("vi", UINT32, victims),
	COLUMN("st", INT64, started_ms),
	COLUMN("fi", INT64, finished_ms),
	COLUMN("e", TEXT, error),
	COLUMN("wo", TEXT, words),
	/* The others are written by name: insert and ended of lib.lua. */
	COLUMN("s", UINT8, state),
	COLUMN("r", INT64, rank),
	COLUMN("ex", INT64, expires_ms),
	COLUMN("ho", TEXT, host),
	COLUMN("rj", BOOL, result_json),
	COLUMN("res", BODY, result),
/* clang-format on */
#undef COLUMN
};

#define WRITTEN 25 /* of them, by row_encode */

/* --- there ---------------------------------------------------------------- */

static bool
number_of(const struct column *c, const struct task_row *row, int64_t *ret)
{
	const void *at = (const char *)row + c->offset;

	switch (c->kind) {
	case KIND_INT64:
	case KIND_UINT64:
		memcpy(ret, at, sizeof *ret);
		break;
	case KIND_UINT32:
		*ret = *(const uint32_t *)at;
		break;
	case KIND_INT32:
		*ret = *(const int32_t *)at;
		break;
	case KIND_UINT8:
		*ret = *(const uint8_t *)at;
		break;
	case KIND_BOOL:
		*ret = *(const bool *)at;
		break;
	case KIND_TEXT:
	case KIND_BODY:
		return false;
	}
	return true;
}

static unsigned
put_column(struct resp *cmd, const struct column *c, const struct task_row *row)
{
	const void *at = (const char *)row + c->offset;
	const struct body *body;
	const char *text;
	int64_t n = 0;

	if (number_of(c, row, &n)) {
		if (n == 0)
			return 0;
		resp_str(cmd, c->name);
		resp_int(cmd, n);
	} else if (c->kind == KIND_TEXT) {
		memcpy(&text, at, sizeof text);
		if (text == NULL)
			return 0;
		resp_str(cmd, c->name);
		resp_str(cmd, text);
	} else {
		memcpy(&body, at, sizeof body);
		if (body == NULL)
			return 0;
		resp_str(cmd, c->name);
		resp_add(cmd, body->data, body->size);
	}
	return 2;
}

/* A number with as many characters each time, to be put before what it counts:
 * the pieces are counted while they are put. */
static size_t
begin_count(struct resp *cmd)
{
	resp_str(cmd, "000000");
	return cmd->b.size - 2;
}

static void
end_count(struct resp *cmd, size_t at, unsigned count)
{
	if (cmd->b.failed)
		return;
	for (size_t i = 1; i <= 6; i++, count /= 10)
		cmd->b.data[at - i] = (char)('0' + count % 10);
}

void
row_encode(struct resp *cmd, const struct task_row *row, const char *schedule,
    bool member, uint64_t group)
{
	struct task_row r = *row;
	unsigned count = 0;
	size_t at;

	r.group = member ? group : row->group;
	resp_uint(cmd, r.id);
	resp_str(cmd, r.worker);
	resp_str(cmd, r.state == TASK_SCHEDULED ? "1" : "0");
	resp_int(cmd, r.rank);
	resp_int(cmd, r.due_ms);
	resp_str(cmd, r.key);
	at = begin_count(cmd);
	for (size_t i = 0; i < WRITTEN; i++)
		count += put_column(cmd, &columns[i], &r);
	if (schedule != NULL) {
		resp_str(cmd, "sc");
		resp_str(cmd, schedule);
		count += 2;
	}
	end_count(cmd, at, count);
}

static void
put_int(struct resp *cmd, const char *name, int64_t n, unsigned *count)
{
	resp_str(cmd, name);
	resp_int(cmd, n);
	*count += 2;
}

static void
put_text(struct resp *cmd, const char *name, const char *text, unsigned *count)
{
	resp_str(cmd, name);
	resp_str(cmd, text);
	*count += 2;
}

void
row_change_encode(const struct shared *s, struct resp *cmd,
    const struct task_change *c, const struct body *result, bool json)
{
	unsigned count = 0;
	size_t at = begin_count(cmd);

	if ((c->fields & CHANGE_DUE) != 0)
		put_int(cmd, "d", c->due_ms, &count);
	if ((c->fields & CHANGE_ATTEMPTS) != 0)
		put_int(cmd, "n", c->attempts, &count);
	if ((c->fields & CHANGE_FAILURES) != 0)
		put_int(cmd, "fl", c->failures, &count);
	if ((c->fields & CHANGE_CRASHES) != 0)
		put_int(cmd, "cr", c->crashes, &count);
	if ((c->fields & CHANGE_VICTIMS) != 0)
		put_int(cmd, "vi", c->victims, &count);
	if ((c->fields & CHANGE_STARTED) != 0)
		put_int(cmd, "st", c->started_ms, &count);
	if ((c->fields & CHANGE_FINISHED) != 0)
		put_int(cmd, "fi", c->finished_ms, &count);
	if ((c->fields & CHANGE_INSTANCE) != 0) {
		put_text(cmd, "in", c->instance, &count);
		put_text(cmd, "ho", s->name, &count);
	}
	if ((c->fields & CHANGE_ERROR) != 0)
		put_text(cmd, "e", c->error, &count);
	if ((c->fields & CHANGE_WORDS) != 0)
		put_text(cmd, "wo", c->words, &count);
	if (result != NULL) {
		resp_str(cmd, "res");
		resp_add(cmd, result->data, result->size);
		count += 2;
		put_int(cmd, "rj", json, &count);
	}
	end_count(cmd, at, count);
}

/* --- and back ------------------------------------------------------------- */

bool
reply_is(const redisReply *r, const char *text)
{
	return r != NULL && r->str != NULL && strcmp(r->str, text) == 0;
}

int64_t
reply_number(const redisReply *r)
{
	if (r == NULL)
		return 0;
	if (r->type == REDIS_REPLY_INTEGER)
		return r->integer;
	return r->str != NULL ? strtoll(r->str, NULL, 10) : 0;
}

const redisReply *
reply_at(const redisReply *r, size_t i)
{
	return r != NULL && r->type == REDIS_REPLY_ARRAY && i < r->elements
		   ? r->element[i]
		   : NULL;
}

static bool
get_long(const struct column *c, const redisReply *v, void *at)
{
	if (c->kind == KIND_TEXT) {
		char **text = at;

		/* "": it was taken away. */
		if (v->len == 0 || *text != NULL)
			return true;
		*text = strndup(v->str, v->len);
		return *text != NULL;
	}
	struct body **body = at;

	if (*body == NULL)
		*body = body_new(v->str, v->len);
	return *body != NULL;
}

static bool
get_column(const struct column *c, const redisReply *v, struct task_row *row)
{
	void *at = (char *)row + c->offset;
	int64_t n = reply_number(v);

	switch (c->kind) {
	case KIND_INT64:
	case KIND_UINT64:
		memcpy(at, &n, sizeof n);
		break;
	case KIND_UINT32:
		*(uint32_t *)at = (uint32_t)n;
		break;
	case KIND_INT32:
		*(int32_t *)at = (int32_t)n;
		break;
	case KIND_UINT8:
		*(uint8_t *)at = (uint8_t)n;
		break;
	case KIND_BOOL:
		*(bool *)at = n != 0;
		break;
	case KIND_TEXT:
	case KIND_BODY:
		return get_long(c, v, at);
	}
	return true;
}

static bool
get_field(const redisReply *name, const redisReply *v, struct task_row *row)
{
	if (name->str == NULL || v->str == NULL)
		return true;
	if (strcmp(name->str, "w") == 0)
		snprintf(row->worker, sizeof row->worker, "%s", v->str);
	if (strcmp(name->str, "in") == 0)
		snprintf(row->instance, sizeof row->instance, "%s", v->str);
	for (size_t i = 0; i < N_ELEMENTS(columns); i++)
		if (strcmp(columns[i].name, name->str) == 0)
			return get_column(&columns[i], v, row);
	return true;
}

int
row_decode(uint64_t id, const redisReply *r, struct task_row *row)
{
	if (r == NULL || r->type != REDIS_REPLY_ARRAY)
		return -ENOENT;
	row->id = id;
	for (size_t i = 0; i + 1 < r->elements; i += 2)
		if (!get_field(r->element[i], r->element[i + 1], row))
			return -ENOMEM;
	/* A foreign hand's state would index arrays. */
	if (row->state >= TASK_STATES)
		row->state = TASK_DEAD;
	if (row->priority >= PRIORITIES)
		row->priority = PRIORITY_LOW;
	return row->worker[0] != '\0' ? 0 : -ENOENT;
}

#endif
