/*
 * Any bytes as a config: the load must end with a fleet that keeps its
 * promises, or with errors in words. No disk is touched: the files come from a
 * snapshot made up here.
 *
 * The input is the top file. A line "%%% NAME" starts another file, /f/NAME,
 * which the pattern "*.cfg" also matches. An input that starts with a
 * snapshot's magic is taken as the snapshot itself.
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config/diff.h"
#include "config/fleet.h"
#include "config/load.h"

#define MAGIC "svdcfg01"
#define TOP   "/f/top.cfg"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char env_home[] = "HOME=/root",
	    env_empty[] = "EMPTY=", env_hole[] = "HOLE=\x01",
	    env_odd[] = "=odd";
static char *environment[] = { env_home, env_empty, env_hole, env_odd, NULL };

static void
add_record(struct buf *b, uint32_t kind, const char *name, const void *data,
    size_t size)
{
	struct {
		uint32_t kind;
		int32_t result;
		uint64_t name_size, data_size;
	} head = { kind, 0, strlen(name), size };

	buf_add(b, &head, sizeof head);
	buf_str(b, name);
	buf_add(b, data, size);
}

static void
make_snapshot(struct buf *b, const char *p, size_t size)
{
	const char *end = p + size, *next, *line;
	char name[64] = TOP;
	const int64_t zone = 0;
	struct buf matches;

	buf_init(&matches);
	buf_str(b, MAGIC);
	do {
		next = memmem(p, (size_t)(end - p), "\n%%% ", 5);
		add_record(
		    b, 1, name, p, (size_t)((next != NULL ? next : end) - p));
		if (next == NULL)
			break;
		next += 5;
		line = memchr(next, '\n', (size_t)(end - next));
		if (line == NULL)
			line = end;
		snprintf(name, sizeof name, "/f/%.*s",
		    line - next < 32 ? (int)(line - next) : 32, next);
		buf_add(&matches, name, strlen(name) + 1);
		p = line;
	} while (p < end);
	add_record(b, 2, "/f/*.cfg", matches.data, matches.size);
	add_record(b, 3, "zone:Europe/Berlin", &zone, sizeof zone);
	buf_done(&matches);
}

static void
check_environment(char **environ_of)
{
	for (char **e = environ_of; *e != NULL; e++) {
		assert(strchr(*e, '=') != NULL);
		assert(e[1] == NULL ||
		       strncmp(*e, e[1], strcspn(*e, "=") + 1) != 0);
	}
}

static void
check_worker(const struct fleet *fleet, const struct worker *w)
{
	char filled[65536];

	assert(fleet_find(fleet, w->name) == w);
	assert(w->source != NULL && w->line > 0);
	assert(w->argv != NULL && w->argv[0] != NULL && *w->argv[0] != '\0');
	assert(w->processes <= FLEET_INSTANCES);
	assert(
	    w->rules.stop_count > 0 && w->rules.stop_count <= FLEET_STOP_STEPS);
	assert(w->rules.stop[w->rules.stop_count - 1].signo == SIGKILL);
	assert(w->rules.backoff.max >= w->rules.backoff.initial);
	assert(w->rules.backoff.factor >= 1);
	assert(w->out.kind != OUTPUT_STDOUT);
	assert(w->out.file == NULL || w->out.file[0] == '/');
	assert(w->threads >= 1 && w->threads <= FLEET_THREADS);
	assert(w->hybrid || w->module == NULL);
	assert(w->hybrid || !w->autoscale.on ||
	       !autoscale_by_queue(&w->autoscale));
	assert(w->hybrid || w->recycle.max_tasks == 0);
	assert(w->module == NULL || w->argv[1] == NULL);
	assert(!w->autoscale.on || (w->processes >= w->autoscale.min &&
				       w->processes <= w->autoscale.max));
	for (char **s = w->sockets; s != NULL && *s != NULL; s++)
		assert(fleet_socket(fleet, *s) != NULL);
	check_environment(w->environment);
	fleet_fill(w->argv[0], 12345, filled, sizeof filled);
}

static void
check_beside(const struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->sockets_count; i++) {
		const struct socket_setting *s = fleet->sockets[i];

		assert(fleet_socket(fleet, s->name) == s);
		if (s->kind == SOCKET_UNIX)
			assert(s->path[0] == '/' && strlen(s->path) < 108);
		else
			assert(s->host != NULL && s->port != NULL);
	}
	for (size_t i = 0; i < fleet->schedules_count; i++) {
		const struct schedule *s = fleet->schedules[i];

		assert(fleet_find(fleet, s->task)->hybrid);
		assert(s->func != NULL);
		assert((s->cron != NULL) == (s->every == 0));
	}
}

/* What was read can be read again from what it left behind. */
static void
check_again(const struct fleet *fleet, struct buf *snapshot)
{
	struct load load = { .path = TOP,
		.from = snapshot->data,
		.from_size = snapshot->size,
		.environ = environment };
	struct fleet *again = NULL;
	struct fleet_diff diff;
	struct buf errors;
	int err;

	buf_init(&errors);
	err = load_fleet(&load, &again, NULL, &errors);
	assert(err == 0);
	err = fleet_diff(fleet, again, &diff);
	assert(err == 0);
	for (size_t i = 0; i < diff.count; i++)
		assert(diff.workers[i].change == CHANGE_KEPT);
	assert(diff.fixed[0] == '\0');
	assert(!diff.sockets && !diff.schedules);
	fleet_diff_done(&diff);
	fleet_free(again);
	buf_done(&errors);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf from, snapshot, errors;
	struct load load = { .path = TOP, .environ = environment };
	struct fleet *fleet = NULL;
	int err;

	buf_init(&from);
	buf_init(&snapshot);
	buf_init(&errors);
	if (size >= sizeof MAGIC - 1 &&
	    memcmp(data, MAGIC, sizeof MAGIC - 1) == 0)
		buf_add(&from, data, size);
	else
		make_snapshot(&from, (const char *)data, size);
	load.from = from.data;
	load.from_size = from.size;
	load.pid1 = size % 2 == 1;
	err = load_fleet(&load, &fleet, &snapshot, &errors);
	if (err == 0) {
		assert(errors.size == 0);
		for (size_t i = 0; i < fleet->count; i++)
			check_worker(fleet, fleet->workers[i]);
		check_beside(fleet);
		if (!load.pid1)
			check_again(fleet, &snapshot);
		fleet_free(fleet);
	} else {
		assert(err == -EINVAL);
		assert(errors.size > 0 && errors.data[errors.size - 1] == '\n');
		assert(memchr(errors.data, '\0', errors.size) == NULL);
	}
	buf_done(&from);
	buf_done(&snapshot);
	buf_done(&errors);
	return 0;
}
