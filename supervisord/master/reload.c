#include "supervisord/master/reload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/diff.h"
#include "config/fleet.h"
#include "config/load.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/master/access.h"
#include "supervisord/master/autoscale.h"
#include "supervisord/master/book.h"
#include "supervisord/master/control.h"
#include "supervisord/master/drive.h"
#include "supervisord/master/jobs.h"
#include "supervisord/master/master.h"
#include "supervisord/master/record.h"
#include "supervisord/master/recycle.h"
#include "supervisord/master/relief.h"
#include "supervisord/master/rpc.h"
#include "supervisord/master/sockets.h"
#include "supervisord/master/streams.h"
#include "supervisord/master/teams.h"
#include "supervisord/master/to_broker.h"

extern char **environ;

/* A reload that waits for the one before it. */
struct turn {
	struct list link;
	struct request *request; /* NULL: SIGHUP */
	bool dry_run, wait;
};

struct reload {
	struct master *m;
	ev_async done;
	bool busy;
	struct list turns; /* those that came meanwhile */

	/* the present one; the thread's own until `done` */
	pthread_t thread;
	char path[PATH_MAX];
	bool pid1;
	struct fleet *fleet;
	struct access *access;
	struct buf snapshot, errors;
	int error;

	struct request *request;
	bool dry_run, wait;
};

/* --- the parts ------------------------------------------------------------ */

static int
send_book(struct master *m, const struct fleet *fleet)
{
	struct msg_book old = { .book = m->book },
			new = { .book = m->book + 1 };
	struct book_setting set = { fleet, m->libexec,
		to_broker_is_wanted(fleet) };
	uint64_t *offsets = calloc(2 * fleet->count + 1, sizeof *offsets);
	int fd = -ENOMEM;

	if (offsets != NULL)
		fd = book_make(&set, offsets, &new.size);
	if (fd < 0) {
		free(offsets);
		return fd;
	}
	for (size_t i = 0; i < fleet->count; i++) {
		struct team *team =
		    crew_team(&m->crew, fleet->workers[i]->name);

		if (team == NULL)
			continue;
		team->spec = offsets[i];
		team->scaler_spec = offsets[fleet->count + i];
	}
	free(offsets);
	peer_send(&m->guardian, MSG_BOOK, &new, NULL, 0, fd);
	close(fd);
	if (m->book != 0)
		peer_send(&m->guardian, MSG_BOOK_DROP, &old, NULL, 0, -1);
	m->book = new.book;
	return 0;
}

void
reload_keep_snapshot(struct master *m, const struct buf *snapshot)
{
	struct msg_name name = { "config" };
	int fd = memfd_create("supervisord-config", MFD_CLOEXEC);

	/* A memfd takes all of a write, or has no memory. */
	if (fd < 0 ||
	    write(fd, m->config_path, strlen(m->config_path) + 1) < 0 ||
	    write(fd, snapshot->data, snapshot->size) !=
		(ssize_t)snapshot->size)
		log_warn(
		    "can't keep the config in memory (%s): after a crash of "
		    "the master it is read from disk again",
		    strerror(errno));
	else
		peer_send(&m->guardian, MSG_KEEP, &name, NULL, 0, fd);
	if (fd >= 0)
		close(fd);
}

int
reload_first(struct master *m)
{
	int r = teams_make(m, m->fleet);

	if (r == 0)
		r = send_book(m, m->fleet);
	if (r == 0)
		to_broker_configure(m);
	return r;
}

/* How many there shall be: the config's number, or where autoscale has found
 * another, that one within the new limits. */
static unsigned
count_for(const struct team *team, const struct worker *new)
{
	const struct autoscale *a = &new->autoscale;

	if (!a->on || !team->scaled)
		return new->processes;
	return MAX_OF(a->min, MIN_OF(team->wanted, a->max));
}

/* Those that finish their tasks before they go do not get the time. */
static void
hurry(struct master *m, struct team *team, const struct actor *by)
{
	for (unsigned i = 0; i < team->room; i++) {
		struct instance *it = team->instances[i];

		if (it != NULL && it->doomed && it->row->life.finishing)
			drive_down(m, it, by);
	}
}

