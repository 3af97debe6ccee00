#include "supervisord/master/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/json.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/master.h"
#include "supervisord/master/rpc.h"

struct item {
	struct list waiting; /* in instance.waiters; unlinked when done */
	struct job *job;
	struct instance *it; /* NULL once it is freed */
	enum job_goal goal;
	bool failed;
	int pid;
	uint8_t state;
	char name[PROTO_NAME];
	char *error; /* words, or NULL */
};

struct job {
	struct request *request;
	void (*finish)(struct job *job, struct buf *result);
	size_t count, room, left, failed;
	bool running; /* all are added */
	struct item items[];
};

struct job *
job_new(struct request *request, size_t most,
    void (*finish)(struct job *job, struct buf *result))
{
	struct job *job = calloc(1, sizeof *job + most * sizeof job->items[0]);

	if (job == NULL)
		return NULL;
	job->request = request;
	job->room = most;
	job->finish = finish;
	return job;
}

void
job_add(struct job *job, struct instance *it, enum job_goal goal)
{
	struct item *item;

	if (job->count == job->room)
		return;
	item = &job->items[job->count++];
	item->job = job;
	item->it = it;
	item->goal = goal;
	memcpy(item->name, it->row->name, sizeof item->name);
	list_init(&item->waiting);
	list_append(&it->waiters, &item->waiting);
	job->left++;
}

static void
settle(struct item *item, bool ok)
{
	const struct instance *it = item->it;
	char reason[EXIT_WORDS + 128];

	item->state = it->row->life.state;
	item->pid = it->row->life.alive ? it->row->pid : 0;
	item->failed = !ok;
	if (!ok) {
		instance_reason(it, reason, sizeof reason);
		item->error = strdup(reason);
		item->job->failed++;
	}
	list_remove(&item->waiting);
	item->it = NULL;
	item->job->left--;
}

/* Has it come to where it was to come, or where it never will? */
static void
look(struct item *item)
{
	const struct life *life = &item->it->row->life;

	switch (item->goal) {
	case GOAL_UP:
		if ((life->bounce && !life->finishing) || life->kick)
			return;
		if (life->state == ST_RUNNING)
			settle(item, true);
		else if (life->state == ST_FATAL)
			settle(item, false);
		else if (life->state == ST_EXITED)
			settle(item, true);
		else if (life->state == ST_BACKOFF &&
			 (instance_rules(item->it)->start_retries < 0 ||
			     item->it->row->why == ON_EXIT_LATER ||
			     item->it->row->why == ON_NOT_SPAWNED))
			settle(item, false);
		else if (!life->wanted && life_is_down(life))
			settle(item, false);
		return;
	case GOAL_DOWN:
		if (life_is_down(life))
			settle(item, true);
		else if (life->wanted && life->state != ST_STOPPING)
			settle(item, false); /* somebody started it again */
		return;
	}
}

void
job_outcomes(const struct job *job, struct buf *b)
{
	jw_array(b);
	for (size_t i = 0; i < job->count; i++) {
		const struct item *item = &job->items[i];
		int state =
		    item->it != NULL ? item->it->row->life.state : item->state;
		int pid = item->it == NULL            ? item->pid
			  : item->it->row->life.alive ? item->it->row->pid
						      : 0;

		jw_object(b);
		jw_kv_string(b, "name", item->name);
		jw_kv_bool(b, "ok", !item->failed);
		jw_kv_string(b, "state", life_state_names[state]);
		if (pid > 0)
			jw_kv_int(b, "pid", pid);
		else
			jw_kv_null(b, "pid");
		jw_kv_string(b, "error", item->error);
		jw_object_end(b);
	}
	jw_array_end(b);
}

struct request *
job_request(const struct job *job)
{
	return job->request;
}

static void
job_free(struct job *job)
{
	for (size_t i = 0; i < job->count; i++) {
		list_remove(&job->items[i].waiting);
		free(job->items[i].error);
	}
	free(job);
}

static void
answer(struct job *job)
{
	struct buf result;

	buf_init(&result);
	if (job->finish != NULL)
		job->finish(job, &result);
	else
		job_outcomes(job, &result);
	request_reply(job->request, &result);
	job_free(job);
}

static void
progress(const struct job *job)
{
	struct buf b;

	if (!request_wants_progress(job->request))
		return;
	buf_init(&b);
	jw_object(&b);
	jw_kv_int(&b, "done", (int64_t)(job->count - job->left));
	jw_kv_int(&b, "of", (int64_t)job->count);
	jw_kv_int(&b, "failed", (int64_t)job->failed);
	jw_object_end(&b);
	request_notify(job->request, "progress", &b);
	buf_done(&b);
}

void
job_run(struct master *m, struct job *job, bool wait)
{
	(void)m;
	job->running = true;
	for (size_t i = 0; i < job->count; i++) {
		if (job->items[i].it != NULL)
			look(&job->items[i]);
	}
	if (job->left == 0 || !wait) {
		answer(job);
		return;
	}
	request_set_job(job->request, job);
	progress(job);
}

/* An instance is in a job once at most, so the next waiter is another job's. */
void
jobs_changed(struct master *m, struct instance *it)
{
	struct list *l, *tmp;

	(void)m;
	LIST_FOREACH(l, tmp, &it->waiters) {
		struct item *item = LIST_ENTRY(l, struct item, waiting);
		struct job *job = item->job;

		if (!job->running)
			continue;
		look(item);
		if (item->it != NULL)
			continue;
		if (job->left == 0)
			answer(job);
		else
			progress(job);
	}
}

void
jobs_gone(struct instance *it)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &it->waiters) {
		struct item *item = LIST_ENTRY(l, struct item, waiting);
		struct job *job = item->job;

		settle(item, item->goal == GOAL_DOWN);
		if (job->running && job->left == 0)
			answer(job);
	}
}

void
job_cancel(struct job *job)
{
	job_free(job);
}
