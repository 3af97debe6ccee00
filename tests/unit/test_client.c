/*
 * The C client against the broker's own client code, which runs in a process
 * that can be killed; the queues behind it are made up:
 *   echo  gives its arguments back        fail   fails with "no luck"
 *   big   gives a result of 2 MB          never  ends when it is cancelled
 *   die   kills the broker before it answers
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <supervisor/client.h>

#include "supervisord/broker/clients.h"
#include "supervisord/broker/clients_int.h"
#include "tests/unit/broker_fake.h"

/* What a killed broker leaves to the next: its "disk". */
static struct {
	unsigned deaths; /* that are still to be died */
} * disk;

static struct broker b;
static int listener = -1;
static pid_t child;
static ev_prepare turn_watcher;

static void
turn(struct ev_loop *loop, ev_prepare *w, int events)
{
	(void)loop;
	(void)w;
	(void)events;
	/* What was submitted in this turn has been committed and worked on. */
	for (uint64_t id = 1; id <= fake.last_id; id++) {
		struct task_row *row = &fake.rows[id - 1];
		char *big;

		if (row->state != TASK_QUEUED || row->func == NULL)
			continue;
		if (strcmp(row->func, "echo") == 0)
			fake_end(id, TASK_DONE,
			    row->payload != NULL ? row->payload->data : "null",
			    row->json);
		else if (fake.cancelled == id)
			fake_end(id, TASK_CANCELLED, "cancelled", false);
		else if (strcmp(row->func, "fail") == 0)
			fake_end(id, TASK_FAILED, "no luck", false);
		else if (strcmp(row->func, "big") == 0) {
			big = malloc(2000001);
			memset(big, 'b', 2000000);
			big[2000000] = '\0';
			fake_end(id, TASK_DONE, big, false);
			free(big);
		} else if (strcmp(row->func, "die") == 0 && disk->deaths > 0) {
			disk->deaths--;
			raise(SIGKILL);
		} else if (strcmp(row->func, "die") == 0) {
			fake_end(id, TASK_DONE, "survived", false);
		}
	}
	clients_turn(&b);
}

static void
serve(void)
{
	memset(&b, 0, sizeof b);
	b.loop = ev_loop_new(0);
	peer_init(&b.guardian, b.loop, NULL, NULL, NULL);
	b.socket_mode = 0600;
	b.socket_group = (gid_t)-1;
	snprintf(b.tasks_path, sizeof b.tasks_path, "%s",
	    getenv("SUPERVISOR_TASKS"));
	if (clients_new(&b, listener) < 0)
		_exit(9);
	ev_prepare_init(&turn_watcher, turn);
	ev_prepare_start(b.loop, &turn_watcher);
	ev_run(b.loop, 0);
}

static void
start_broker(void)
{
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		serve();
}

static void
kill_broker(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static int
start(void **state)
{
	static char folder[] = "/tmp/svclientXXXXXX";
	static char path[64];
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)state;
	disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/tasks.sock", folder);
	setenv("SUPERVISOR_TASKS", path, 1);
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(listener, 64), 0);
	start_broker();
	return 0;
}

static int
end(void **state)
{
	char *path = getenv("SUPERVISOR_TASKS");

	(void)state;
	kill_broker();
	close(listener);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	munmap(disk, sizeof *disk);
	return 0;
}

static struct sv_client *
connect_client(void)
{
	struct sv_client *c;

	assert_int_equal(sv_client_new(NULL, &c), 0);
	return c;
}

