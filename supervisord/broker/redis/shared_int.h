#ifndef BROKER_REDIS_SHARED_INT_H
#define BROKER_REDIS_SHARED_INT_H

/*
 * The common ground of the shared store's files.
 *
 * The loop's thread (shared.c) hands operations over and hears what came of
 * them. All else is done by a thread with a loop of its own (thread.c), so that
 * neither a name that is looked up nor a long answer that is read delays the
 * broker: connections and their checks (link.c, join.c, fit.c), operations as
 * scripts and back (ops.c, answers.c, rows.c), the lease (beat.c).
 */

#include <hiredis/async.h>
#include <pthread.h>

#include "supervisord/base/redis_url.h"
#include "supervisord/broker/redis/resp.h"
#include "supervisord/broker/redis/scripts.h"
#include "supervisord/broker/redis/shared.h"

#include <uthash.h>

#define HEX_ID     (2 * SHARED_ID_BYTES)
#define SEQ_DIGITS 16 /* of an operation's number */
#define WHY_TEXT   384
#define FULL_WORDS                                                             \
	"it is out of memory (maxmemory): until results have expired, or "     \
	"CONFIG SET maxmemory gives it more"

/* Where an operation is (op->flight.stage). */
enum stage {
	STAGE_NEW, /* to be sent */
	STAGE_SENT,
	STAGE_PARKED,  /* until there are ids */
	STAGE_ANSWERED /* waits for those before it */
};

/* op->flight.step. */
enum step {
	STEP_FIRST,
	STEP_FOLLOW,    /* FINISH, with what follows, or nothing */
	STEP_GROUP_GET, /* a group is over: what its task is told */
	STEP_GROUP_OVER /* its task */
};

enum link_state {
	LINK_OFF, /* until the timer */
	LINK_CONNECTING,
	LINK_CHECKING, /* and joining */
	LINK_READY,
	LINK_REFUSED /* it writes nothing: until what was sent is answered */
};

/* What an op that is no operation of the broker's is (op->states, with kind
 * STORE_KINDS): to the thread, or news from it. */
enum note {
	NOTE_WORKER, /* worker, paused: on */
	NOTE_WATCH,  /* change.id, paused: on */
	NOTE_GROUP,  /* a group whose broker died before it saw to it */
	NOTE_HEALTH, /* paused: well; text: words */
	NOTE_JOINED,
	NOTE_READY,
	NOTE_DUE,
	NOTE_ENDED,
	NOTE_CANCEL,
	NOTE_PAUSED
};

struct served {
	UT_hash_handle hh;
	char worker[WORKER_NAME_MAX + 1];
	unsigned refills; /* on the way */
	bool ready_again; /* was told while one was */
	bool known;       /* paused has been told */
	bool paused;
	int64_t until_ms;
};

struct watched {
	UT_hash_handle hh;
	uint64_t id;
};

struct shared {
	/* Constant. */
	struct ev_loop *loop;
	struct shared_options options;
	struct redis_url url;
	char where[REDIS_URL_TEXT]; /* for people */
	char *name;
	char me[HEX_ID + 1];
	char channels[32]; /* their prefix */

	/* The loop's. */
	ev_async answer;
	struct list added;
	size_t backlog;
	pthread_t thread;

	/* Under the lock, which is never held across anything that can wait. */
	pthread_mutex_t lock;
	pthread_cond_t told; /* answers, ids */
	struct list waiting, answered;
	bool well, refuses, closing, leave, give_up;
	bool dropped; /* news was lost for want of memory: told as `joined` */
	uint64_t next_id, reserved; /* ids in between may be given */
	bool ids_wanted;
	bool ids_late; /* they were waited for in vain: not again */

	/* The thread's. */
	struct ev_loop *own;
	ev_async wake;
	struct list flying; /* in order; sent or not */
	struct list reads;  /* TASK, LIST, STATS: no order */
	size_t in_flight, unsent, bytes;
	uint64_t seq;
	struct served *served;
	struct watched *watched;
	bool leaving, left;

	enum link_state state;
	redisAsyncContext *cmd, *sub;
	bool sub_up, loaded;
	char sha[SCRIPTS][41];
	unsigned loads;     /* SCRIPT LOADs that are not answered */
	bool reloading;     /* the scripts were not known any more */
	size_t outstanding; /* commands without an answer */
	int64_t heard;      /* mono ns; progress, or all was quiet */
	int64_t beat_at;    /* its echo is waited for since; 0: came */
	ev_timer retry, watch, beat, stop;
	double pause_s;
	bool told_health, told_well;
	char told_words[WHY_TEXT];
	char refusal[WHY_TEXT]; /* while it is LINK_REFUSED */
	struct fit *fit;
	bool watch_again; /* with the next beat: it came to nothing */
	bool ids_asked;
	uint64_t block, ids_floor; /* highest id seen */
	bool full;                 /* it has said that it is out of memory */
	unsigned beats;            /* on the way */
	int64_t beat_sent;         /* boot ns, the first of them, or the join */
	int64_t lease_until; /* boot ns; written here, read there: atomic */
};

