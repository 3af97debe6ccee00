#ifndef MASTER_EXITS_H
#define MASTER_EXITS_H

/* How a process ended, in words and for JSON. */

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct exit_info;
struct instance;
struct life_change;
struct msg_child;

/* From the guardian's report. */
void exit_from_child(const struct msg_child *msg, struct exit_info *ret);

/* "exited 1", "killed by SIGSEGV (core dumped)", "could not run its command:
 * /x: No such file or directory". it: NULL where it is not known any more. */
#define EXIT_WORDS 512
char *exit_words(const struct instance *it, const struct exit_info *e,
    char *out, size_t size);

/* {"code":1,"signal":null,"core":false,"at":"..."}; null if there is none. */
void exit_json(struct buf *b, const struct exit_info *e);

/* The exit status a shell would show: the code, or 128 + signal. */
int exit_status_of(const struct exit_info *e);

/* Why a change of state was made: one line for its event. `last` says that it
 * is in that state still; several changes may come of one input. */
char *change_reason(const struct instance *it, const struct life_change *change,
    bool last, char *out, size_t size);

/* Why the instance is in its state, in one line. */
char *instance_reason(const struct instance *it, char *out, size_t size);

#endif
