#include "supervisord/broker/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "supervisord/base/log.h"
#include "supervisord/proto/wire.h"

#define CONFIG_MAX   (64U << 20)
#define YEARS_MS     (100LL * 366 * 86400 * 1000)
#define CATCH_UP_MAX 1000

static const char *const durabilities[] = {
	[DURABLE_FULL] = "full",
	[DURABLE_PROCESS] = "process",
	[DURABLE_NONE] = "none",
};

static const char *const overlaps[] = {
	[OVERLAP_SKIP] = "skip",
	[OVERLAP_QUEUE] = "queue",
	[OVERLAP_ALLOW] = "allow",
};

static const char *const catch_ups[] = {
	[CATCH_UP_ONE] = "one",
	[CATCH_UP_NONE] = "none",
	[CATCH_UP_ALL] = "all",
};

/* One object that is read; the first thing that is wrong is remembered. */
struct reader {
	const json_t *object;
	const char *where; /* for the message */
	struct buf *why;
	int error;
};

static void
wrong(struct reader *r, const char *key, const char *what)
{
	if (r->error == 0)
		buf_fmt(r->why, "%s.%s: %s", r->where, key, what);
	r->error = -EINVAL;
}

static const json_t *
value(struct reader *r, const char *key)
{
	const json_t *v = json_object_get(r->object, key);

	return json_is_null(v) ? NULL : v;
}

static int64_t
number(struct reader *r, const char *key, int64_t least, int64_t most,
    int64_t otherwise)
{
	const json_t *v = value(r, key);
	int64_t n;

	if (v == NULL)
		return otherwise;
	if (!json_is_integer(v)) {
		wrong(r, key, "not an integer");
		return otherwise;
	}
	n = json_integer_value(v);
	if (n < least || n > most) {
		wrong(r, key, "out of range");
		return otherwise;
	}
	return n;
}

static double
real(struct reader *r, const char *key, double least, double most,
    double otherwise)
{
	const json_t *v = value(r, key);
	double n;

	if (v == NULL)
		return otherwise;
	n = json_number_value(v);
	if (!json_is_number(v) || !(n >= least && n <= most)) {
		wrong(r, key, "not a number of its range");
		return otherwise;
	}
	return n;
}

static bool
boolean(struct reader *r, const char *key, bool otherwise)
{
	const json_t *v = value(r, key);

	if (v != NULL && !json_is_boolean(v))
		wrong(r, key, "neither true nor false");
	return v == NULL ? otherwise : json_is_true(v);
}

/* Into room bytes; a missing one is "". */
static void
text(struct reader *r, const char *key, char *out, size_t room, bool must)
{
	const json_t *v = value(r, key);
	size_t size = json_string_length(v);

	out[0] = '\0';
	if (v == NULL && !must)
		return;
	if (!json_is_string(v) || size >= room || (must && size == 0)) {
		wrong(r, key, "not a string of its length");
		return;
	}
	memcpy(out, json_string_value(v), size);
	out[size] = '\0';
}

static char *
text_copy(struct reader *r, const char *key, bool must)
{
	const json_t *v = value(r, key);
	char *copy = NULL;

	if (v == NULL && !must)
		return NULL;
	if (!json_is_string(v)) {
		wrong(r, key, "not a string");
		return NULL;
	}
	copy = strdup(json_string_value(v));
	if (copy == NULL && r->error == 0) {
		buf_fmt(r->why, "out of memory");
		r->error = -ENOMEM;
	}
	return copy;
}

static unsigned
choice(
    struct reader *r, const char *key, const char *const *names, size_t count)
{
	const json_t *v = value(r, key);

	if (v == NULL)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		if (json_is_string(v) &&
		    strcmp(json_string_value(v), names[i]) == 0)
			return i;
	}
	wrong(r, key, "not one of its words");
	return 0;
}

static void
read_backoff(struct reader *r, struct pool_config *p)
{
	struct reader in = { value(r, "backoff"), r->where, r->why, r->error };

	p->backoff_initial_ms = number(&in, "initial_ms", 0, YEARS_MS, 1000);
	p->backoff_max_ms = number(&in, "max_ms", 0, YEARS_MS, 3600 * 1000);
	p->backoff_factor = real(&in, "factor", 1., 1000., 2.);
	p->backoff_jitter = real(&in, "jitter", 0., 1., .1);
	r->error = in.error;
}

