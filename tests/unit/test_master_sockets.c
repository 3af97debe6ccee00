/*
 * Listening sockets: opened once, kept through a kill -9 of the master, moved
 * from config to config, refused in words.
 */

#include "tests/unit/master_rig.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "supervisord/base/buf.h"

static struct socket_setting http, other, local;
static struct socket_setting *list[3];
static char dir[64], path[96], listen_text[] = "as written";
static char port_text[16];

/* Kept until the test program ends. */
static char *
text(const char *of)
{
	static char texts[64][32];
	static unsigned used;

	assert_true(used < N_ELEMENTS(texts));
	snprintf(texts[used], sizeof texts[used], "%s", of);
	return texts[used++];
}

static void
tcp(struct socket_setting *s, const char *name, const char *port)
{
	*s = (struct socket_setting){ .source = "x.cfg",
		.line = 7,
		.listen = listen_text,
		.kind = SOCKET_TCP,
		.backlog = 16,
		.mode = FLEET_NO_UMASK };
	s->name = text(name);
	s->port = text(port);
	s->host = text("127.0.0.1");
}

static void
unix_socket(struct socket_setting *s)
{
	snprintf(dir, sizeof dir, "/tmp/svsocketsXXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/app.sock", dir);
	*s = (struct socket_setting){ .source = "x.cfg",
		.line = 9,
		.listen = listen_text,
		.kind = SOCKET_UNIX,
		.path = path,
		.backlog = 16,
		.mode = 0600 };
	s->name = text("local");
}

static void
use(struct rig *r, size_t n, struct socket_setting **settings)
{
	for (size_t i = 0; i < n; i++)
		list[i] = settings[i];
	r->fleet.sockets = list;
	r->fleet.sockets_count = n;
}

#define USE(r, ...)                                                            \
	use(r,                                                                 \
	    sizeof((struct socket_setting *[]){ __VA_ARGS__ }) /               \
		sizeof(struct socket_setting *),                               \
	    (struct socket_setting *[]){ __VA_ARGS__ })

/* The guardian does what it is told: KEEP and DROP of sockets. */
static void
hear(struct rig *r)
{
	struct msg msg;

	while (channel_receive(r->guardian, &msg) == 1) {
		bool keep = msg.type == MSG_KEEP, drop = msg.type == MSG_DROP;
		size_t i = 0;

		if ((!keep && !drop) ||
		    strncmp(msg.u.KEEP.name, "socket/", 7) != 0) {
			if (msg.fd >= 0)
				close(msg.fd);
			continue;
		}
		while (i < r->kept_count &&
		       strcmp(r->kept[i].name, msg.u.KEEP.name) != 0)
			i++;
		if (i < r->kept_count)
			close(r->kept[i].fd);
		if (keep && i == r->kept_count)
			r->kept_count++;
		if (keep) {
			memcpy(r->kept[i].name, msg.u.KEEP.name, PROTO_NAME);
			r->kept[i].fd = msg.fd;
		} else if (i < r->kept_count) {
			r->kept[i] = r->kept[--r->kept_count];
		}
	}
}

static void
begin(struct rig *r)
{
	rig_init(r);
	rig_worker(r, "web", 0);
}

static unsigned
port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t size = sizeof a;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	return ntohs(a.sin_port);
}

static ino_t
inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* A reload to what the rig's fleet is now; the words of a refusal. */
static const char *
reload(struct rig *r)
{
	static char words[512];
	struct sockets *set = NULL;
	struct buf error;

	buf_init(&error);
	words[0] = '\0';
	if (sockets_prepare(r->m, &r->fleet, &set, &error) < 0)
		snprintf(words, sizeof words, "%s", buf_text(&error));
	else
		sockets_apply(r->m, set);
	buf_done(&error);
	hear(r);
	return words;
}

static int
connects(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int r = connect(fd, (struct sockaddr *)&a, sizeof a);

	close(fd);
	return r;
}

