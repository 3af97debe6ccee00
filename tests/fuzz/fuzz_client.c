/*
 * What a client may send to tasks.sock: the first byte of the input says in
 * pieces of which size it comes, the rest is the bytes. Nothing may be read
 * beyond its end, nobody may be called for a client that is gone, and a client
 * that speaks properly is still served afterwards.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/clients.h"
#include "supervisord/broker/clients_int.h"
#include "supervisord/rpc/conn_int.h"
#include "tests/unit/broker_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct broker b;

/* It listens on a socket that nobody finds: clients are put there by hand. */
static void
begin(void)
{
	char folder[] = "/tmp/svfuzzXXXXXX";
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_setup(LOG_LEVEL_ERROR, false, null);
	b.loop = ev_default_loop(0);
	b.store_well = true;
	b.socket_mode = 0600;
	b.socket_group = (gid_t)-1;
	peer_init(&b.guardian, b.loop, NULL, NULL, NULL);
	if (mkdtemp(folder) == NULL)
		abort();
	snprintf(b.tasks_path, sizeof b.tasks_path, "%s/s", folder);
	if (clients_new(&b, -1) != 0)
		abort();
	unlink(b.tasks_path);
	rmdir(folder);
}

static void
turn(void)
{
	struct list *l, *tmp;

	ev_run(b.loop, EVRUN_NOWAIT);
	LIST_FOREACH(l, tmp, &b.clients->conns.hungry)
		conn_resume(LIST_ENTRY(l, struct conn, hungry));
	clients_turn(&b);
}

static void
drain(int fd)
{
	char chunk[65536];

	while (recv(fd, chunk, sizeof chunk, MSG_DONTWAIT) > 0)
		continue;
}

static void
connect_client(int *ret)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) < 0)
		abort();
	conn_new(&b.clients->conns, fds[0]);
	*ret = fds[1];
}

static void
check_served(void)
{
	static const char ask[] = "{\"id\":1,\"method\":\"schedules\"}\n";
	static const char answer[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}\n";
	char text[256] = "";
	int fd;

	connect_client(&fd);
	if (send(fd, ask, sizeof ask - 1, 0) != sizeof ask - 1)
		abort();
	turn();
	if (recv(fd, text, sizeof text - 1, 0) < 0 || strcmp(text, answer) != 0)
		abort();
	close(fd);
	turn();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;
	int fd;

	if (b.loop == NULL)
		begin();
	if (size == 0)
		return 0;
	piece = data[0] < 200 ? data[0] + 1U : data[0] * 256U;
	fake.later = data[0] & 1;
	connect_client(&fd);
	for (size_t at = 1; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (send(fd, data + at, n, MSG_NOSIGNAL) < 0)
			break;
		turn();
		drain(fd);
	}
	if (data[0] & 2)
		fake_commit(&b);
	if (fake.last_id > 0 && data[0] & 4)
		fake_end(fake.last_id, TASK_DONE, "[1,\n", data[0] & 8);
	if (data[0] & 16)
		shutdown(fd, SHUT_WR);
	turn();
	close(fd);
	turn();
	/* The answers to one that has left. */
	fake_commit(&b);
	turn();
	check_served();
	/* One that shut its side before it left is noticed when answered. */
	while (!list_empty(&b.clients->conns.all))
		conn_close(
		    LIST_ENTRY(b.clients->conns.all.next, struct conn, link));
	if (fake.waiting != 0)
		abort();
	fake_reset();
	return 0;
}
