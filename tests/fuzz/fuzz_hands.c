/*
 * What a worker may say to the broker, and do meanwhile: the real hands and
 * core over a store in memory and made-up clocks. Whatever comes, and though
 * the broker is killed in the middle of it, a worker that speaks properly is
 * given every acknowledged task that has not ended, and none that has.
 *
 * The input is a run of steps, a byte each with what it needs behind it:
 *
 *     0..191    so many bytes and one more are written to the task socket
 *     TURN      the broker's loop goes round
 *     SUBMIT    flags (enum submit_flags)
 *     CANCEL    id
 *     PASS      time, in tens of ms
 *     STOPPING  the master wants it stopped
 *     EXIT      a signal, or 0: the process ends and is started anew
 *     MANY      u16: so many letters are written
 *     SCRIBBLE  offset in 8 bytes, 8 bytes: into the slots' memory
 *     BREAK     the store loses its disk, or has it back
 *     KILL      the broker is killed, another one takes over
 *     HANG_UP   the worker closes its side
 *     DEAF      it does not read any more, or does again
 */

#define RIG_REAL_HANDS

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/flights.h"
#include "supervisord/broker/hands_int.h"
#include "supervisord/broker/link.h"
#include "tests/unit/core_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	TURN = 192,
	SUBMIT,
	CANCEL,
	PASS,
	STOPPING,
	EXIT,
	MANY,
	SCRIBBLE,
	BREAK,
	KILL,
	HANG_UP,
	DEAF
};

enum submit_flags {
	SUBMIT_BYTES = 1,
	SUBMIT_LARGE = 2,
	SUBMIT_LIMIT = 4,
	SUBMIT_RETRY = 8
};

#define TASKS_MOST 256
#define THREADS    2
#define BAD        1 /* the slots of the two instances */
#define GOOD       2

static struct ev_loop *loop;

static struct {
	int kept;  /* what the guardian has of its socket */
	int end;   /* its own */
	int slots; /* memfd */
	uint32_t gen;
	bool there, exited, deaf;
} worker[3];

static int flights_fd;
static uint64_t acked[TASKS_MOST];
static size_t acked_count;

void
link_read_master(struct broker *b)
{
	(void)b;
}

static void
hold(bool well, const char *what)
{
	if (!well) {
		fprintf(stderr, "not so: %s\n", what);
		abort();
	}
}

#define HOLD(what) hold(what, #what)

/* --- guardian ------------------------------------------------------------- */

