#ifndef MASTER_JOBS_H
#define MASTER_JOBS_H

/*
 * A command that waits for the outcome of several instances: start, stop,
 * restart, scale, reload. Its request is answered when each has one.
 */

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct instance;
struct master;
struct request;

enum job_goal {
	GOAL_UP,  /* RUNNING; failed once it is FATAL */
	GOAL_DOWN /* no process, or no instance any more */
};

struct job;

/*
 * A job for a request, with room for `most` instances. finish writes the
 * result (NULL: the array of outcomes is the result).
 */
struct job *job_new(struct request *request, size_t most,
    void (*finish)(struct job *job, struct buf *result));
void job_add(struct job *job, struct instance *it, enum job_goal goal);
/* All are added; answers now if nothing is to be waited for (or wait is false).
 */
void job_run(struct master *m, struct job *job, bool wait);

/* For finish: the outcomes as a JSON array, and the request. */
void job_outcomes(const struct job *job, struct buf *b);
struct request *job_request(const struct job *job);

/* The instance has changed. */
void jobs_changed(struct master *m, struct instance *it);
/* It is about to be freed. */
void jobs_gone(struct instance *it);

/* The client is gone: nobody waits any more. */
void job_cancel(struct job *job);

#endif
