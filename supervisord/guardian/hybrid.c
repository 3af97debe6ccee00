#include "supervisord/guardian/hybrid.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/util.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/proto/channel.h"
#include "supervisord/proto/wire.h"

#define SOCKET_BUFFER (1 << 20)

static struct {
	uint32_t first, last;
	uint32_t todo; /* the first with something to tell; all behind it have
			* as well */
} chain = { TABLE_NONE, TABLE_NONE, TABLE_NONE };

/* --- the chain ----------------------------------------------------------- */

static void
append(struct slot *s)
{
	s->hybrid_prev = chain.last;
	s->hybrid_next = TABLE_NONE;
	if (chain.last != TABLE_NONE)
		table_slots[chain.last].hybrid_next = s->child.slot;
	else
		chain.first = s->child.slot;
	chain.last = s->child.slot;
}

static bool
is_chained(const struct slot *s)
{
	return s->hybrid_prev != TABLE_NONE || chain.first == s->child.slot;
}

static void
unchain(struct slot *s)
{
	if (!is_chained(s))
		return;
	if (chain.todo == s->child.slot)
		chain.todo = s->hybrid_next;
	if (s->hybrid_prev != TABLE_NONE)
		table_slots[s->hybrid_prev].hybrid_next = s->hybrid_next;
	else
		chain.first = s->hybrid_next;
	if (s->hybrid_next != TABLE_NONE)
		table_slots[s->hybrid_next].hybrid_prev = s->hybrid_prev;
	else
		chain.last = s->hybrid_prev;
	s->hybrid_prev = s->hybrid_next = TABLE_NONE;
}

static void
add_todo(struct slot *s)
{
	if ((s->hybrid & HYBRID_TODO) != 0)
		return;
	unchain(s);
	append(s);
	s->hybrid |= HYBRID_TODO;
	if (chain.todo == TABLE_NONE)
		chain.todo = s->child.slot;
}

/* --- one socket ---------------------------------------------------------- */

/* As much as the system allows: less only means more turns. */
static void
enlarge(int fd)
{
	static const int options[][2] = { { SO_SNDBUFFORCE, SO_SNDBUF },
		{ SO_RCVBUFFORCE, SO_RCVBUF } };
	int size = SOCKET_BUFFER;

	for (size_t i = 0; i < N_ELEMENTS(options); i++) {
		if (setsockopt(
			fd, SOL_SOCKET, options[i][0], &size, sizeof size) < 0)
			(void)setsockopt(
			    fd, SOL_SOCKET, options[i][1], &size, sizeof size);
	}
}

/* The worker's end waits, the broker's does not. */
static int
make_pair(struct slot *s, int *ret_fd)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		enlarge(pair[i]);
	s->task_fd = loop_move_up(pair[0]);
	*ret_fd = loop_move_up(pair[1]);
	if (s->task_fd < 0 || *ret_fd < 0) {
		int error = s->task_fd < 0 ? s->task_fd : *ret_fd;

		if (*ret_fd >= 0)
			close(*ret_fd);
		return error;
	}
	(void)fcntl(s->task_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

/* A worker can write what it likes into it, but not take it from under the
 * broker. */
static int
make_memory(struct slot *s)
{
	struct wire_slots head = { .magic = WIRE_SLOTS_MAGIC,
		.threads = s->threads };
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = memfd_create("slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	s->memory_fd = loop_move_up(fd);
	if (s->memory_fd < 0)
		return s->memory_fd;
	if (ftruncate(s->memory_fd, (off_t)wire_slots_size(s->threads)) < 0 ||
	    pwrite(s->memory_fd, &head, sizeof head, 0) < 0 ||
	    fcntl(s->memory_fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	return 0;
}

int
hybrid_make(struct slot *s, uint32_t threads, int *ret_fd)
{
	int error;

	if (threads == 0 || threads > WIRE_THREADS_MAX)
		return -EINVAL;
	s->threads = threads;
	error = make_memory(s);
	if (error == 0)
		error = make_pair(s, ret_fd);
	if (error < 0)
		hybrid_close(s);
	return error;
}

void
hybrid_close(struct slot *s)
{
	unchain(s);
	if (s->task_fd >= 0)
		close(s->task_fd);
	if (s->memory_fd >= 0)
		close(s->memory_fd);
	s->task_fd = s->memory_fd = -1;
	s->threads = 0;
	s->hybrid = 0;
}

void
hybrid_launched(struct slot *s)
{
	if (s->threads > 0)
		add_todo(s);
}

void
hybrid_ended(struct slot *s, bool keep)
{
	if (s->threads == 0)
		return;
	if (keep)
		add_todo(s);
	else
		hybrid_close(s);
}

void
hybrid_done(uint32_t slot, uint32_t gen)
{
	struct slot *s = table_get(slot, gen);

	if (s == NULL || s->threads == 0 || s->child.state != CHILD_EXITED)
		return;
	hybrid_close(s);
	news_free_if_done(s);
}

void
hybrid_restore(struct slot *s, uint32_t threads, int task_fd, int memory_fd)
{
	s->threads = threads;
	s->task_fd = task_fd;
	s->memory_fd = memory_fd;
	add_todo(s);
}

/* --- all of them --------------------------------------------------------- */

unsigned
hybrid_forget_ended(bool told)
{
	unsigned n = 0;
	uint32_t next;

	for (uint32_t i = chain.first; i != TABLE_NONE; i = next) {
		struct slot *s = &table_slots[i];

		next = s->hybrid_next;
		if (s->child.state != CHILD_EXITED ||
		    (told && (s->hybrid & HYBRID_TOLD_EXIT) == 0))
			continue;
		hybrid_close(s);
		news_free_if_done(s);
		n++;
	}
	return n;
}

void
hybrid_untold(void)
{
	for (uint32_t i = chain.first; i != TABLE_NONE;
	     i = table_slots[i].hybrid_next)
		table_slots[i].hybrid = HYBRID_TODO;
	chain.todo = chain.first;
}

static int
tell(int sock, struct slot *s)
{
	const struct msg_child *c = &s->child;
	struct msg_channel channel = { .slot = c->slot,
		.gen = c->gen,
		.pid = c->pid,
		.threads = s->threads,
		.started_mono = c->started_mono };
	struct msg_slot slot = { c->slot, c->gen };
	int error = 0;

	memcpy(channel.name, c->name, sizeof channel.name);
	if ((s->hybrid & HYBRID_TOLD) == 0)
		error = channel_send(
		    sock, MSG_CHANNEL, &channel, NULL, 0, s->task_fd);
	if (error < 0)
		return error;
	s->hybrid |= HYBRID_TOLD;
	if ((s->hybrid & HYBRID_TOLD_SLOTS) == 0)
		error = channel_send(
		    sock, MSG_CHANNEL_SLOTS, &slot, NULL, 0, s->memory_fd);
	if (error < 0)
		return error;
	s->hybrid |= HYBRID_TOLD_SLOTS;
	if (c->state != CHILD_EXITED || (s->hybrid & HYBRID_TOLD_EXIT) != 0)
		return 0;
	error = channel_send(sock, MSG_CHANNEL_EXIT, c, NULL, 0, -1);
	if (error == 0)
		s->hybrid |= HYBRID_TOLD_EXIT;
	return error;
}

int
hybrid_tell(int sock)
{
	while (chain.todo != TABLE_NONE) {
		struct slot *s = &table_slots[chain.todo];
		int error = tell(sock, s);

		if (error < 0)
			return error;
		s->hybrid &= (uint8_t)~HYBRID_TODO;
		chain.todo = s->hybrid_next;
	}
	return 0;
}
