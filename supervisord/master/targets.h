#ifndef MASTER_TARGETS_H
#define MASTER_TARGETS_H

/* From target words ("web", "web:0", "all") to instances. */

#include <stdbool.h>
#include <stddef.h>

struct instance;
struct master;
struct request;

struct targets {
	struct instance **list; /* each once, in the order they were named */
	size_t count;
};

/*
 * The request's "targets". Without any: all, or refused where `required`.
 * false: refused (no such target, with a suggestion), the request is gone.
 */
bool targets_of(struct request *r, bool required, struct targets *ret);

void targets_done(struct targets *t);

/* Whether the word names any; and the refusal where it does not. */
bool targets_know(struct master *m, const char *word);
void targets_refuse(struct request *r, const char *word);

#endif
