/* events, history: what is stored; events.subscribe: what happens from now. */

#include <stdlib.h>
#include <string.h>

#include "state/state.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/master/answers.h"
#include "supervisord/master/cmd/cmd.h"
#include "supervisord/master/control.h"
#include "supervisord/master/targets.h"

#define LIMIT_MAX 100000

static void
free_names(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}

/* As they were given: a worker's name is also that of its own events and of
 * instances it had. *ret: NULL for all. false: no memory. */
static bool
names_of(const json_t *words, char ***ret)
{
	size_t n = json_array_size(words);
	char **names = n > 0 ? calloc(n + 1, sizeof(char *)) : NULL;

	*ret = NULL;
	if (n == 0)
		return true;
	for (size_t i = 0; names != NULL && i < n; i++) {
		const char *word = json_string_value(json_array_get(words, i));
		size_t length = word != NULL ? strlen(word) : 0;

		if (word != NULL && strcmp(word, "all") == 0) {
			free_names(names);
			return true;
		}
		/* "web:*" is "web". */
		if (length > 2 && strcmp(word + length - 2, ":*") == 0)
			length -= 2;
		names[i] = strndup(word != NULL ? word : "", length);
		if (names[i] == NULL) {
			free_names(names);
			return false;
		}
	}
	*ret = names;
	return names != NULL;
}

static void
ask(struct request *r, const char *what, bool targets_required)
{
	struct state_question q = { .what = what };
	struct targets t;
	char **names;
	int64_t since;

	if (!param_int(r, "since", 0, 0, INT64_MAX / 1000000, &since) ||
	    !param_int(r, "limit", 1000, 1, LIMIT_MAX, &q.limit))
		return;
	if (!targets_of(r, targets_required, &t))
		return;
	targets_done(&t);
	if (!names_of(json_object_get(r->params, "targets"), &names)) {
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	q.names = names;
	if (since > 0)
		q.since_ms = clock_wall_ms() - since * 1000;
	answers_ask_store(r, &q);
	free_names(names);
}

static void
run_events(struct request *r)
{
	ask(r, "events", false);
}

static void
run_history(struct request *r)
{
	ask(r, "history", false);
}

static void
run_subscribe(struct request *r)
{
	char **names;
	struct targets t;
	struct buf b;

	if (!targets_of(r, false, &t))
		return;
	targets_done(&t);
	if (!names_of(json_object_get(r->params, "targets"), &names)) {
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	client_subscribe(r->client, names);
	buf_init(&b);
	jw_object(&b);
	jw_kv_bool(&b, "subscribed", true);
	jw_object_end(&b);
	request_reply(r, &b);
}

const struct command cmd_events = { "events", MAY_LOOK, run_events };
const struct command cmd_history = { "history", MAY_LOOK, run_history };
const struct command cmd_subscribe = { "events.subscribe", MAY_LOOK,
	run_subscribe };