static void
one_is_kept_through_a_kill_of_the_master(void **state)
{
	struct rig r;
	ino_t before;

	(void)state;
	begin(&r);
	tcp(&http, "http", "0");
	USE(&r, &http);
	rig_start(&r);
	hear(&r);
	assert_int_equal(r.kept_count, 1);
	assert_string_equal(r.kept[0].name, "socket/http");
	assert_int_equal(connects(port_of(r.kept[0].fd)), 0);
	before = inode(r.kept[0].fd);
	rig_kill(&r);
	rig_start(&r);
	hear(&r);
	assert_int_equal(r.kept_count, 1);
	assert_int_equal(inode(r.kept[0].fd), before);
	assert_int_equal(connects(port_of(r.kept[0].fd)), 0);
}

static void
a_reload_opens_new_ones_and_leaves_the_others(void **state)
{
	struct rig r;
	unsigned port;
	ino_t before;

	(void)state;
	begin(&r);
	tcp(&http, "http", "0");
	USE(&r, &http);
	rig_start(&r);
	hear(&r);
	before = inode(r.kept[0].fd);
	port = port_of(r.kept[0].fd);
	tcp(&other, "other", "0");
	other.kind = SOCKET_UDP;
	USE(&r, &http, &other);
	http.backlog = 99;
	assert_string_equal(reload(&r), "");
	assert_int_equal(r.kept_count, 2);
	assert_int_equal(inode(r.kept[0].fd), before);
	/* One goes: nobody listens there any more. */
	USE(&r, &other);
	assert_string_equal(reload(&r), "");
	assert_int_equal(r.kept_count, 1);
	assert_string_equal(r.kept[0].name, "socket/other");
	assert_int_equal(connects(port), -1);
}

static void
another_name_is_the_same_socket(void **state)
{
	struct rig r;
	ino_t before;

	(void)state;
	begin(&r);
	tcp(&http, "http", "0");
	USE(&r, &http);
	rig_start(&r);
	hear(&r);
	before = inode(r.kept[0].fd);
	tcp(&other, "web", "0");
	USE(&r, &other);
	assert_string_equal(reload(&r), "");
	assert_int_equal(r.kept_count, 1);
	assert_string_equal(r.kept[0].name, "socket/web");
	assert_int_equal(inode(r.kept[0].fd), before);
	assert_int_equal(connects(port_of(r.kept[0].fd)), 0);
}

static void
another_address_is_another_socket(void **state)
{
	struct rig r;
	ino_t before;

	(void)state;
	begin(&r);
	tcp(&http, "http", "0");
	USE(&r, &http);
	rig_start(&r);
	hear(&r);
	before = inode(r.kept[0].fd);
	tcp(&other, "http", "0");
	other.host = text("::1");
	USE(&r, &other);
	/* A machine without IPv6 refuses, and all is as it was. */
	if (reload(&r)[0] != '\0')
		assert_int_equal(inode(r.kept[0].fd), before);
	else
		assert_int_not_equal(inode(r.kept[0].fd), before);
	assert_int_equal(r.kept_count, 1);
}

static void
kept_under(const struct rig *r, const char *name, ino_t *ret)
{
	unsigned i = 0;

	while (i < r->kept_count && strcmp(r->kept[i].name, name) != 0)
		i++;
	assert_true(i < r->kept_count);
	*ret = inode(r->kept[i].fd);
}

static void
two_that_change_places_stay_open(void **state)
{
	ino_t a, b, after;
	struct rig r;

	(void)state;
	begin(&r);
	tcp(&http, "a", "0");
	unix_socket(&local);
	local.name = text("b");
	USE(&r, &http, &local);
	rig_start(&r);
	hear(&r);
	kept_under(&r, "socket/a", &a);
	kept_under(&r, "socket/b", &b);
	http.name = text("b");
	local.name = text("a");
	assert_string_equal(reload(&r), "");
	assert_int_equal(r.kept_count, 2);
	kept_under(&r, "socket/b", &after);
	assert_int_equal(after, a);
	kept_under(&r, "socket/a", &after);
	assert_int_equal(after, b);
	assert_int_equal(access(path, F_OK), 0);
	sockets_unlink(r.m);
	rmdir(dir);
}