static void
restart_changed(struct master *m, struct team *team, unsigned count,
    const struct actor *by, struct job *job)
{
	unsigned staying = MIN_OF(team->room, count);

	relief_dismiss(m, team);
	hurry(m, team, by);
	for (unsigned i = 0; i < staying; i++) {
		struct instance *it = team->instances[i];

		/* One that was stopped stays stopped; its next start is by the
		 * new description. */
		if (it == NULL || it->doomed || !it->row->life.wanted)
			continue;
		if (job != NULL)
			job_add(job, it, GOAL_UP);
		drive_bounce(m, it, by);
	}
}

static void
apply_live(struct master *m, struct team *team, const struct worker_diff *d)
{
	for (unsigned i = 0; i < team->room; i++) {
		struct instance *it = team->instances[i];

		if (it == NULL)
			continue;
		/* One that is leaving does so by the new rules, too. */
		if (d->rules || d->change == CHANGE_ADDED)
			drive_rules_changed(m, it);
		if (it->doomed)
			continue;
		if (d->output)
			streams_set(m, it);
		if (d->rules && team->worker->rules.autostart &&
		    !d->old->rules.autostart && !it->row->life.wanted &&
		    !it->row->by_user)
			drive_up(m, it, &nobody);
	}
}

static void
apply_one(struct master *m, struct worker_diff *d, struct retired *retired,
    const struct actor *by, struct job *job)
{
	struct team *team =
	    crew_team(&m->crew, d->new != NULL ? d->new->name : d->old->name);
	unsigned count;

	if (team == NULL)
		return;
	if (d->new == NULL) {
		team->doomed = true;
		autoscale_gone(team);
		relief_team_gone(team);
		team->retired = retired;
		retired->refs++;
		if (team->scaled) {
			team->scaled = false;
			team_remember_scale(m, team);
		}
		/* Pinned: its last instance may go at once, and it with it. */
		team->members++;
		hurry(m, team, by);
		team_resize(m, team, 0, by, job);
		team->members--;
		team_instance_gone(m, team);
		return;
	}
	count = count_for(team, d->new);
	if (team->scaled) {
		team->wanted = count;
		team->scaled = count != d->new->processes;
		team_remember_scale(m, team);
	}
	if (d->change != CHANGE_KEPT) {
		apply_live(m, team, d);
		recycle_settings(m, team);
		autoscale_settings(m, team);
	}
	if (d->change == CHANGE_RESTART)
		restart_changed(m, team, count, by, job);
	team_resize(m, team, count, by, job);
}

/* --- the plan ------------------------------------------------------------- */

/* A scaled worker goes back to its number; that, too, is a change. */
static bool
is_rescaled(const struct master *m, const struct worker_diff *d)
{
	const struct team *team =
	    d->new != NULL ? crew_team(&m->crew, d->new->name) : NULL;

	return team != NULL && team->scaled &&
	       team->wanted != count_for(team, d->new);
}

static void
put_plan(struct master *m, struct buf *b, const struct fleet_diff *diff)
{
	jw_array(b);
	for (size_t i = 0; i < diff->count; i++) {
		const struct worker_diff *d = &diff->workers[i];
		const struct worker *w = d->new != NULL ? d->new : d->old;
		bool rescaled = is_rescaled(m, d);

		jw_object(b);
		jw_kv_string(b, "worker", w->name);
		jw_kv_string(b, "action",
		    change_names[rescaled && d->change == CHANGE_KEPT
				     ? CHANGE_LIVE
				     : d->change]);
		jw_kv_string(b, "settings",
		    rescaled && d->settings[0] == '\0' ? "processes (scaled)"
						       : d->settings);
		jw_kv_int(b, "instances",
		    d->new != NULL ? d->new->processes : d->old->processes);
		jw_object_end(b);
	}
	jw_array_end(b);
}

static void
put_head(struct buf *b, bool applied, const struct fleet_diff *diff)
{
	jw_object(b);
	jw_kv_bool(b, "applied", applied);
	jw_kv_string(b, "fixed", diff->fixed);
	jw_kv_bool(b, "sockets", diff->sockets);
	jw_kv_bool(b, "schedules", diff->schedules);
	jw_key(b, "plan");
}

/* --- from the thread's result to the new fleet ---------------------------- */

static void
finish_job(struct job *job, struct buf *result)
{
	/* The plan as it was made; its object is still open. */
	buf_str(result, job_request(job)->own);
	jw_key(result, "instances");
	job_outcomes(job, result);
	jw_object_end(result);
}

static size_t
most_outcomes(const struct master *m, const struct fleet *new)
{
	size_t n = m->crew.count;

	for (size_t i = 0; i < new->count; i++)
		n += new->workers[i]->processes;
	return n;
}

