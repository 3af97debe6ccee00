/* The rules of a worker's life: exit codes, backoff, the ladder of a stop. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config/load_int.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/units.h"

#define STEP_WAIT (10 * NS_PER_SEC)

static int
read_exit_code(struct reader *r, const config_setting_t *s,
    const struct setting *row, struct rules *rules)
{
	struct setting number = *row;
	int n, err;

	number.type = &type_int;
	err = type_int.read(r, s, &number, &n);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < rules->exit_codes_count; i++) {
		if (rules->exit_codes[i] == n)
			return 0;
	}
	if (rules->exit_codes_count == FLEET_EXIT_CODES)
		return fail(
		    r->l, s, "more than %d exit codes", FLEET_EXIT_CODES);
	rules->exit_codes[rules->exit_codes_count++] = (uint8_t)n;
	return 0;
}

static int
read_exit_codes(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	struct rules *rules = field;
	int n, err;

	rules->exit_codes_count = 0;
	if (config_setting_is_number(s))
		return read_exit_code(r, s, row, rules);
	if (!config_setting_is_array(s) && !config_setting_is_list(s))
		return fail_type(r, s, row->type->words);
	n = config_setting_length(s);
	for (unsigned i = 0; i < (unsigned)n; i++) {
		err = read_exit_code(
		    r, config_setting_get_elem(s, i), row, rules);
		if (err < 0)
			return err;
	}
	return 0;
}

static bool
same_exit_codes(const void *a, const void *b)
{
	const struct rules *x = a, *y = b;

	return x->exit_codes_count == y->exit_codes_count &&
	       memcmp(x->exit_codes, y->exit_codes, x->exit_codes_count) == 0;
}

static int
read_backoff(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	struct backoff *b = field;
	int err = members_read(r, s, row, b);

	if (err == 0 && b->max < b->initial) {
		char initial[UNITS_TEXT], max[UNITS_TEXT];

		return fail(r->l, s, "max (%s) is less than initial (%s)",
		    units_format_duration(b->max, max, sizeof max),
		    units_format_duration(b->initial, initial, sizeof initial));
	}
	return err;
}

static bool
same_backoff(const void *a, const void *b)
{
	const struct backoff *x = a, *y = b;

	return x->initial == y->initial && x->max == y->max &&
	       x->reset_after == y->reset_after && x->factor == y->factor &&
	       x->jitter == y->jitter;
}

/* --- stopping
 * ----------------------------------------------------------------- */

static int
read_signal(struct reader *r, const config_setting_t *s, const char *name)
{
	int signo = units_signal(name);

	if (signo < 0)
		return fail(r->l, s,
		    "\"%s\" is not a signal (such as \"TERM\" or \"QUIT\")",
		    name);
	return signo;
}

/* The last rung is for ever. */
static void
end_ladder(struct rules *rules)
{
	unsigned n = rules->stop_count;

	if (n == 0 || rules->stop[n - 1].signo != SIGKILL)
		rules->stop[rules->stop_count++].signo = SIGKILL;
	rules->stop[rules->stop_count - 1].wait = 0;
}

/* "TERM 10s" */
static int
read_step(struct reader *r, const config_setting_t *s,
    const struct setting *row, struct rules *rules)
{
	const char *text = text_of(r, s, false), *wait;
	struct stop_step *step = &rules->stop[rules->stop_count];
	char name[32];
	size_t n;
	int err;

	if (text == NULL)
		return -EINVAL;
	n = strcspn(text, " \t");
	wait = text + n + strspn(text + n, " \t");
	if (rules->stop_count > 0 && step[-1].signo == SIGKILL)
		return fail(r->l, s, "nothing can follow KILL");
	if (rules->stop_count == FLEET_STOP_STEPS - 1)
		return fail(
		    r->l, s, "more than %d steps", FLEET_STOP_STEPS - 1);
	snprintf(name, sizeof name, "%.*s", (int)MIN_OF(n, sizeof name), text);
	err = read_signal(r, s, name);
	if (err < 0)
		return err;
	step->signo = err;
	step->wait = STEP_WAIT;
	if (*wait != '\0' && step->signo == SIGKILL)
		return fail(r->l, s, "KILL is the end and takes no time");
	if (*wait != '\0' &&
	    (units_duration(wait, &step->wait) < 0 || step->wait > row->max))
		return fail(r->l, s,
		    "\"%s\" is not a signal and a duration (\"TERM 10s\")",
		    text);
	rules->stop_count++;
	return 0;
}

static int
read_stop(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	struct rules *rules = field;
	int n = strings_count(r, s, row->type->words), err;

	if (n < 0)
		return n;
	if (n == 0)
		return fail(r->l, s, "no step");
	rules->stop_count = 0;
	for (unsigned i = 0; i < (unsigned)n; i++) {
		err = read_step(r, strings_at(s, i), row, rules);
		if (err < 0)
			return err;
	}
	end_ladder(rules);
	return 0;
}

static bool
same_stop(const void *a, const void *b)
{
	const struct rules *x = a, *y = b;

	if (x->stop_count != y->stop_count)
		return false;
	for (unsigned i = 0; i < x->stop_count; i++) {
		if (x->stop[i].signo != y->stop[i].signo ||
		    x->stop[i].wait != y->stop[i].wait)
			return false;
	}
	return true;
}

int
stop_read(struct reader *r, const struct slots *slots, struct rules *rules)
{
	const struct setting *row = schema_find(schema_worker, "stop_timeout");
	const config_setting_t *wait = slots->of[row - schema_worker];
	const config_setting_t *ladder =
	    slots->of[schema_index(schema_worker, "stop")];
	const config_setting_t *signal =
	    slots->of[schema_index(schema_worker, "stop_signal")];
	struct stop_step *first = &rules->stop[0];
	const char *name;
	int err;

	if (ladder != NULL)
		return read_stop(
		    r, ladder, schema_find(schema_worker, "stop"), rules);
	first->signo = SIGTERM;
	first->wait = STEP_WAIT;
	rules->stop_count = 1;
	err = wait != NULL ? type_duration.read(r, wait, row, &first->wait) : 0;
	if (signal != NULL) {
		name = text_of(r, signal, false);
		first->signo = name != NULL ? read_signal(r, signal, name) : -1;
		if (first->signo < 0)
			err = -EINVAL;
	}
	end_ladder(rules);
	return err;
}

const struct type type_exit_codes = { "an array of exit codes", read_exit_codes,
	same_exit_codes };
const struct type type_backoff = { "a group { }", read_backoff, same_backoff };
const struct type type_stop = {
	"an array of steps ([ \"TERM 10s\", \"KILL\" ])", read_stop, same_stop
};