static void
a_task_is_submitted_and_its_result_waited_for(void **state)
{
	struct sv_job t = SV_TASK("web", "echo");
	struct sv_client *c = connect_client();
	struct sv_result r;
	uint64_t id;

	(void)state;
	t.data = "[1,2]";
	t.size = 5;
	t.priority = SV_HIGH;
	assert_int_equal(sv_submit(c, &t, &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(sv_wait(c, id, 10000, &r), 0);
	assert_int_equal(r.id, 1);
	assert_int_equal(r.state, SV_DONE);
	assert_true(r.json);
	assert_string_equal(r.data, "[1,2]");
	sv_result_done(&r);
	assert_int_equal(sv_run(c, &t, 10000, &r), 0);
	assert_int_equal(r.id, 2);
	sv_result_done(&r);
	t.func = "fail";
	assert_int_equal(sv_run(c, &t, -1, &r), 0);
	assert_int_equal(r.state, SV_FAILED);
	assert_string_equal(sv_state_name(r.state), "failed");
	assert_string_equal(r.data, "no luck");
	sv_result_done(&r);
	assert_int_equal(sv_client_pending(c), 0);
	sv_client_free(c);
}

static void
large_things_come_whole(void **state)
{
	struct sv_job t = SV_TASK("web", "echo");
	struct sv_client *c = connect_client();
	char *data = malloc(1 << 20);
	struct sv_result r;

	(void)state;
	memset(data, 'x', 1 << 20);
	t.data = data;
	t.size = 1 << 20;
	t.json = false;
	assert_int_equal(sv_run(c, &t, 20000, &r), 0);
	assert_int_equal(r.size, 1 << 20);
	assert_memory_equal(r.data, data, 1 << 20);
	sv_result_done(&r);
	t.func = "big";
	assert_int_equal(sv_run(c, &t, 20000, &r), 0);
	assert_int_equal(r.size, 2000000);
	sv_result_done(&r);
	t.size++;
	assert_int_equal(sv_run(c, &t, 20000, &r), -E2BIG);
	free(data);
	sv_client_free(c);
}

static void
a_refusal_has_code_name_and_words(void **state)
{
	struct sv_job t = SV_TASK("nobody", "echo");
	struct sv_client *c = connect_client();
	const struct sv_error *e = sv_client_error(c);
	struct sv_result r;
	uint64_t id;
	char *json;

	(void)state;
	assert_int_equal(sv_submit(c, &t, &id), -EREMOTEIO);
	assert_int_equal(e->code, 4);
	assert_string_equal(e->name, "unknown-worker");
	assert_non_null(strstr(e->words, "no such worker"));
	assert_int_equal(sv_cancel(c, 99), -EREMOTEIO);
	assert_string_equal(e->name, "unknown-task");
	assert_int_equal(sv_wait(c, 99, -1, &r), -EREMOTEIO);
	assert_int_equal(sv_wait(c, 0, -1, &r), -EINVAL);
	t.worker = "web";
	t.data = "{";
	t.size = 1;
	assert_int_equal(sv_submit(c, &t, &id), -EREMOTEIO);
	assert_string_equal(e->name, "not-json");
	assert_int_equal(sv_call(c, "dance", NULL, &json), -EREMOTEIO);
	t.func = "";
	assert_int_equal(sv_submit(c, &t, &id), -EINVAL);
	assert_int_equal(sv_call(c, "schedules", NULL, &json), 0);
	assert_string_equal(json, "[]");
	free(json);
	sv_client_free(c);
}

static void
waiting_ends_when_its_time_is_over(void **state)
{
	struct sv_job t = SV_TASK("web", "never");
	struct sv_client *c = connect_client();
	struct sv_result r;
	uint64_t id;

	(void)state;
	assert_int_equal(sv_run(c, &t, 50, &r), -ETIMEDOUT);
	assert_int_equal(r.id, 1);
	assert_int_equal(sv_submit(c, &t, &id), 0);
	assert_int_equal(sv_wait(c, id, 0, &r), -ETIMEDOUT);
	assert_int_equal(sv_wait(c, id, 50, &r), -ETIMEDOUT);
	assert_int_equal(sv_cancel(c, id), 0);
	assert_int_equal(sv_client_pending(c), 0);
	sv_client_free(c);
}

/* So many questions of one client that wait would be too many to the broker. */
static void
who_waits_again_and_again_asks_once(void **state)
{
	struct sv_job t = SV_TASK("web", "never");
	struct sv_client *c = connect_client();
	struct sv_result r;
	uint64_t id;

	(void)state;
	assert_int_equal(sv_submit(c, &t, &id), 0);
	for (int i = 0; i < 70000; i++)
		assert_int_equal(sv_wait(c, id, 0, &r), -ETIMEDOUT);
	/* This one is refused when nobody waits any more. */
	assert_int_equal(sv_wait(c, 4711, 0, &r), -ETIMEDOUT);
	assert_int_equal(sv_client_pending(c), 0);
	t.func = "echo";
	assert_int_equal(sv_run(c, &t, 10000, &r), 0);
	sv_result_done(&r);
	/* Who comes last hears it, also after the broker was another. */
	assert_int_equal(sv_wait(c, id, 0, &r), -ETIMEDOUT);
	assert_int_equal(sv_cancel(c, id), 0);
	assert_int_equal(sv_wait(c, id, 10000, &r), 0);
	assert_int_equal(r.state, SV_CANCELLED);
	sv_result_done(&r);
	t.func = "never";
	assert_int_equal(sv_run(c, &t, 50, &r), -ETIMEDOUT);
	id = r.id;
	kill_broker();
	start_broker();
	t.func = "echo";
	t.key = "k";
	assert_int_equal(sv_run(c, &t, 10000, &r), 0);
	sv_result_done(&r);
	assert_int_equal(sv_client_pending(c), 0);
	sv_client_free(c);
}

static void
many_are_submitted_at_once(void **state)
{
	enum {
		MANY = 20000
	};
	struct sv_job *all = calloc(MANY, sizeof *all);
	uint64_t *ids = calloc(MANY, sizeof *ids);
	struct sv_client *c = connect_client();

	(void)state;
	for (int i = 0; i < MANY; i++)
		all[i] = (struct sv_job)SV_TASK("web", "never");
	assert_int_equal(sv_submit_many(c, all, MANY, ids), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(ids[i], i + 1);
	all[3].worker = "no";
	assert_int_equal(sv_submit_many(c, all, 5, ids), -EREMOTEIO);
	assert_int_equal(ids[3], 0);
	assert_int_equal(ids[4], MANY + 4);
	free(all);
	free(ids);
	sv_client_free(c);
}

struct heard {
	struct sv_client *c;
	int accepted, ended, errors;
	char text[64];
};

static void
accepted(void *arg, int error, const struct sv_error *why, uint64_t id)
{
	struct heard *h = arg;
	struct sv_result r;

	(void)why;
	h->accepted++;
	h->errors += error != 0;
	/* The blocking calls would never return from here. */
	assert_int_equal(sv_wait(h->c, id, 0, &r), -EDEADLK);
}

static void
ended(void *arg, int error, const struct sv_error *why, struct sv_result *r)
{
	struct sv_job t = SV_TASK("web", "echo");
	struct heard *h = arg;

	(void)why;
	h->ended++;
	h->errors += error != 0;
	if (r != NULL)
		snprintf(h->text, sizeof h->text, "%s", r->data);
	if (h->ended < 3)
		assert_int_equal(sv_start(h->c, &t, accepted, ended, h), 0);
}

static void
callbacks_come_by_one_descriptor(void **state)
{
	struct sv_job t = SV_TASK("web", "echo");
	struct sv_client *c = connect_client();
	struct heard h = { .c = c };
	struct pollfd p = { .fd = sv_client_fd(c), .events = POLLIN };

	(void)state;
	t.data = "7";
	t.size = 1;
	assert_int_equal(
	    sv_client_dispatch(c, -1), 0); /* nothing to wait for */
	assert_int_equal(sv_start(c, &t, accepted, ended, &h), 0);
	while (h.ended < 3) {
		assert_true(sv_client_dispatch(c, 0) >= 0);
		if (h.ended < 3)
			assert_int_equal(poll(&p, 1, 10000), 1);
	}
	assert_int_equal(h.accepted, 3);
	assert_int_equal(h.errors, 0);
	assert_string_equal(h.text, "null");
	sv_client_free(c);
}

static void
a_killed_broker_is_found_again(void **state)
{
	struct sv_job t = SV_TASK("web", "never");
	struct sv_client *c = connect_client();
	struct heard plain = { .c = c }, keyed = { .c = c };
	struct sv_job with_key = SV_TASK("web", "die");

	(void)state;
	with_key.key = "order 17";
	disk->deaths = 2;
	/* The broker dies twice before it answers; each next one is asked
	 * again, by the key. */
	plain.ended = keyed.ended = 5;
	assert_int_equal(sv_start(c, &with_key, NULL, ended, &keyed), 0);
	while (keyed.ended == 5) {
		assert_true(sv_client_dispatch(c, 20) >= 0);
		if (waitpid(child, NULL, WNOHANG) == child)
			start_broker();
	}
	assert_int_equal(keyed.ended, 6);
	assert_int_equal(keyed.errors, 0);
	assert_string_equal(keyed.text, "survived");
	assert_int_equal(disk->deaths, 0);
	/* Without a key nobody can tell. */
	kill_broker();
	assert_int_equal(sv_start(c, &t, accepted, ended, &plain), 0);
	while (plain.accepted == 0)
		assert_true(sv_client_dispatch(c, 1000) >= 0);
	assert_int_equal(plain.errors, 1);
	start_broker();
	assert_int_equal(sv_start(c, &t, accepted, NULL, &plain), 0);
	while (plain.accepted == 1)
		assert_true(sv_client_dispatch(c, 1000) >= 0);
	assert_int_equal(plain.errors, 1);
	sv_client_free(c);
}

static void
patience_ends(void **state)
{
	struct sv_job t = SV_TASK("web", "die");
	struct sv_client *c = connect_client();
	struct sv_result r;
	uint64_t id;

	(void)state;
	t.key = "k";
	/* The broker is up, and has seen that its socket is there. */
	assert_int_equal(sv_run(c, &t, 10000, &r), 0);
	sv_result_done(&r);
	disk->deaths = 1;
	/* Whoever connects finds nobody, not even a backlog. */
	close(listener);
	unlink(getenv("SUPERVISOR_TASKS"));
	sv_client_patience(c, 60);
	assert_int_equal(sv_run(c, &t, 10000, &r), -ECONNRESET);
	assert_non_null(strstr(sv_client_error(c)->words, "lost"));
	assert_int_equal(sv_submit(c, &t, &id), -ENOENT);
	sv_client_free(c);
	assert_int_equal(sv_client_new(NULL, &c), -ENOENT);
	assert_int_equal(sv_client_new("/", &c), -ECONNREFUSED);
}

/* As when hundreds of processes begin at once. */
static void
a_full_backlog_is_waited_for(void **state)
{
	struct sv_job t = SV_TASK("web", "echo");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int waiting[8], n = 0;
	struct sv_client *c;
	struct sv_result r;

	(void)state;
	kill_broker();
	assert_int_equal(listen(listener, 0), 0);
	snprintf(
	    a.sun_path, sizeof a.sun_path, "%s", getenv("SUPERVISOR_TASKS"));
	do {
		waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	} while (connect(waiting[n++], (struct sockaddr *)&a, sizeof a) == 0);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(sv_client_new(NULL, &c), 0);
	start_broker();
	assert_int_equal(sv_run(c, &t, 10000, &r), 0);
	sv_result_done(&r);
	sv_client_free(c);
	while (n > 0)
		close(waiting[--n]);
	assert_int_equal(listen(listener, 64), 0);
}

/* It has the connection that is lost, and keeps it open. */
static void
a_child_of_the_caller_is_not_heard(void **state)
{
	struct sv_job t = SV_TASK("web", "echo");
	struct sv_client *c = connect_client();
	struct pollfd p = { .fd = sv_client_fd(c), .events = POLLIN };
	struct sv_result r;
	pid_t other;

	(void)state;
	assert_int_equal(sv_run(c, &t, 10000, &r), 0);
	sv_result_done(&r);
	other = fork();
	if (other == 0) {
		pause();
		_exit(0);
	}
	kill_broker();
	start_broker();
	t.key = "k";
	assert_int_equal(sv_run(c, &t, 10000, &r), 0);
	sv_result_done(&r);
	/* A timer of its own may be over; then there is nothing any more. */
	assert_true(sv_client_dispatch(c, 0) >= 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	sv_client_free(c);
}

static void *
work(void *arg)
{
	struct sv_job t = SV_TASK("web", "echo");
	struct sv_client *c = connect_client();
	int *failures = arg;

	for (int i = 0; i < 300; i++) {
		char text[16];
		struct sv_result r;

		t.size = (size_t)snprintf(text, sizeof text, "%d", i);
		t.data = text;
		if (sv_run(c, &t, 20000, &r) < 0 || strcmp(r.data, text) != 0)
			++*failures;
		sv_result_done(&r);
	}
	sv_client_free(c);
	return NULL;
}

static void
each_thread_may_have_its_own(void **state)
{
	pthread_t threads[4];
	int failures[4] = { 0 };

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, work, &failures[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(failures[i], 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_task_is_submitted_and_its_result_waited_for),
		TEST(large_things_come_whole),
		TEST(a_refusal_has_code_name_and_words),
		TEST(waiting_ends_when_its_time_is_over),
		TEST(who_waits_again_and_again_asks_once),
		TEST(many_are_submitted_at_once),
		TEST(callbacks_come_by_one_descriptor),
		TEST(a_killed_broker_is_found_again),
		TEST(patience_ends),
		TEST(a_full_backlog_is_waited_for),
		TEST(a_child_of_the_caller_is_not_heard),
		TEST(each_thread_may_have_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