/* Nothing can fail any more but memory for a new instance. */
static void
apply(struct reload *reload, struct fleet_diff *diff, struct retired *retired,
    struct sockets *sockets, const struct actor *by, struct job *job)
{
	struct master *m = reload->m;

	retired->fleet = m->fleet;
	retired->refs = 1;
	m->fleet = reload->fleet;
	reload->fleet = NULL;
	access_free(m->access);
	m->access = reload->access;
	reload->access = NULL;
	for (size_t i = 0; i < diff->count; i++) {
		struct worker_diff *d = &diff->workers[i];
		struct team *team =
		    d->new != NULL ? crew_team(&m->crew, d->new->name) : NULL;

		if (team == NULL)
			continue;
		if (team->doomed)
			teams_release(team->retired);
		team->doomed = false;
		team->retired = NULL;
		team->worker = d->new;
	}
	control_apply_settings(m);
	log_setup((enum log_level)m->fleet->settings.log_level,
	    m->fleet->settings.log_json, -1);
	sockets_apply(m, sockets);
	to_broker_configure(m);
	for (size_t i = 0; i < diff->count; i++)
		apply_one(m, &diff->workers[i], retired, by, job);
	/* Last: a master that is killed before has reloaded nothing, and the
	 * reload is asked for again. */
	reload_keep_snapshot(m, &reload->snapshot);
	teams_release(retired);
}

static void
fail(struct reload *reload, int code, const char *words)
{
	log_error("reload: %s; nothing was changed", words);
	record_event(reload->m, NULL, "reload", words,
	    reload->request != NULL ? &reload->request->actor : &nobody);
	if (reload->request != NULL)
		request_fail(
		    reload->request, code, "%s; nothing was changed", words);
}

/* Each line is an error of the config; the client gets them as an array. */
static void
fail_errors(struct reload *reload)
{
	struct buf data;
	char *line, *rest = reload->errors.data;
	size_t n = 0;

	buf_init(&data);
	jw_object(&data);
	jw_key(&data, "errors");
	jw_array(&data);
	while (rest != NULL && *rest != '\0') {
		line = strsep(&rest, "\n");
		if (*line == '\0')
			continue;
		jw_string(&data, line);
		log_error("reload: %s", line);
		n++;
	}
	jw_array_end(&data);
	jw_object_end(&data);
	record_event(reload->m, NULL, "reload",
	    "refused: the config has errors",
	    reload->request != NULL ? &reload->request->actor : &nobody);
	if (reload->request != NULL)
		request_fail_data(reload->request, RPC_USAGE, buf_text(&data),
		    "the config has %zu error%s; nothing was changed", n,
		    n == 1 ? "" : "s");
	buf_done(&data);
}

static void
apply_diff(struct reload *reload, struct fleet_diff *diff)
{
	struct master *m = reload->m;
	struct request *r = reload->request;
	struct actor by = r != NULL ? r->actor : nobody;
	char command[sizeof r->command] = "SIGHUP";
	struct retired *retired;
	struct sockets *sockets = NULL;
	struct job *job = NULL;
	struct buf plan, error;

	buf_init(&error);
	if (sockets_prepare(m, reload->fleet, &sockets, &error) < 0) {
		fail(reload, RPC_FAILED,
		    error.failed ? strerror(ENOMEM) : buf_text(&error));
		buf_done(&error);
		return;
	}
	buf_init(&plan);
	retired = calloc(1, sizeof *retired);
	if (r != NULL) {
		memcpy(command, r->command, sizeof command);
		put_head(&plan, true, diff);
		put_plan(m, &plan, diff);
		r->own = buf_take(&plan);
		job = job_new(r, most_outcomes(m, reload->fleet), finish_job);
	}
	by.command = command;
	if (retired == NULL || (r != NULL && (job == NULL || r->own == NULL)) ||
	    teams_make(m, reload->fleet) < 0 ||
	    send_book(m, reload->fleet) < 0) {
		teams_unmake(m, reload->fleet);
		sockets_abandon(sockets);
		free(retired);
		if (job != NULL)
			job_cancel(job);
		fail(reload, RPC_FAILED, "out of memory or descriptors");
		return;
	}
	if (diff->fixed[0] != '\0')
		log_warn("reload: only a restart of supervisord applies: %s",
		    diff->fixed);
	apply(reload, diff, retired, sockets, &by, job);
	log_info("the config was reloaded");
	record_event(m, NULL, "reload", "applied", &by);
	drive_grant_turns(m);
	if (job != NULL)
		job_run(m, job, reload->wait);
}