static void
one_is_not_taken_for_two(void **state)
{
	ino_t a, b, before;
	struct rig r;

	(void)state;
	begin(&r);
	tcp(&http, "old", "0");
	USE(&r, &http);
	rig_start(&r);
	hear(&r);
	before = inode(r.kept[0].fd);
	tcp(&http, "a", "0");
	tcp(&other, "b", "0");
	USE(&r, &http, &other);
	assert_string_equal(reload(&r), "");
	kept_under(&r, "socket/a", &a);
	kept_under(&r, "socket/b", &b);
	assert_int_equal(a, before);
	assert_int_not_equal(b, before);
}

static void
what_cannot_be_had_changes_nothing(void **state)
{
	const char *words;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	tcp(&http, "http", "0");
	USE(&r, &http);
	rig_start(&r);
	hear(&r);
	/* Somebody else's port, behind one that could be had. */
	{
		struct sockaddr_in a = { .sin_family = AF_INET,
			.sin_addr = { htonl(INADDR_LOOPBACK) } };

		fd = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
		assert_int_equal(listen(fd, 1), 0);
	}
	unix_socket(&local);
	snprintf(port_text, sizeof port_text, "%u", port_of(fd));
	tcp(&other, "other", port_text);
	USE(&r, &http, &local, &other);
	words = reload(&r);
	assert_string_equal(words,
	    "x.cfg:7: sockets.other: cannot listen on as written: Address "
	    "already in use");
	assert_int_equal(r.kept_count, 1);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(connects(port_of(r.kept[0].fd)), 0);
	close(fd);
	rmdir(dir);
}

static void
a_path_is_cleared_only_when_nobody_listens(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	struct rig r;
	int fd;

	(void)state;
	begin(&r);
	USE(&r, &local);
	r.fleet.sockets_count = 0;
	rig_start(&r);
	unix_socket(&local);
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 1), 0);
	USE(&r, &local);
	assert_non_null(strstr(reload(&r), "Address already in use"));
	assert_int_equal(access(path, F_OK), 0);
	/* It ends, and leaves its path behind. */
	close(fd);
	assert_string_equal(reload(&r), "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
	/* A new master takes it as it is. */
	rig_kill(&r);
	rig_start(&r);
	hear(&r);
	assert_int_equal(r.kept_count, 1);
	sockets_unlink(r.m);
	assert_int_equal(access(path, F_OK), -1);
	rmdir(dir);
}

static void
no_host_means_every_address(void **state)
{
	struct rig r;
	int on = -1;
	socklen_t size = sizeof on;

	(void)state;
	begin(&r);
	tcp(&http, "http", "0");
	http.host = text("");
	USE(&r, &http);
	rig_start(&r);
	hear(&r);
	assert_int_equal(connects(port_of(r.kept[0].fd)), 0);
	/* Both families by one socket, where there are both. */
	if (getsockopt(r.kept[0].fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &size) ==
	    0)
		assert_int_equal(on, 0);
	rig_kill(&r);
	rig_start(&r);
	hear(&r);
	assert_int_equal(r.kept_count, 1);
	assert_int_equal(connects(port_of(r.kept[0].fd)), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_kept_through_a_kill_of_the_master),
		cmocka_unit_test(a_reload_opens_new_ones_and_leaves_the_others),
		cmocka_unit_test(another_name_is_the_same_socket),
		cmocka_unit_test(another_address_is_another_socket),
		cmocka_unit_test(two_that_change_places_stay_open),
		cmocka_unit_test(one_is_not_taken_for_two),
		cmocka_unit_test(what_cannot_be_had_changes_nothing),
		cmocka_unit_test(a_path_is_cleared_only_when_nobody_listens),
		cmocka_unit_test(no_host_means_every_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