static void
read_autoscale(struct reader *r, struct pool_config *p)
{
	struct reader in = { value(r, "autoscale"), r->where, r->why,
		r->error };

	if (in.object == NULL)
		return;
	p->autoscale = true;
	p->scale_min = (uint32_t)number(&in, "min", 0, 65536, 1);
	p->scale_max = (uint32_t)number(&in, "max", 1, 65536, 8);
	p->scale_backlog = (uint64_t)number(&in, "backlog", 1, INT32_MAX, 10);
	p->min_spare = (uint32_t)number(&in, "min_spare", 0, INT32_MAX, 0);
	p->max_spare = (uint32_t)number(&in, "max_spare", 0, INT32_MAX, 0);
	p->scale_cooldown_ms =
	    number(&in, "cooldown_ms", 0, YEARS_MS, 10 * 1000);
	r->error = in.error;
	if (p->scale_min > p->scale_max)
		wrong(r, "autoscale", "min is above max");
}

static void
read_pool(struct reader *r, void *out)
{
	struct pool_config *p = out;

	text(r, "name", p->name, sizeof p->name, true);
	p->exec = boolean(r, "exec", false);
	p->threads = (uint32_t)number(r, "threads", 1, WIRE_THREADS_MAX, 1);
	p->timeout_ms = number(r, "timeout_ms", 0, YEARS_MS, 0);
	p->grace_ms = number(r, "grace_ms", 0, YEARS_MS, 2000);
	p->sibling_grace_ms =
	    number(r, "sibling_grace_ms", 0, YEARS_MS, 30 * 1000);
	p->retries = (int32_t)number(r, "retries", -1, INT32_MAX, 0);
	p->max_queue = (uint64_t)number(r, "max_queue", 0, INT64_MAX, 0);
	p->result_ttl_ms =
	    number(r, "result_ttl_ms", 0, YEARS_MS, 86400 * 1000);
	p->aging_ms = number(r, "aging_ms", 0, YEARS_MS, 30 * 1000);
	p->max_crashes = (uint32_t)number(r, "max_crashes", 1, INT32_MAX, 3);
	p->durability = (enum durability)choice(
	    r, "durability", durabilities, N_ELEMENTS(durabilities));
	p->key_concurrency =
	    (uint32_t)number(r, "key_concurrency", 0, INT32_MAX, 0);
	p->key_rate = real(r, "key_rate", 0., 1e9, 0.);
	p->recycle_tasks =
	    (uint64_t)number(r, "recycle_tasks", 0, INT64_MAX, 0);
	p->recycle_jitter = real(r, "recycle_jitter", 0., 1., .1);
	p->instances = (uint32_t)number(r, "instances", 0, 65536, 1);
	p->shared = boolean(r, "shared", false);
	read_backoff(r, p);
	read_autoscale(r, p);
}

static void
read_schedule(struct reader *r, void *out)
{
	struct schedule_config *s = out;

	text(r, "name", s->name, sizeof s->name, true);
	text(r, "worker", s->worker, sizeof s->worker, true);
	s->func = text_copy(r, "func", true);
	s->args = text_copy(r, "args", false);
	s->cron = text_copy(r, "cron", false);
	s->every_ms = number(r, "every_ms", 0, YEARS_MS, 0);
	s->timezone = text_copy(r, "timezone", false);
	s->catch_up = (enum catch_up)choice(
	    r, "catch_up", catch_ups, N_ELEMENTS(catch_ups));
	s->catch_up_max = CATCH_UP_MAX;
	s->overlap =
	    (enum overlap)choice(r, "overlap", overlaps, N_ELEMENTS(overlaps));
	s->priority =
	    (uint8_t)number(r, "priority", 0, PRIORITIES - 1, PRIORITY_MIDDLE);
	s->timeout_ms = number(r, "timeout_ms", -1, INT32_MAX, -1);
	if ((s->cron == NULL) == (s->every_ms == 0))
		wrong(r, "every_ms", "needs one of cron and every_ms");
}

/* A list of objects into an array of zeroed elements, each read by `each`. */
static void *
list_of(struct reader *r, const char *key, size_t size, size_t *ret_count,
    void (*each)(struct reader *r, void *out))
{
	const json_t *list = value(r, key);
	size_t count = json_array_size(list);
	char *all;

	*ret_count = 0;
	if (list == NULL)
		return NULL;
	if (!json_is_array(list)) {
		wrong(r, key, "not a list");
		return NULL;
	}
	all = calloc(count + 1, size);
	if (all == NULL) {
		wrong(r, key, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		struct reader in = { json_array_get(list, i), key, r->why,
			r->error };

		if (!json_is_object(in.object))
			wrong(&in, "", "not an object");
		each(&in, all + i * size);
		r->error = in.error;
	}
	*ret_count = count;
	return all;
}

_Static_assert(sizeof(uid_t) == sizeof(uint32_t), "ids of 32 bits");
_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "ids of 32 bits");

