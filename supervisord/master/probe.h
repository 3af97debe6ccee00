#ifndef MASTER_PROBE_H
#define MASTER_PROBE_H

/*
 * A command that is run for its answer: what it prints, and its exit status.
 * The guardian starts it as it starts everything; its output comes by pipes of
 * its own. One that is not through in time is killed, with all it has started,
 * and so is one that an earlier master has left behind.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct master;
struct msg_child;
struct msg_failed;
struct msg_launched;
struct probe;

/* What it came to. */
struct probe_end {
	const char *failure; /* in words; NULL: it exited 0 */
	const char *text;    /* the begin of what it wrote to stdout */
};

struct probe_order {
	const char *worker;
	uint64_t spec; /* its place in the present book */
	int64_t timeout;
	void (*done)(void *arg, const struct probe_end *end);
	void *arg;
};

/* done is called later, and once; NULL: it can't be (a line in the log says
 * why). */
struct probe *probe_start(struct master *m, const struct probe_order *order);
/* It is killed, and done not called. */
void probe_abandon(struct probe *p);

/* The guardian's news of it. */
bool probe_is_cookie(uint32_t cookie);
bool probe_is_name(const char *name);
void probe_launched(struct master *m, const struct msg_launched *msg);
void probe_not_launched(struct master *m, const struct msg_failed *msg);
void probe_exited(struct master *m, const struct msg_child *msg);
/* One of an earlier master's. */
void probe_left_over(struct master *m, const struct msg_child *msg);

#endif
