#include "supervisord/master/exits.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"
#include "supervisord/master/crew.h"
#include "supervisord/proto/stages.h"

void
exit_from_child(const struct msg_child *msg, struct exit_info *ret)
{
	int64_t ago = clock_mono() - msg->ended_mono;

	memset(ret, 0, sizeof *ret);
	ret->at_ms = clock_wall_ms() - MAX_OF(ago, 0) / NS_PER_MS;
	ret->lived_ms =
	    MAX_OF(msg->ended_mono - msg->started_mono, 0) / NS_PER_MS;
	ret->pid = msg->pid;
	ret->code = -1;
	if (msg->flags & CHILD_NO_EXEC) {
		ret->stage = msg->stage;
		ret->error = msg->error;
		ret->code = 127;
	} else if (msg->code == CLD_EXITED) {
		ret->code = msg->status;
	} else if (msg->code == CLD_KILLED || msg->code == CLD_DUMPED) {
		ret->signo = msg->status;
		ret->core = msg->code == CLD_DUMPED;
	} else {
		ret->unknown = 1;
	}
}

/* It is not its argv that is run (book.c). */
static bool
is_runtime(const struct worker *w)
{
	return w->module != NULL ||
	       (w->hybrid && w->tasks.mode == TASK_MODE_EXEC);
}

static void
stage_failure(const struct instance *it, const struct exit_info *e, char *out,
    size_t size)
{
	const struct worker *w = it != NULL ? it->team->worker : NULL;
	char what[PATH_MAX] = "";
	const char *hint = "";

	if (w == NULL) {
		/* Its worker is forgotten; the stage and the error are not. */
	} else if (e->stage == STAGE_EXEC && is_runtime(w)) {
		snprintf(what, sizeof what, "supervisord's own program worker");
	} else if (e->stage == STAGE_EXEC) {
		if (fleet_fill(w->argv[0], it->row->index, what, sizeof what) <
		    0)
			what[0] = '\0';
		if (e->error == ENOENT)
			hint =
			    strchr(what, '/') != NULL
				? " (is the path right, and its #! interpreter installed?)"
				: " (it is in no folder of PATH)";
		else if (e->error == EACCES)
			hint =
			    " (not an executable file, or a folder; chmod +x?)";
		else if (e->error == ENOEXEC)
			hint =
			    " (not a program of this machine, and no #! line)";
	} else if (e->stage == STAGE_DIRECTORY && w->directory != NULL) {
		if (fleet_fill(
			w->directory, it->row->index, what, sizeof what) < 0)
			what[0] = '\0';
	}
	snprintf(out, size, "could not %s%s%.300s: %s%s", stage_words(e->stage),
	    what[0] != '\0' ? ": " : "", what, strerror(e->error), hint);
}

/* Why it is being, or was, replaced though it was well; NULL: it was not. */
static const char *
note_of(const struct instance *it, int pid)
{
	return it != NULL && it->note != NULL && pid != 0 && it->note_pid == pid
		   ? it->note
		   : NULL;
}

static void
add_note(const struct instance *it, const struct exit_info *e, char *out,
    size_t size)
{
	const char *note = note_of(it, e->pid);
	size_t n = strlen(out);

	if (note != NULL && e->at_ms != 0)
		snprintf(out + n, size - n, " (%s)", note);
}

char *
exit_words(const struct instance *it, const struct exit_info *e, char *out,
    size_t size)
{
	char name[32];

	if (e->at_ms == 0)
		snprintf(out, size, "has not ended yet");
	else if (e->stage != 0)
		stage_failure(it, e, out, size);
	else if (e->unknown)
		snprintf(out, size,
		    "ended (how is not known: it was taken over after a crash "
		    "of supervisord)");
	else if (e->signo != 0)
		snprintf(out, size, "killed by %s%s",
		    units_signal_name(e->signo, name, sizeof name),
		    e->core ? " (core dumped)" : "");
	else
		snprintf(out, size, "exited %d", e->code);
	add_note(it, e, out, size);
	return out;
}

void
exit_json(struct buf *b, const struct exit_info *e)
{
	char name[32];

	if (e->at_ms == 0) {
		jw_null(b);
		return;
	}
	jw_object(b);
	if (e->code >= 0)
		jw_kv_int(b, "code", e->code);
	else
		jw_kv_null(b, "code");
	if (e->signo != 0)
		jw_kv_string(b, "signal",
		    units_signal_name(e->signo, name, sizeof name));
	else
		jw_kv_null(b, "signal");
	jw_kv_bool(b, "core", e->core);
	jw_kv_time(b, "at", e->at_ms);
	jw_object_end(b);
}

int
exit_status_of(const struct exit_info *e)
{
	if (e->signo != 0)
		return 128 + e->signo;
	return e->code >= 0 ? e->code : 1;
}

static const char stands_in[] = "stands in while others are replaced";

