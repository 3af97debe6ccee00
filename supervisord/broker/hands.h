#ifndef BROKER_HANDS_H
#define BROKER_HANDS_H

/*
 * The instances that take tasks: their sockets, what they hold, and what
 * becomes of it when they die (blame.h), overrun (limits.c) or are stopped.
 */

#include "supervisord/broker/core.h"
#include "supervisord/proto/wire.h"

struct hand {
	struct broker *broker;
	UT_hash_handle hh;
	uint32_t slot, gen; /* the guardian's; the hash key */
	char name[PROTO_NAME];
	int32_t pid;
	int64_t started_mono;
	char worker[WORKER_NAME_MAX + 1]; /* the name without its index */
	/* What it has said it can do, names behind each other, NULL-terminated;
	 * NULL: anything. [i]: arguments and result are JSON. */
	char **functions;
	bool *functions_json;
	struct pool *pool;     /* core's; NULL: not in the config (any more) */
	struct list pool_link; /* core's */
	bool up;               /* HELLO has come */
	bool closed;           /* takes nothing more */
	bool stopping;         /* its end will be no crash */
	bool alone;            /* has a task that wants to be alone */
	uint32_t threads;      /* of the process */
	uint32_t prefetch;     /* unbegun ones it may hold beside that */
	uint32_t held;         /* core's: tasks with it */
	struct list tasks;     /* core's: struct task.link */
	int64_t answered;      /* core's: mono ns */
	uint64_t served;       /* tasks done by this process */
	struct wire_slots *slots; /* NULL: it tells by START */
	struct conn_in *in;       /* reading and writing: hands' own */
};

int hands_new(struct broker *b);
void hands_free(struct broker *b);

/* From link.c, what the guardian and the master say. Take fd. */
void hands_channel(struct broker *b, const struct msg_channel *m, int fd);
void hands_slots(struct broker *b, uint32_t slot, uint32_t gen, int fd);
void hands_exit(struct broker *b, const struct msg_child *m);
void hands_stopping(struct broker *b, const struct msg_stopping *m);
void hands_words(
    struct broker *b, uint32_t slot, uint32_t gen, const char *words);
/* All that was kept has come (BROKER_TOLD): what the flights say and no hand
 * has comes back to the queue. */
void hands_told(struct broker *b);
/* The settings have changed. */
void hands_configure(struct broker *b);
/* There is a (new) master: what it was asked for is asked again. */
void hands_master_up(struct broker *b);
/* From the core, the answer to core_adopt: t is with h and unsure until its
 * worker has answered SYNC; NULL: it has ended or was never known. */
void hands_adopted(
    struct broker *b, struct hand *h, uint64_t id, struct task *t);

/* For the core. give: the task is the hand's until core_done, _failed,
 * _returned or _lost; the core has put it into tasks and counted it in held.
 * Free room: threads + prefetch - held. */
bool hands_give(struct hand *h, struct task *t); /* false: it came back */
void hands_cancel(struct task *t); /* the flag, then after grace the kill */
void hands_recall(struct task *t);
struct hand *hands_find(struct broker *b, const char *instance);
/* Each that is up and has not ended. */
void hands_each(
    struct broker *b, void (*each)(struct hand *h, void *arg), void *arg);
/* End of a turn: writes what was given, a send for many. */
void hands_turn(struct broker *b);

struct thread_info {
	uint16_t thread;
	uint32_t busy; /* 0 idle, 1 task, 2 connection */
	uint64_t task;
	int64_t for_ns; /* in this state */
	uint32_t share;
	uint64_t connections;
	bool stuck; /* beyond its limit, or asked to end and has not */
};

/* Each thread's, from the slots or, without, from what was given. */
void hands_threads(struct hand *h,
    void (*each)(const struct thread_info *info, void *arg), void *arg);

#endif
