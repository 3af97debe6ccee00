#ifndef CTL_BULK_H
#define CTL_BULK_H

/*
 * A request for each of many lines of stdin, or words. They go out ahead of
 * their answers, so that one disk flush takes many of them, and the answers are
 * told in the order of the requests. Nothing that was asked waits for a line
 * that is not there yet.
 *
 * With --json each answer is one document, a refusal {"error": ...} with the
 * number of its line; or all are the elements of one list.
 */

#include <jansson.h>

#include "supervisord/ctl/ctl.h"

struct ctl_bulk_slot;

struct ctl_bulk {
	/* Tells people what was accepted. */
	void (*accept)(const struct ctl_bulk *b, const json_t *answer);
	const char *done; /* for accept */
	size_t ahead;     /* requests on their way at once */
	bool list;        /* --json makes one list */

	struct ctl *ctl;
	size_t line;                /* in hand, from 1; 0: words */
	size_t accepted, refused;   /* so far */
	struct buf in;              /* of stdin */
	size_t taken;               /* so much of it is done with */
	struct ctl_bulk_slot *ring; /* requests that are not told yet */
	size_t head, next;          /* the oldest's number, the next one's */
	int64_t first_id;           /* of the request with the number 0 */
	int status;                 /* of the last refusal */
	size_t told;                /* elements of the JSON list */
	char *refusal;              /* the last one's words */
	size_t again, again_line;   /* has come so often since, last there */
};

/* The caller has set the first members, all else is zero. 0 or an exit status.
 */
int ctl_bulk_begin(struct ctl_bulk *b, struct ctl *ctl);

/* The next line of stdin that is not blank, borrowed until the next call; NULL
 * at the end. 0 or an exit status. */
int ctl_bulk_line(struct ctl_bulk *b, char **ret);

/* Asks, without waiting for the answer; params are closed and freed. 0 or an
 * exit status. */
int ctl_bulk_ask(struct ctl_bulk *b, const char *method, struct buf *params);

/* Waits for all answers, for what is to be told behind them. */
int ctl_bulk_settle(struct ctl_bulk *b);

/* An element of the JSON list follows. */
void ctl_bulk_element(struct ctl_bulk *b);

/* Waits for all that is on its way, says how it went if not well, and frees. r
 * is what went wrong before. Returns the exit status. */
int ctl_bulk_end(struct ctl_bulk *b, int r);

#endif
