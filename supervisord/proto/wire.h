#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

/*
 * What workers and clients of the task queue say to the broker, and it to them
 * (workers/PROTOCOL.md is the public page).
 *
 * Two framings over a stream socket. The side that connected speaks first, with
 * HELLO; its first byte decides for both directions: '{' means JSON lines,
 * anything else means frames.
 *
 * A frame is a little-endian head of 16 bytes and a body:
 *
 *     u32 size    of the body, at most WIRE_BODY
 *     u8  type    enum wire_type
 *     u8  flags   enum wire_flags
 *     u16 slot    the thread, where one is meant; else 0
 *     u64 id      the task; in SUBMIT and REFUSED the client's own tag
 *
 * A body larger than WIRE_BODY goes in pieces: frames of the same type and id,
 * each with WIRE_MORE but the last and with WIRE_LATER but the first; nothing
 * else of that id comes between. A first piece voids an unfinished series of
 * its id, SYNC voids all of them; who finds a later piece without its beginning
 * (the peer before it had that) throws the series away. A frame is written
 * whole or not at all (a stream socket with room takes up to 32 KiB in one
 * piece), so that a broker that is killed never leaves half a frame.
 *
 * A HELLO frame's size must not end in the byte '{' (pad its JSON by a blank).
 */

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION     1
#define WIRE_HEAD        16
#define WIRE_BODY        32752U /* with its head a frame is 32 KiB at most */
#define WIRE_RESULT_MAX  (16U << 20) /* of all pieces of a result */
#define WIRE_PAYLOAD_MAX (1U << 20)  /* of all pieces of a task's arguments */
#define WIRE_FUNC_MAX    128
#define WIRE_KEY_MAX     256

/* Environment of a worker. */
#define WIRE_ENV_FD      "WORKER_FD"      /* the task socket */
#define WIRE_ENV_SLOTS   "WORKER_SLOTS"   /* the slots' memory, a descriptor */
#define WIRE_ENV_THREADS "WORKER_THREADS" /* how many at once */

enum wire_type {
	/* both */
	WIRE_HELLO = 1, /* JSON, see PROTOCOL.md */
	WIRE_SYNC = 2,  /* id: any number, comes back. A worker's answer has in
			 * its body the ids it holds, u64 each */

	/* broker -> worker */
	WIRE_TASK = 16,   /* struct wire_task, func, payload */
	WIRE_CANCEL = 17, /* this running task should end */
	WIRE_RECALL = 18, /* give this one back if it has not begun: RETURNED */
	WIRE_DRAIN = 19,  /* nothing more will come: give back what has not
			   * begun, finish the rest, end */

	/* worker -> broker */
	WIRE_DONE = 32,     /* body: the result */
	WIRE_FAILED = 33,   /* body: why, UTF-8 */
	WIRE_PROGRESS = 34, /* u32 per mille (WIRE_NO_SHARE: none), text */
	WIRE_RETURNED = 35, /* not begun, not going to */
	WIRE_START = 36,    /* begun; for workers without slots memory */
	WIRE_DRAINING = 37, /* give me nothing more */

	/* client -> broker */
	WIRE_SUBMIT = 48, /* struct wire_submit and its strings */
	WIRE_CALL = 49,   /* a JSON-RPC request of tasks.sock; id: tag */
	WIRE_AWAIT = 50,  /* id: tag; u64 task: RESULT when it has ended */

	/* broker -> client */
	WIRE_ACCEPTED = 64, /* u64 tag, u8 existed, 7 zero; id: the task's */
	WIRE_REFUSED = 65,  /* id: tag, of CALL and AWAIT too; i32 code, text
			     * "queue-full: words" */
	WIRE_ANSWER = 66,   /* JSON-RPC response or notification; id: tag */
	WIRE_RESULT = 67    /* id: the task's; struct wire_result, body */
};

enum wire_flags {
	WIRE_JSON = 1,     /* the payload or result is JSON, else bytes */
	WIRE_FOR_GOOD = 2, /* FAILED: another try is of no use */
	WIRE_LATER = 0x40, /* a piece, not the first of its series */
	WIRE_MORE = 0x80   /* a piece, not the last */
};

#define WIRE_NO_SHARE 0xffffffffU

struct wire_head {
	uint32_t size;
	uint8_t type;
	uint8_t flags;
	uint16_t slot;
	uint64_t id;
};

/* Start of TASK's body; func and payload follow. */
struct wire_task {
	uint32_t attempt;    /* 1, 2...; (id, attempt) is a fencing token */
	uint32_t timeout_ms; /* 0: none */
	uint16_t func_size;
	uint16_t pad;
	uint32_t missed; /* due times of its schedule it stands for, too */
};

enum wire_submit_flags {
	WIRE_WAIT = 1 /* send RESULT when it has ended */
};

/* Start of SUBMIT's body; worker, func, key, limit_key, payload follow. */
struct wire_submit {
	uint8_t priority; /* 0 high, 1 middle, 2 low */
	uint8_t flags;    /* enum wire_submit_flags */
	uint8_t worker_size;
	uint8_t func_size;
	uint16_t key_size, limit_key_size;
	int32_t retries;    /* -1: the worker's default */
	int32_t timeout_ms; /* -1: the worker's default; 0: none */
	uint64_t delay_ms;
};

/* Start of RESULT's body; the result or the error's text follows. */
struct wire_result {
	uint8_t state; /* enum task_state: DONE, FAILED, CANCELLED, DEAD */
	uint8_t pad[3];
	uint32_t attempts;
};

/*
 * The slots' memory: a head and one slot a thread, written by the worker, read
 * by the broker after any death: it tells which tasks were being executed. Its
 * size is fixed; a worker that can't map it sends START instead.
 */
#define WIRE_SLOTS_MAGIC 0x736c6f74U
#define WIRE_THREADS_MAX 1024

struct wire_slots {
	uint32_t magic; /* the guardian sets these two */
	uint32_t threads;
	uint64_t pad[7];
};

struct wire_slot {
	uint64_t task;        /* being executed; 0: idle. Set last, cleared
			       * before DONE is written */
	uint64_t cancel;      /* the broker's: this task should end. Cleared
			       * by it before the task is sent again */
	int64_t since;        /* CLOCK_MONOTONIC ns of the last change */
	uint64_t connections; /* served so far by this thread */
	uint32_t attempt;
	uint32_t share; /* progress per mille, or WIRE_NO_SHARE */
	uint32_t busy;  /* 1: with a task, 2: with a connection */
	uint32_t tid;   /* gettid(2) */
	uint8_t pad[16];
};

/* head into 16 bytes and back; out and in need no alignment. */
void wire_put_head(void *out, const struct wire_head *head);
void wire_get_head(const void *in, struct wire_head *ret);

size_t wire_slots_size(uint32_t threads); /* of the whole memory */

#endif