/* thread.c */
void *shared_thread(void *arg);
void shared_wake_init(struct shared *s);
/* An operation's answer; it is told in its turn. */
void shared_answered(struct shared *s, struct store_op *op, enum queue_error e);
/* Sends what waits, as far as there is room. */
void shared_pump(struct shared *s);
/* The connection broke. */
void shared_broken(struct shared *s);
/* Step: the operation is sent once more, as another step. */
void shared_again(struct shared *s, struct store_op *op);
/* There are no ids: the operation is sent once more when there are. */
void shared_park(struct shared *s, struct store_op *op);
void shared_unpark(struct shared *s);
/* News for the loop; takes none of the memory. */
struct store_op *shared_note(enum note note);
void shared_tell(struct shared *s, struct store_op *note);
void shared_tell_simple(struct shared *s, enum note note);
/* Words on a store that is well: why it takes nothing new. */
void shared_health(struct shared *s, bool well, const char *words);
uint64_t shared_take_id(struct shared *s);
/* An internal operation, as if added. */
void shared_post(struct shared *s, struct store_op *op);

/* link.c */
void link_start(struct shared *s);
void link_stop(struct shared *s);
/* Closes both connections, tries again after a pause. */
void link_failed(struct shared *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Sends a command with `fn` as hiredis has it; fn ignores a NULL reply and
 * calls link_heard first. false: no memory. Frees the command. */
bool link_send(
    struct shared *s, struct resp *cmd, redisCallbackFn *fn, void *privdata);
struct shared *link_heard(redisAsyncContext *ac, void *reply);
/* Handles what is wrong with the store, not with what was asked. The command
 * was not carried out. true: for no fault of its own, it is to be sent again.
 */
bool link_error(struct shared *s, const redisReply *r);
void link_subscribe(struct shared *s, const char *worker, bool on);
void link_watch(struct shared *s, const uint64_t *ids, size_t count);
void link_watch_all(struct shared *s);
/* A script's head: EVALSHA to the last of what all have in common. */
void link_script(struct shared *s, struct resp *cmd, enum script which,
    uint64_t seq, bool again);
/* Waits so many seconds, then connects. */
void link_retry(struct shared *s, double pause);

/* join.c: one after another. */
#define PAUSE_FIRST 0.1 /* s, between two tries */
#define PAUSE_MOST  2.0
void join_check(struct shared *s);
void join_look_again(struct shared *s); /* is it fit yet? */
void join_load(struct shared *s);
void join_begin(struct shared *s);
void link_ids(struct shared *s);

/* fit.c: is this Redis fit to be used? */
enum fit_for {
	FIT_FOR_NOTHING,
	FIT_UNSAFE, /* what is there may be run, nothing new is to come in */
	FIT_FOR_TASKS
};

struct fit;
struct fit *fit_new(enum durability durability); /* NULL: no memory */
void fit_free(struct fit *f);
/* Takes the answer of INFO or CONFIG GET, which may be that it is not allowed.
 */
void fit_info(struct fit *f, const redisReply *r);
void fit_fsync(struct fit *f, const redisReply *r);
bool fit_has_room(const struct fit *f);
enum fit_for fit_verdict(const struct fit *f, char *words, size_t size);

/* ops.c */
/* false: no memory. */
bool op_encode(struct shared *s, struct store_op *op, struct resp *cmd);
/* answers.c: what came back of it: calls shared_answered or shared_again. */
void op_decode(struct shared *s, struct store_op *op, const redisReply *r);
/* It came to nothing: returns what is told of it. */
enum queue_error op_failed(struct store_op *op, enum queue_error e);

/* rows.c */
void row_encode(struct resp *cmd, const struct task_row *row,
    const char *schedule, bool member, uint64_t group);
/* Names and values in turn; 0, -ENOMEM, or -ENOENT: it is no task. */
int row_decode(uint64_t id, const redisReply *r, struct task_row *row);
/* All but state, rank and expiry. result: NULL, or with it. */
void row_change_encode(const struct shared *s, struct resp *cmd,
    const struct task_change *c, const struct body *result, bool json);
bool reply_is(const redisReply *r, const char *text);
int64_t reply_number(const redisReply *r);
const redisReply *reply_at(const redisReply *r, size_t i);

/* beat.c */
/* The lease was renewed by what was sent at beat_sent. */
void beat_renewed(struct shared *s);
void beat_now(struct shared *s);
/* There is no lease; `known`: whether there ever was one. */
void beat_lost(struct shared *s, const redisReply *known);
void beat_said(struct shared *s, const char *channel, const char *text);
void beat_leave(struct shared *s);

#endif