static uint32_t *
ids_of(struct reader *r, const char *who, const char *key, size_t *ret_count)
{
	const json_t *list = json_object_get(value(r, who), key);
	size_t count = json_array_size(list);
	uint32_t *ids;

	*ret_count = 0;
	if (list == NULL)
		return NULL;
	ids = calloc(count + 1, sizeof *ids);
	if (ids == NULL) {
		wrong(r, who, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		const json_t *v = json_array_get(list, i);
		json_int_t n = json_integer_value(v);

		if (!json_is_integer(v) || n < 0 || n >= UINT32_MAX) {
			wrong(r, who, "not an id");
			free(ids);
			return NULL;
		}
		ids[i] = (uint32_t)n;
	}
	*ret_count = count;
	return ids;
}

static void
read_ids(struct reader *r, const char *who, struct ids *ids)
{
	ids->uids = ids_of(r, who, "uids", &ids->uids_count);
	ids->gids = ids_of(r, who, "gids", &ids->gids_count);
}

static int
by_name(const void *a, const void *b)
{
	const struct pool_config *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
read_all(struct reader *r, struct broker *b)
{
	struct reader log = { value(r, "log"), "log", r->why, r->error };

	b->log_level = (int)number(
	    &log, "level", LOG_LEVEL_ERROR, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO);
	b->log_json = boolean(&log, "json", false);
	r->error = log.error;
	text(r, "tasks_path", b->tasks_path, sizeof b->tasks_path, true);
	text(r, "store_path", b->store_path, sizeof b->store_path, false);
	b->shared_url = text_copy(r, "shared_url", false);
	b->lease_ms = number(r, "lease_ms", 1, YEARS_MS, 15 * 1000);
	b->socket_mode = (mode_t)number(r, "socket_mode", 0, 07777, 0660);
	b->socket_group =
	    (gid_t)number(r, "socket_group", -1, UINT32_MAX - 1, -1);
	read_ids(r, "admins", &b->access.admins);
	read_ids(r, "viewers", &b->access.viewers);
	b->pools =
	    list_of(r, "pools", sizeof *b->pools, &b->pools_count, read_pool);
	b->schedules_config = list_of(r, "schedules",
	    sizeof *b->schedules_config, &b->schedules_count, read_schedule);
	/* broker_pool searches. */
	if (b->pools_count > 1)
		qsort(b->pools, b->pools_count, sizeof *b->pools, by_name);
	for (size_t i = 0; i < b->pools_count; i++) {
		if (b->pools[i].shared && b->shared_url == NULL)
			wrong(r, "shared_url", "missing");
	}
	b->configured = true;
}

int
config_parse(const char *json, size_t size, struct broker *ret, struct buf *why)
{
	struct reader r = { NULL, "config", why, 0 };
	json_error_t error;
	json_t *root;

	root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(root)) {
		buf_fmt(why, "%s",
		    root == NULL ? error.text : "the config is no object");
		json_decref(root);
		return -EINVAL;
	}
	r.object = root;
	read_all(&r, ret);
	json_decref(root);
	if (r.error < 0)
		config_done(ret);
	return r.error;
}

int
config_read(int fd, struct broker *ret, struct buf *why)
{
	struct stat st;
	size_t size;
	void *map;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > CONFIG_MAX) {
		buf_fmt(why, "its size can't be");
		return -EINVAL;
	}
	size = (size_t)st.st_size;
	map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED) {
		buf_fmt(why, "can't map it: %s", strerror(errno));
		return -ENOMEM;
	}
	/* A NUL may end it. */
	r = config_parse(map, strnlen(map, size), ret, why);
	munmap(map, size);
	return r;
}

static void
swap_bytes(void *a, void *b, size_t size)
{
	char *x = a, *y = b;

	for (size_t i = 0; i < size; i++) {
		char c = x[i];

		x[i] = y[i];
		y[i] = c;
	}
}

#define SWAP(field) swap_bytes(&a->field, &b->field, sizeof a->field)

void
config_swap(struct broker *a, struct broker *b)
{
	SWAP(configured);
	SWAP(log_level);
	SWAP(log_json);
	SWAP(tasks_path);
	SWAP(store_path);
	SWAP(shared_url);
	SWAP(lease_ms);
	SWAP(socket_mode);
	SWAP(socket_group);
	SWAP(access);
	SWAP(pools);
	SWAP(pools_count);
	SWAP(schedules_config);
	SWAP(schedules_count);
}

#undef SWAP

void
config_done(struct broker *b)
{
	for (size_t i = 0; i < b->schedules_count; i++) {
		struct schedule_config *s = &b->schedules_config[i];

		free(s->func);
		free(s->args);
		free(s->cron);
		free(s->timezone);
	}
	free(b->schedules_config);
	free(b->pools);
	free(b->shared_url);
	b->shared_url = NULL;
	access_done(&b->access);
	b->schedules_config = NULL;
	b->pools = NULL;
	b->schedules_count = b->pools_count = 0;
	b->configured = false;
}
