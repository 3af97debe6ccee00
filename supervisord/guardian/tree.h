#ifndef GUARDIAN_TREE_H
#define GUARDIAN_TREE_H

/*
 * What a child leaves behind. Being a subreaper (or PID 1), the guardian gets
 * every orphan below it, and knows by its tag (proc.h) whose descendant it is.
 * A watch on a slot signals these until none is left. One scan serves all
 * watches, behind a delay that grows with the fleet; after it, nothing happens
 * until a child ends.
 */

#include <stdint.h>

#include "supervisord/guardian/table.h"
#include "supervisord/proto/messages.h"

void tree_request(const struct msg_tree *m);

/* The watched child itself has ended. */
void tree_child_ended(struct slot *s);

/* A process has ended: scan at the time `at`, if anything is watched. */
void tree_changed(int64_t at);

void tree_scan(void);

/* A new master has not asked for anything. */
void tree_untell(void);

/* Kills every process below this one, again and again as orphans come in. */
void tree_kill_all(void);

#endif