/* Its worker is gone from the config, or has more instances than it shall. */
static const char *
leaving_reason(const struct instance *it, char *out, size_t size)
{
	if (it->team->doomed)
		snprintf(out, size, "removed from the config");
	else
		snprintf(out, size, "no longer one of the %u wanted",
		    it->team->wanted);
	return out;
}

static void
backoff_reason(
    const struct instance *it, const char *words, char *out, size_t size)
{
	const struct life *life = &it->row->life;
	int64_t left = life->deadline - clock_mono();
	char next[UNITS_TEXT];

	left = MAX_OF(left, 0) / NS_PER_MS * NS_PER_MS;
	units_format_duration(left, next, sizeof next);
	if (it->row->why == ON_FAILED) {
		snprintf(out, size,
		    "%s before it was started (failed start %u in a row); next "
		    "try in %s",
		    words, life->failures, next);
	} else if (it->row->why == ON_NOT_SPAWNED) {
		snprintf(out, size, "%s; next try in %s", words, next);
	} else {
		snprintf(out, size, "%s after a short life; next try in %s",
		    words, next);
	}
}

char *
instance_reason(const struct instance *it, char *out, size_t size)
{
	const struct memory_row *row = it->row;
	char words[EXIT_WORDS], leaving[64];

	exit_words(it, &row->exit, words, sizeof words);
	switch ((enum life_state)row->life.state) {
	case ST_STOPPED:
		snprintf(out, size, "%s",
		    row->by_user && !row->life.wanted ? "stopped by a user"
		    : it->doomed ? leaving_reason(it, leaving, sizeof leaving)
		    : !row->life.wanted && row->exit.at_ms == 0
			? "not started (autostart = false)"
			: "stopped");
		break;
	case ST_WAITING:
		snprintf(out, size, "waits for its turn (max_starting)");
		break;
	case ST_STARTING:
		snprintf(out, size, "%s",
		    row->life.launching ? "being launched"
		    : instance_rules(it)->announces
			? "it has not said yet what it can do"
			: "not up for start_seconds yet");
		break;
	case ST_RUNNING:
		if (row->life.finishing)
			snprintf(out, size, "%s; it finishes its tasks first",
			    note_of(it, row->pid) != NULL
				? note_of(it, row->pid)
			    : it->doomed
				? leaving_reason(it, leaving, sizeof leaving)
				: "to be replaced");
		else if (row->stand_in)
			snprintf(out, size, "%s", stands_in);
		else if (row->adopted)
			snprintf(out, size,
			    "taken over after a crash of supervisord");
		else if (row->life.restarts > 0 && row->exit.at_ms != 0)
			snprintf(out, size, "restarted: %s", words);
		else
			snprintf(out, size, "started");
		break;
	case ST_BACKOFF:
		backoff_reason(it, words, out, size);
		break;
	case ST_STOPPING:
		snprintf(out, size, "%s",
		    row->life.leaving ? "its descendants are being ended"
		    : note_of(it, row->pid) != NULL ? note_of(it, row->pid)
		    : it->doomed ? leaving_reason(it, leaving, sizeof leaving)
				 : "asked to end");
		break;
	case ST_EXITED:
		snprintf(out, size, "%s", words);
		break;
	case ST_FATAL:
		snprintf(out, size, "%s (%u failed starts in a row, given up)",
		    words, row->life.failures);
		break;
	case ST_UNKNOWN:
	case ST_COUNT:
		snprintf(out, size, "not known");
		break;
	}
	return out;
}

char *
change_reason(const struct instance *it, const struct life_change *change,
    bool last, char *out, size_t size)
{
	char words[EXIT_WORDS], leaving[64];
	const char *note = note_of(it, it->row->pid);

	exit_words(it, &it->row->exit, words, sizeof words);
	switch (change->event) {
	case ON_UP:
		snprintf(out, size, "%s",
		    change->from == ST_BACKOFF   ? "tried again"
		    : change->from == ST_WAITING ? "its turn has come"
		    : it->row->stand_in          ? stands_in
						 : "to be up");
		break;
	case ON_DOWN:
		snprintf(out, size, "%s",
		    it->doomed     ? leaving_reason(it, leaving, sizeof leaving)
		    : note != NULL ? note
		    : it->row->life.wanted ? "to be restarted"
					   : "to be down");
		break;
	case ON_STARTED:
		snprintf(out, size, "started");
		break;
	case ON_EXIT_AGAIN:
		snprintf(out, size, "%s; restarted at once", words);
		break;
	case ON_GONE:
	case ON_GONE_LEAVING:
		snprintf(out, size, "%s", words);
		break;
	case ON_EMPTY:
		snprintf(out, size, "%s; no descendant is left", words);
		break;
	case ON_WAIT:
	case ON_SPAWNED:
	case ON_NOT_SPAWNED:
	case ON_FAILED:
	case ON_GAVE_UP:
	case ON_EXIT_LATER:
	case ON_EXIT_DONE:
	case ON_TIMER:
	case ON_COUNT:
		if (last)
			return instance_reason(it, out, size);
		snprintf(out, size, "%s", words);
		break;
	}
	return out;
}