static int
new_slots(void)
{
	struct wire_slots head = { WIRE_SLOTS_MAGIC, THREADS, { 0 } };
	int fd = memfd_create("slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	HOLD(ftruncate(fd, (off_t)wire_slots_size(THREADS)) == 0);
	HOLD(pwrite(fd, &head, sizeof head, 0) == sizeof head);
	HOLD(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

static void
tell(uint32_t slot)
{
	struct msg_channel m = {
		.slot = slot, .gen = worker[slot].gen, .threads = THREADS
	};

	snprintf(m.name, sizeof m.name, "w:%u", slot);
	hands_channel(&rig->b, &m, dup(worker[slot].kept));
	hands_slots(&rig->b, slot, m.gen, dup(worker[slot].slots));
}

static void
launch(uint32_t slot)
{
	int fds[2];

	HOLD(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	worker[slot].kept = fds[0];
	worker[slot].end = fds[1];
	worker[slot].slots = new_slots();
	worker[slot].gen++;
	worker[slot].there = true;
	worker[slot].exited = worker[slot].deaf = false;
	tell(slot);
}

static void
forget(uint32_t slot)
{
	close(worker[slot].kept);
	close(worker[slot].slots);
	close(worker[slot].end);
	worker[slot].there = false;
}

static void
tell_exit(uint32_t slot, int signo)
{
	struct msg_child m = { .slot = slot,
		.gen = worker[slot].gen,
		.code = signo != 0 ? CLD_KILLED : CLD_EXITED,
		.status = signo };

	worker[slot].exited = true;
	shutdown(worker[slot].end, SHUT_RDWR);
	hands_exit(&rig->b, &m);
}

/* --- the broker ----------------------------------------------------------- */

static void
start(void)
{
	struct broker *b = &rig->b;
	bool fresh;
	int made;

	b->loop = loop;
	b->guardian.fd = b->master.fd = -1;
	b->limits = limits_new(loop);
	HOLD(b->limits != NULL && hands_new(b) == 0);
	b->running = false;
	for (uint32_t slot = BAD; slot <= GOOD; slot++) {
		if (worker[slot].there)
			tell(slot);
	}
	rig_boot(rig);
	b->flights = flights_open(flights_fd, &made, &fresh);
	HOLD(b->flights != NULL);
	if (fresh)
		flights_fd = made;
	b->running = true;
	hands_told(b);
	if (worker[BAD].there && worker[BAD].exited)
		tell_exit(BAD, 9);
}

static void
end(void)
{
	struct list *l, *tmp;

	/* What is on its way is told to nobody. */
	rig->store.broken = true;
	LIST_FOREACH(l, tmp, &rig->store.applied)
		LIST_ENTRY(l, struct store_op, link)->error = QERR_STORE;
	rig_write(&rig->store);
	rig_tell(&rig->store);
	core_free(&rig->b);
	rig_ops_free(&rig->store.added);
	hands_free(&rig->b);
	limits_free(rig->b.limits);
	flights_free(rig->b.flights);
	rig->store.broken = false;
}

/* The shared memory as it is at this moment. */
static int
picture(int fd)
{
	int copy = memfd_create("flights", MFD_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END), at = 0, hole;
	char page[4096];

	HOLD(ftruncate(copy, size) == 0);
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		hole = lseek(fd, at, SEEK_HOLE);
		for (; at < hole; at += (off_t)sizeof page) {
			ssize_t n = pread(fd, page, sizeof page, at);

			HOLD(n > 0 && pwrite(copy, page, (size_t)n, at) == n);
		}
	}
	return copy;
}

static void
broker_killed(void)
{
	int copy = picture(flights_fd);
	bool broken = rig->store.broken;

	end();
	close(flights_fd);
	flights_fd = copy;
	start();
	rig->store.broken = broken;
}

static void
turn(void)
{
	char chunk[65536];

	ev_run(loop, EVRUN_NOWAIT);
	core_turn(&rig->b);
	hands_turn(&rig->b);
	rig_commit(rig);
	while (worker[BAD].there && !worker[BAD].deaf &&
	       recv(worker[BAD].end, chunk, sizeof chunk, MSG_DONTWAIT) > 0)
		continue;
}

static void
pass(int64_t ms)
{
	rig_mono += ms * NS_PER_MS;
	rig_wall += ms;
	limits_run(rig->b.limits, rig_mono);
	core_tick(&rig->b);
	turn();
}

/* --- what the input wants ------------------------------------------------- */

static void
accepted(void *arg, enum queue_error error, uint64_t id, bool existed)
{
	(void)arg;
	(void)existed;
	if (error == QERR_NONE && acked_count < TASKS_MOST)
		acked[acked_count++] = id;
}

static void
ignored(void *arg, enum queue_error error)
{
	(void)arg;
	(void)error;
}

static void
submit(unsigned flags)
{
	static char large[WIRE_BODY * 3];
	struct submission *s = submission_new();

	if (acked_count >= TASKS_MOST / 2) {
		submission_free(s);
		return;
	}
	memset(large, '1', sizeof large);
	snprintf(s->worker, sizeof s->worker, "w");
	s->func = strdup("f");
	s->json = (flags & SUBMIT_BYTES) == 0;
	s->payload =
	    body_new(large, (flags & SUBMIT_LARGE) != 0 ? sizeof large : 2);
	s->timeout_ms = (flags & SUBMIT_LIMIT) != 0 ? 100 : 0;
	s->retries = (flags & SUBMIT_RETRY) != 0 ? 2 : 0;
	core_submit(&rig->b, s, accepted, NULL);
}

static void
put(const void *bytes, size_t size)
{
	if (worker[BAD].there)
		(void)!send(
		    worker[BAD].end, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
many(size_t size)
{
	static char letters[65536];

	memset(letters, 'x', sizeof letters);
	put(letters, size);
}

static void
scribble(unsigned at, const uint8_t *bytes)
{
	off_t offset = (off_t)(at * 8 % wire_slots_size(THREADS));

	if (worker[BAD].there)
		(void)!pwrite(worker[BAD].slots, bytes, 8, offset);
}

static void
anew(int signo)
{
	tell_exit(BAD, signo & 31);
	turn();
	pass(6000); /* the master's word does not come */
	HOLD(hand_of(&rig->b, BAD, worker[BAD].gen) == NULL ||
	     rig->store.broken);
	forget(BAD);
	launch(BAD);
}

/* What a step needs behind it. */
static size_t
needs(uint8_t what)
{
	if (what < TURN)
		return what + 1U;
	switch (what) {
	case SUBMIT:
	case CANCEL:
	case PASS:
	case EXIT:
		return 1;
	case MANY:
		return 2;
	case SCRIBBLE:
		return 9;
	default:
		return 0;
	}
}

static void
carry_out(uint8_t what, const uint8_t *more, size_t size)
{
	struct msg_stopping stopping = { BAD, worker[BAD].gen, 1, 0 };

	switch (what) {
	case TURN:
		turn();
		return;
	case SUBMIT:
		submit(more[0]);
		return;
	case CANCEL:
		core_cancel(&rig->b, more[0], ignored, NULL);
		return;
	case PASS:
		pass(more[0] * 10);
		return;
	case STOPPING:
		hands_stopping(&rig->b, &stopping);
		return;
	case EXIT:
		anew(more[0]);
		return;
	case MANY:
		many(more[0] + more[1] * 256U);
		return;
	case SCRIBBLE:
		scribble(more[0], more + 1);
		return;
	case BREAK:
		rig->store.broken = !rig->store.broken;
		return;
	case KILL:
		broker_killed();
		return;
	case HANG_UP:
		shutdown(worker[BAD].end, SHUT_WR);
		return;
	case DEAF:
		worker[BAD].deaf = !worker[BAD].deaf;
		return;
	default:
		if (what < TURN)
			put(more, size);
	}
}

/* --- and then one that is as it should be --------------------------------- */

static bool
over(uint64_t id)
{
	const struct task_row *row = rig_row(&rig->store, id);

	return row == NULL || row->state >= TASK_DONE;
}

static void
answer(const char *line)
{
	uint64_t id;
	char text[64];

	if (sscanf(line, "{\"task\":%" SCNu64, &id) != 1)
		return;
	HOLD(!over(id));
	snprintf(
	    text, sizeof text, "{\"done\":%" PRIu64 ",\"result\":1}\n", id);
	HOLD(send(worker[GOOD].end, text, strlen(text), MSG_DONTWAIT) > 0);
}

static void
work(void)
{
	static char in[1U << 20];
	static size_t filled;
	char *newline;
	ssize_t n;

	while ((n = recv(worker[GOOD].end, in + filled, sizeof in - filled - 1,
		    MSG_DONTWAIT)) > 0) {
		filled += (size_t)n;
		in[filled] = '\0';
		while ((newline = memchr(in, '\n', filled)) != NULL) {
			size_t size = (size_t)(newline - in) + 1;

			answer(in);
			filled -= size;
			memmove(in, newline + 1, filled);
		}
	}
}

static bool
all_over(void)
{
	for (size_t i = 0; i < acked_count; i++) {
		if (!over(acked[i]))
			return false;
	}
	return true;
}

static void
check(void)
{
	static const char hello[] = "{\"hello\":1,\"threads\":2}\n";

	rig->store.broken = false;
	pass(1000);
	tell_exit(BAD, SIGKILL);
	pass(6000);
	pass(1000);
	HOLD(hand_of(&rig->b, BAD, worker[BAD].gen) == NULL);
	forget(BAD);
	launch(GOOD);
	HOLD(send(worker[GOOD].end, hello, sizeof hello - 1, 0) > 0);
	submit(0);
	for (unsigned i = 0; i < 2000 && (i == 0 || !all_over()); i++) {
		pass(i % 20 == 19 ? 600000 : 1);
		work();
	}
	HOLD(acked_count > 0 && all_over());
	tell_exit(GOOD, 0);
	pass(6000);
	forget(GOOD);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (loop == NULL) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		log_setup(LOG_LEVEL_ERROR, false, null);
		loop = ev_loop_new(EVFLAG_AUTO);
	}
	rig_mono = 1000 * NS_PER_SEC;
	rig_wall = 1700000000000LL;
	acked_count = 0;
	flights_fd = -1;
	memset(worker, 0, sizeof worker);
	rig_new(1);
	start();
	launch(BAD);
	for (size_t at = 0; at < size;) {
		uint8_t what = data[at++];
		size_t n = needs(what);

		if (n > size - at)
			break;
		carry_out(what, data + at, n);
		at += n;
	}
	check();
	end();
	for (size_t id = 0; id < rig->store.room; id++)
		task_row_done(&rig->store.rows[id]);
	free(rig->store.rows);
	free(rig);
	close(flights_fd);
	return 0;
}