static void
finish(struct reload *reload)
{
	struct fleet_diff diff;
	struct buf b;

	if (reload->error != 0) {
		if (reload->errors.size > 0)
			fail_errors(reload);
		else
			fail(reload, RPC_FAILED, strerror(-reload->error));
		return;
	}
	if (reload->m->phase == PHASE_STOPPING) {
		fail(reload, RPC_FAILED, "supervisord is shutting down");
		return;
	}
	if (fleet_diff(reload->m->fleet, reload->fleet, &diff) < 0) {
		fail(reload, RPC_FAILED, "out of memory");
		return;
	}
	if (reload->dry_run) {
		buf_init(&b);
		put_head(&b, false, &diff);
		put_plan(reload->m, &b, &diff);
		jw_object_end(&b);
		request_reply(reload->request, &b);
	} else {
		apply_diff(reload, &diff);
	}
	fleet_diff_done(&diff);
}

static void
loaded(struct ev_loop *loop, ev_async *w, int events)
{
	struct reload *reload = CONTAINER_OF(w, struct reload, done);

	(void)loop;
	(void)events;
	pthread_join(reload->thread, NULL);
	finish(reload);
	fleet_free(reload->fleet);
	reload->fleet = NULL;
	access_free(reload->access);
	reload->access = NULL;
	buf_done(&reload->snapshot);
	buf_done(&reload->errors);
	reload->request = NULL;
	reload->busy = false;
	while (!reload->busy && !list_empty(&reload->turns)) {
		struct turn *turn =
		    LIST_ENTRY(reload->turns.next, struct turn, link);

		list_remove(&turn->link);
		reload_start(
		    reload->m, turn->request, turn->dry_run, turn->wait);
		free(turn);
	}
}

static void *
load(void *arg)
{
	struct reload *reload = arg;
	struct load l = {
		.path = reload->path, .pid1 = reload->pid1, .environ = environ
	};

	reload->error =
	    load_fleet(&l, &reload->fleet, &reload->snapshot, &reload->errors);
	if (reload->error == 0) {
		reload->access = access_new(&reload->fleet->settings);
		if (reload->access == NULL)
			reload->error = -ENOMEM;
	}
	ev_async_send(reload->m->loop, &reload->done);
	return NULL;
}

static void
wait_turn(struct reload *reload, struct request *r, bool dry_run, bool wait)
{
	struct turn *turn;
	struct list *l, *tmp;

	/* One that has not begun reads the file as it is now. */
	LIST_FOREACH(l, tmp, &reload->turns) {
		if (r == NULL &&
		    LIST_ENTRY(l, struct turn, link)->request == NULL)
			return;
	}
	turn = calloc(1, sizeof *turn);
	if (turn == NULL) {
		if (r != NULL)
			request_fail(r, RPC_FAILED, "out of memory");
		return;
	}
	turn->request = r;
	turn->dry_run = dry_run;
	turn->wait = wait;
	list_init(&turn->link);
	list_append(&reload->turns, &turn->link);
}

void
reload_start(struct master *m, struct request *r, bool dry_run, bool wait)
{
	struct reload *reload = m->reload;
	int e;

	if (reload->busy) {
		wait_turn(reload, r, dry_run, wait);
		return;
	}
	reload->busy = true;
	reload->request = r;
	reload->dry_run = dry_run;
	reload->wait = wait;
	reload->pid1 = m->hello.pid1 != 0;
	memcpy(reload->path, m->config_path, sizeof reload->path);
	buf_init(&reload->snapshot);
	buf_init(&reload->errors);
	e = pthread_create(&reload->thread, NULL, load, reload);
	if (e != 0) {
		reload->busy = false;
		fail(reload, RPC_FAILED, strerror(e));
		reload->request = NULL;
	}
}

int
reload_init(struct master *m)
{
	m->reload = calloc(1, sizeof *m->reload);
	if (m->reload == NULL)
		return -ENOMEM;
	m->reload->m = m;
	list_init(&m->reload->turns);
	ev_async_init(&m->reload->done, loaded);
	ev_async_start(m->loop, &m->reload->done);
	ev_unref(m->loop);
	return 0;
}
