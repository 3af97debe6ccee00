/* What a broker that was killed leaves behind: whole rows, the newest of each
 * task, whatever the moment. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/broker/flights.h"

#define IDS 64

static struct flights *
open_new(int *ret_fd)
{
	bool fresh;
	struct flights *f = flights_open(-1, ret_fd, &fresh);

	assert_non_null(f);
	assert_true(fresh);
	assert_true(*ret_fd >= 0);
	return f;
}

static struct flights *
open_next(int fd)
{
	int made;
	bool fresh;
	struct flights *f = flights_open(fd, &made, &fresh);

	assert_non_null(f);
	assert_false(fresh);
	assert_int_equal(made, -1);
	return f;
}

static void
flights_outlive_the_broker(void **state)
{
	struct flights *f, *next;
	struct flight *flight;
	int fd;

	(void)state;
	f = open_new(&fd);
	flights_add(f, 7, 1, 3, 9, 55);
	flight = flights_add(f, 8, 2, 4, 9, 56);
	flights_flag(f, flight, FLIGHT_OVERRUN);
	flights_add(f, 9, 1, 5, 9, 57);
	flights_clear(f, flights_find(f, 9));
	next = open_next(fd);
	assert_int_equal(flights_count(next), 2);
	assert_null(flights_find(next, 9));
	flight = flights_find(next, 8);
	assert_int_equal(flight->attempt, 2);
	assert_int_equal(flight->slot, 4);
	assert_int_equal(flight->gen, 9);
	assert_int_equal(flight->sent, 56);
	assert_int_equal(flight->flags, FLIGHT_OVERRUN);
	assert_null(flight->task);
	flights_free(next);
	flights_free(f);
	close(fd);
}

static void
a_broker_after_it_is_the_same_to_others(void **state)
{
	uint8_t one[FLIGHTS_ID], two[FLIGHTS_ID];
	struct flights *f, *next;
	int fd, other;

	(void)state;
	f = open_new(&fd);
	assert_true(flights_id(f, one));
	next = open_next(fd);
	assert_true(flights_id(next, two));
	assert_memory_equal(one, two, sizeof(one));
	flights_free(next);
	flights_free(f);
	close(fd);
	f = open_new(&other);
	assert_true(flights_id(f, two));
	assert_memory_not_equal(one, two, sizeof(one));
	flights_free(f);
	close(other);
}

static void
of_one_that_is_sent_again_the_newer_counts(void **state)
{
	struct flights *f, *next;
	struct flight *before;
	int fd;

	(void)state;
	f = open_new(&fd);
	before = flights_add(f, 7, 1, 1, 1, 1);
	before->ended = true;
	flights_add(f, 7, 2, 2, 1, 2);
	assert_int_equal(flights_find(f, 7)->slot, 2);
	next = open_next(fd);
	assert_int_equal(flights_count(next), 1);
	assert_int_equal(flights_find(next, 7)->slot, 2);
	flights_free(next);
	/* And the older one's end, once it is stored, leaves the newer. */
	flights_clear(f, before);
	next = open_next(fd);
	assert_int_equal(flights_find(next, 7)->slot, 2);
	flights_free(next);
	flights_free(f);
	close(fd);
}

static void
more_than_there_is_room_for_are_not_lost_to_this_broker(void **state)
{
	struct flights *f, *next;
	int fd;

	(void)state;
	f = open_new(&fd);
	for (uint64_t id = 1; id <= FLIGHTS_ROWS + 10; id++)
		assert_non_null(flights_add(f, id, 1, 1, 1, 1));
	assert_int_equal(flights_count(f), FLIGHTS_ROWS + 10);
	next = open_next(fd);
	assert_int_equal(flights_count(next), FLIGHTS_ROWS);
	flights_free(next);
	for (uint64_t id = 1; id <= FLIGHTS_ROWS + 10; id++)
		flights_clear(f, flights_find(f, id));
	assert_non_null(flights_add(f, 5, 1, 1, 1, 1));
	next = open_next(fd);
	assert_int_equal(flights_count(next), 1);
	flights_free(next);
	flights_free(f);
	close(fd);
}

