#ifndef MASTER_TARGETS_H
#define MASTER_TARGETS_H

/* From target words ("web", "web:0", "all") to instances. */

#include <stdbool.h>
#include <stddef.h>

struct instance;
struct request;
struct team;

struct targets {
	struct instance **list; /* each once, in the order they were named */
	size_t count;
	struct team **teams; /* those whose worker was named */
	size_t teams_count;
	char **names; /* NULL-terminated; only from targets_names */
};

/*
 * The request's "targets". Without any: all, or refused where `required`.
 * false: refused (no such target, with a suggestion), the request is gone.
 */
bool targets_of(struct request *r, bool required, struct targets *ret);

/* Fills names: for questions to the store, which outlive an instance. workers:
 * with the names of the workers, too. */
bool targets_names(struct targets *t, bool workers);
void targets_done(struct targets *t);

#endif
