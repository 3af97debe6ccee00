#ifndef TESTS_CLIENTS_RIG_H
#define TESTS_CLIENTS_RIG_H

/* A broker's clients over a core that is made up: the socket, what is said and
 * what is heard. Behind cmocka.h. */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "supervisord/broker/clients.h"
#include "supervisord/broker/clients_int.h"
#include "tests/unit/broker_fake.h"

static struct broker b;
static char folder[64];

/* As the broker does when a turn of its loop ends. */
static inline void
turn(struct ev_loop *loop, ev_prepare *w, int events)
{
	(void)loop;
	(void)w;
	(void)events;
	clients_turn(&b);
}

static inline int
start(void **state)
{
	(void)state;
	memset(&b, 0, sizeof b);
	fake_reset();
	b.loop = ev_default_loop(0);
	peer_init(&b.guardian, b.loop, NULL, NULL, NULL);
	b.socket_mode = 0600;
	b.socket_group = (gid_t)-1;
	b.store_well = true;
	snprintf(folder, sizeof folder, "/tmp/svcliXXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(b.tasks_path, sizeof b.tasks_path, "%s/tasks.sock", folder);
	assert_int_equal(clients_new(&b, -1), 0);
	ev_prepare_init(&b.turn, turn);
	ev_prepare_start(b.loop, &b.turn);
	return 0;
}

static inline void
run(void)
{
	for (int i = 0; i < 8; i++)
		ev_run(b.loop, EVRUN_NOWAIT);
}

static inline int
end(void **state)
{
	(void)state;
	run();
	ev_prepare_stop(b.loop, &b.turn);
	clients_free(&b);
	assert_int_equal(fake.waiting, 0);
	unlink(b.tasks_path);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static inline int
client(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(a.sun_path, b.tasks_path, strlen(b.tasks_path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

/* All of it, the broker reading meanwhile. */
static inline void
say_bytes(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			run();
			continue;
		}
		assert_true(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

static inline void
say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* One line; "" when the connection has ended or nothing comes. */
static inline const char *
hear(int fd)
{
	static char line[3 << 20];
	size_t n = 0;

	for (int i = 0; i < 400; i++) {
		ssize_t got;

		ev_run(b.loop, EVRUN_NOWAIT);
		while ((got = recv(fd, line + n, 1, 0)) == 1) {
			if (line[n++] == '\n') {
				line[n] = '\0';
				return line;
			}
		}
		if (got == 0)
			break;
	}
	line[n] = '\0';
	return line;
}

static inline const char *
ask(int fd, const char *text)
{
	say(fd, text);
	say(fd, "\n");
	return hear(fd);
}

#define HAS(answer, part) assert_non_null(strstr(answer, part))

/* --- frames --------------------------------------------------------------- */

struct frame {
	struct wire_head head;
	char body[WIRE_BODY + 1];
};

static inline void
say_frame(int fd, enum wire_type type, uint8_t flags, uint64_t id,
    const void *body, size_t size)
{
	char head[WIRE_HEAD];

	wire_put_head(head,
	    &(struct wire_head){ (uint32_t)size, (uint8_t)type, flags, 0, id });
	say_bytes(fd, head, sizeof head);
	if (size > 0)
		say_bytes(fd, body, size);
}

static inline bool
hear_bytes(int fd, void *to, size_t size)
{
	char *at = to;

	for (int i = 0; i < 100 && size > 0; i++) {
		ssize_t n = recv(fd, at, size, 0);

		if (n == 0)
			return false;
		if (n < 0) {
			ev_run(b.loop, EVRUN_NOWAIT);
			continue;
		}
		at += n;
		size -= (size_t)n;
	}
	return size == 0;
}

static inline bool
hear_frame(int fd, struct frame *f)
{
	char head[WIRE_HEAD];

	if (!hear_bytes(fd, head, sizeof head))
		return false;
	wire_get_head(head, &f->head);
	assert_true(f->head.size < sizeof f->body);
	if (!hear_bytes(fd, f->body, f->head.size))
		return false;
	f->body[f->head.size] = '\0';
	return true;
}

static inline int
framed_client(void)
{
	static struct frame f;
	int fd = client();

	say_frame(fd, WIRE_HELLO, 0, 0, "{\"hello\":1}", 11);
	assert_true(hear_frame(fd, &f));
	assert_int_equal(f.head.type, WIRE_HELLO);
	assert_string_equal(f.body, "{\"hello\":1}");
	return fd;
}

/* The body of a SUBMIT; its size. */
static inline size_t
make_submit(char *to, const struct wire_submit *w, const char *texts,
    const void *payload, size_t size)
{
	struct wire_submit h = *w;

	memcpy(to, &h, sizeof h);
	memcpy(to + sizeof h, texts, strlen(texts));
	if (size > 0)
		memcpy(to + sizeof h + strlen(texts), payload, size);
	return sizeof h + strlen(texts) + size;
}

static const struct wire_submit plain = { .priority = 1,
	.worker_size = 3,
	.func_size = 4,
	.retries = -1,
	.timeout_ms = -1 };

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

#endif
