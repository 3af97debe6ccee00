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
ask(struct request *r, const char *what, bool targets_required)
{
	struct state_question q = { .what = what };
	struct targets t;
	int64_t since;
	bool all;

	if (!param_int(r, "since", 0, 0, INT64_MAX / 1000000, &since) ||
	    !param_int(r, "limit", 1000, 1, LIMIT_MAX, &q.limit))
		return;
	all = json_array_size(json_object_get(r->params, "targets")) == 0;
	if (!targets_of(r, targets_required, &t))
		return;
	if (!all && !targets_names(&t, strcmp(what, "events") == 0)) {
		targets_done(&t);
		request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	q.names = all ? NULL : t.names;
	if (since > 0)
		q.since_ms = clock_wall_ms() - since * 1000;
	answers_ask_store(r, &q);
	targets_done(&t);
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

static char **
copy_names(const json_t *words)
{
	size_t n = json_array_size(words);
	char **names = calloc(n + 1, sizeof(char *));

	for (size_t i = 0; names != NULL && i < n; i++) {
		const char *word = json_string_value(json_array_get(words, i));

		size_t length = word != NULL ? strlen(word) : 0;

		/* "web:*" is "web". */
		if (length > 2 && strcmp(word + length - 2, ":*") == 0)
			length -= 2;
		names[i] = strndup(word != NULL ? word : "", length);
		/* A short list would mean fewer events, not all of them. */
		if (names[i] == NULL)
			break;
	}
	return names;
}

static void
run_subscribe(struct request *r)
{
	const json_t *words = json_object_get(r->params, "targets");
	char **names = NULL;
	struct targets t;
	struct buf b;

	if (!targets_of(r, false, &t))
		return;
	targets_done(&t);
	if (json_array_size(words) > 0)
		names = copy_names(words);
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		if (strcmp(names[i], "all") != 0)
			continue;
		for (size_t j = 0; names[j] != NULL; j++)
			free(names[j]);
		free(names);
		names = NULL;
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
