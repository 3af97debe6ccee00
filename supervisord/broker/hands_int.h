#ifndef BROKER_HANDS_INT_H
#define BROKER_HANDS_INT_H

/*
 * What the files of the hands share.
 *
 *     hands.c         the table, the poller, what the core asks for
 *     hands_adopt.c   what a broker that was killed has left
 *     hands_read.c    bytes into messages
 *     hands_said.c    messages into what they mean
 *     hands_write.c   tasks into bytes
 *     hands_limits.c  deadlines, cancelling, killing, recycling
 *     hands_end.c     an instance's exit, who was to blame, what is settled
 *     hands_threads.c what each thread does
 */

#include "supervisord/base/buf.h"
#include "supervisord/broker/flights.h"
#include "supervisord/broker/hands.h"
#include "supervisord/broker/limits.h"
#include "supervisord/broker/lines.h"

struct hands {
	struct broker *broker;
	struct hand *table; /* by slot and gen */
	int poller;         /* an epoll of its own, edges: see hands_read.c */
	ev_io io;
	ev_timer again;      /* somebody was not read to its end */
	struct list unread;  /* conn_in.unread: those */
	struct list unsent;  /* conn_in.unsent: has something to say */
	struct list ended;   /* flight.link: ended since the last turn */
	struct list retried; /* the same, the store had an error */
	struct limit retry;
	struct list deaths; /* struct death.link, oldest first */
	bool telling;       /* hands_told is under way */
};

/* One task socket. */
struct conn_in {
	struct hand *hand;
	int fd;
	bool polled;
	bool decided;     /* its first byte has come */
	bool lines;       /* it was '{' */
	bool adopted;     /* a broker before this one had it */
	bool rest;        /* lines: the first may be the rest of one */
	bool full;        /* nothing can be written until the poller says so */
	bool shut;        /* at its end: nothing to read, nobody to write to */
	bool broken;      /* it broke the protocol: it is not listened to */
	bool draining;    /* it said so */
	bool finishing;   /* STOPPING_WHEN_DONE */
	bool drained;     /* it was told so */
	bool exited;      /* CHANNEL_EXIT has come */
	bool judged;      /* what it held is given back */
	bool recycling;   /* its replacement was asked for: max_tasks */
	bool relieved;    /* another was asked for, as this waits for its end */
	bool relief_said; /* that, or that it was taken back */
	bool replaced;    /* its end was asked for because of the doomed */
	uint8_t asked;    /* 0, or 1 + enum replace_how */
	struct msg_child exit;
	uint32_t adopting;   /* tasks that the core is looking up */
	uint32_t flights;    /* with it, or not settled yet */
	uint32_t forgotten;  /* of the flights: answers are of no interest */
	uint32_t doomed;     /* tasks that did not end within their grace */
	uint64_t sync;       /* the answer that is waited for; 0 */
	uint64_t recycle_at; /* served; 0: never */
	struct kept_hand *kept;
	struct buf in;  /* the start of a message, when it had to be taken */
	size_t in_seen; /* of it, without a newline */
	struct buf out;
	size_t out_at;
	struct limit partial;  /* then the start of a message is taken */
	struct limit limit;    /* siblings' grace, or of who has hung up */
	struct limit judgment; /* waits for the master's word until then */
	struct list unread, unsent;
	size_t slots_size;
	char *words;   /* the master's, on how it ended */
	char why[256]; /* why it was asked to end */
};

/* Which tasks died with a process whose words have not come yet. */
struct death {
	struct list link;
	uint32_t slot, gen;
	int64_t at;
	size_t count;
	uint64_t ids[];
};

static inline uint64_t
hand_key(uint32_t slot, uint32_t gen)
{
	return (uint64_t)slot << 32 | gen;
}

/* hands.c */
struct hand *hand_of(struct broker *b, uint32_t slot, uint32_t gen);
void hand_poll(struct hand *h, bool on);
/* Nothing more can be written to it, or something can again. */
void hand_poll_room(struct hand *h, bool full);
/* Tells the core if it may be given tasks, when that has changed. */
void hand_update(struct hand *h);
void hand_free(struct hand *h);
/* The master is told that it has said HELLO. */
void hand_tell_up(const struct hand *h);
/* The master is asked to end it. */
void hand_ask(struct hand *h, enum replace_how how, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The master is told that it has done its number of tasks, or that it takes no
 * more of them until it is killed. */
void hand_ask_recycle(const struct hand *h);
void hand_ask_relief(const struct hand *h);
/* It broke the protocol: it is killed, and not listened to any more. */
void hand_broke(struct hand *h, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* hands_adopt.c */
void hand_begin(struct hand *h); /* nothing is being looked up any more */
bool hand_hello(struct hand *h, const char *json, size_t size);

/* hands_read.c */
void hand_read(struct hand *h); /* what is there now, or a good part of it */
void hand_read_all(struct hand *h);

/* hands_said.c; data in said is borrowed */
void hand_said(struct hand *h, const struct said *s);
bool said_held(const struct said *s, uint64_t id); /* of a SYNC */
/* The flight of a task that h has, or NULL. */
struct flight *hand_flight(struct hand *h, uint64_t id);
/* It is over: the task, which the core is told of next. */
struct task *hand_over(struct flight *f);

/* hands_write.c */
void hand_say(struct hand *h, enum wire_type type, uint64_t id);
void hand_say_task(struct hand *h, const struct task *t);
void hand_flush(struct hand *h);

/* hands_limits.c */
void hand_flight_begins(struct flight *f); /* sets its deadline */
void hand_flight_begun(struct flight *f);  /* START has come */
void hand_flight_ended(struct hand *h);    /* one less: what that means */
/* The asking to end is taken out of the slot once that attempt is over: the
 * same id may come again, as a retry or from a store that was made anew. */
void hand_not_asked(const struct flight *f);
void hand_recycle_draw(struct hand *h);
/* All it holds is known, after a crash of the broker. */
void hand_resume_limits(struct hand *h);
/* Its slots tell what its threads do. */
bool hand_has_slots(const struct hand *h);
/* The task's slot, or NULL: it is in none. */
struct wire_slot *hand_slot(const struct hand *h, uint64_t id);
/* It is to finish what has begun, and nothing else. */
void hand_finish(struct hand *h);
/* The master is told if that is so. */
void hand_look_idle(struct hand *h);
/* It hung up though it lives. */
void hand_hung_up(struct hand *h);

/* hands_end.c */
void hand_exited(struct hand *h);
void hand_wait_for_words(struct hand *h, int64_t ns); /* then judges */
/* An adopted one that is no task of the queue any more. */
void hand_forget(struct flight *f);
void hand_forget_unheld(struct hand *h, const struct said *s);
void hand_settled(struct hand *h); /* gone if nothing is left of it */
void hands_settle(struct hands *all);
void hands_forget_deaths(struct hands *all);

static inline struct wire_slot *
hand_slots(const struct hand *h)
{
	return (struct wire_slot *)(void *)(h->slots + 1);
}

#endif