static void
another_layout_is_not_taken(void **state)
{
	int fd = memfd_create("test", 0), made;
	struct flights *f;
	bool fresh;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	f = flights_open(fd, &made, &fresh);
	assert_non_null(f);
	assert_true(fresh);
	flights_free(f);
	close(made);
	close(fd);
}

static bool
is_even(const struct kept_hand *k, void *arg)
{
	(void)arg;
	return k->slot % 2 == 0;
}

static void
hands_are_kept_until_they_are_swept(void **state)
{
	struct flights *f, *next;
	struct kept_hand *k;
	int fd;

	(void)state;
	f = open_new(&fd);
	for (uint32_t i = 0; i < 10; i++) {
		k = flights_hand_add(f, i, 1);
		assert_non_null(k);
		k->threads = i;
		if (i != 4) /* killed before it was */
			flights_hand_keep(k);
	}
	next = open_next(fd);
	assert_null(flights_hand(next, 4, 1));
	assert_null(flights_hand(next, 6, 2));
	flights_hands_sweep(next, is_even, NULL);
	assert_null(flights_hand(next, 5, 1));
	assert_int_equal(flights_hand(next, 6, 1)->threads, 6);
	flights_hand_clear(next, flights_hand(next, 6, 1));
	assert_null(flights_hand(next, 6, 1));
	for (uint32_t i = 100; i < 100 + FLIGHTS_HANDS; i++) {
		k = flights_hand_add(next, i, 1);
		if (k == NULL)
			break;
		flights_hand_keep(k);
	}
	assert_null(flights_hand_add(next, 1, 9));
	flights_free(next);
	flights_free(f);
	close(fd);
}

/* Sends and ends tasks as fast as it can. What a row says follows from its id
 * and attempt, so that a torn one shows. */
static void
child(int fd, unsigned seed)
{
	struct flights *f;
	bool fresh;
	int made;

	f = flights_open(fd, &made, &fresh);
	if (f == NULL || fresh)
		_exit(1);
	for (uint32_t i = 1;; i++) {
		uint64_t id = 1 + (uint64_t)rand_r(&seed) % IDS;
		struct flight *flight = flights_find(f, id);
		uint32_t attempt = flight != NULL ? flight->attempt + 1 : i;

		if (flight != NULL && i % 2 == 0) {
			flights_clear(f, flight);
			continue;
		}
		flights_add(f, id, attempt, (uint32_t)id * 3, attempt * 5,
		    (int64_t)id + attempt);
		if (flight != NULL)
			flights_clear(f, flight);
	}
}

static void
check_one(struct flight *flight, void *arg)
{
	(void)arg;
	assert_in_range(flight->id, 1, IDS);
	assert_int_equal(flight->slot, flight->id * 3);
	assert_int_equal(flight->gen, flight->attempt * 5);
	assert_int_equal(flight->sent, flight->id + flight->attempt);
}

static void
killed_at_any_moment_it_leaves_whole_rows(void **state)
{
	int fd, status;

	(void)state;
	flights_free(open_new(&fd));
	for (unsigned round = 0; round < 100; round++) {
		struct timespec while_it_works = { 0,
			(long)(rand() % 3000) * 1000 };
		struct flights *f;
		pid_t pid = fork();

		if (pid == 0)
			child(fd, round);
		assert_true(pid > 0);
		nanosleep(&while_it_works, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		f = open_next(fd);
		assert_true(flights_count(f) <= IDS);
		flights_each(f, check_one, NULL);
		flights_free(f);
	}
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flights_outlive_the_broker),
		cmocka_unit_test(of_one_that_is_sent_again_the_newer_counts),
		cmocka_unit_test(
		    more_than_there_is_room_for_are_not_lost_to_this_broker),
		cmocka_unit_test(another_layout_is_not_taken),
		cmocka_unit_test(a_broker_after_it_is_the_same_to_others),
		cmocka_unit_test(hands_are_kept_until_they_are_swept),
		cmocka_unit_test(killed_at_any_moment_it_leaves_whole_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
