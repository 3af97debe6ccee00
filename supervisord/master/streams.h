#ifndef MASTER_STREAMS_H
#define MASTER_STREAMS_H

/* Where what workers write goes: the master's side of the logger. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct exit_info;
struct instance;
struct master;
struct msg;

/* A logger has started: gives it a channel and all settings. */
void streams_connect(struct master *m, int logger_pid);

/* Settings of one instance's streams, when it is new or they have changed. */
void streams_set(struct master *m, const struct instance *it);

/* The instance is gone. */
void streams_drop(struct master *m, const struct instance *it);

/* USR2: every file closed and opened anew. */
void streams_reopen(struct master *m);

/* Asks for the last lines and puts them with the exit. false: there are none.
 */
bool streams_tail_of_exit(
    struct master *m, const struct instance *it, const struct exit_info *e);

/* Asks for the last lines for a waiting command. The answer comes as
 * arrived(arg, text, size); with size 0 when there is nothing. false: no
 * logger. */
bool streams_tail(struct master *m, const struct instance *it, unsigned lines,
    uint32_t cookie);

/* Path of a stream's file into out; false: it goes to no file. */
bool streams_path(const struct master *m, const struct instance *it, bool err,
    char *out, size_t size);

/* Asks the logger whether it has all settings; m->logger_knows says so once it
 * has answered. */
void streams_ask_settled(struct master *m);

/* JSON strings, one a broken stream, for `info`. */
void streams_notes(const struct master *m, struct buf *b);

/* The folder of logs with default names. */
void streams_log_dir(const struct master *m, char *out, size_t size);

#endif
