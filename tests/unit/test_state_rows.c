/* The queue of rows: one a key, bounded, in order. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "state/rows.h"

static struct row *
make(enum row_kind kind, const char *key)
{
	const struct value v[] = {
		{ .type = VALUE_TEXT, .as.text = key },
		{ .type = VALUE_INT, .as.n = 5 },
		{ .type = VALUE_NULL },
	};
	struct row *row = row_new(kind, v, 3);

	assert_non_null(row);
	return row;
}

static const struct row *
nth(const struct list *head, int n)
{
	const struct list *l = head->next;

	while (n-- > 0 && l != head)
		l = l->next;
	return l == head ? NULL : (const struct row *)(const void *)l;
}

static void
a_row_owns_its_texts(void **unused)
{
	char key[] = "web:0";
	struct row *row = make(ROW_EVENT, key);

	(void)unused;
	memset(key, 'x', sizeof key - 1);
	assert_string_equal(row->v[0].as.text, "web:0");
	assert_int_equal(row->v[1].as.n, 5);
	assert_int_equal(row->v[2].type, VALUE_NULL);
	free(row);
}

static void
only_the_newest_row_of_a_key_waits(void **unused)
{
	struct queue q, all;

	(void)unused;
	queue_init(&q);
	queue_init(&all);
	assert_true(queue_empty(&q));
	queue_add(&q, make(ROW_INSTANCE, "a"), 10);
	queue_add(&q, make(ROW_INSTANCE, "b"), 10);
	queue_add(&q, make(ROW_FACT, "a"), 10);
	queue_add(&q, make(ROW_INSTANCE_DROP, "a"), 10);
	assert_false(queue_empty(&q));
	queue_move(&q, &all);
	assert_true(queue_empty(&q));
	assert_string_equal(nth(&all.keyed, 0)->v[0].as.text, "b");
	assert_int_equal(nth(&all.keyed, 1)->kind, ROW_FACT);
	assert_int_equal(nth(&all.keyed, 2)->kind, ROW_INSTANCE_DROP);
	assert_null(nth(&all.keyed, 3));
	queue_add(&q, make(ROW_INSTANCE, "a"), 10);
	queue_free_rows(&q);
	queue_free_rows(&all);
}

static void
the_oldest_history_goes_first(void **unused)
{
	struct queue q;
	size_t gone = 0;

	(void)unused;
	queue_init(&q);
	for (int i = 0; i < 25; i++) {
		queue_add(&q, make(ROW_INSTANCE, "a"), 10);
		gone += queue_add(&q,
		    make(i % 2 ? ROW_EVENT : ROW_EXIT, i == 15 ? "x" : "y"),
		    10);
	}
	assert_int_equal(gone, 15);
	assert_int_equal(q.waiting, 10);
	assert_string_equal(nth(&q.history, 0)->v[0].as.text, "x");
	assert_null(nth(&q.history, 10));
	assert_null(nth(&q.keyed, 1));
	queue_free_rows(&q);
	assert_int_equal(q.waiting_bytes, 0);
}

static void
large_rows_are_bounded_by_their_bytes(void **unused)
{
	char *text = malloc(1 << 20);
	struct queue q;
	size_t gone = 0;

	(void)unused;
	assert_non_null(text);
	memset(text, 'x', (1 << 20) - 1);
	text[(1 << 20) - 1] = '\0';
	queue_init(&q);
	for (int i = 0; i < 40; i++)
		gone += queue_add(&q, make(ROW_EVENT, text), 1000);
	assert_true(gone > 0);
	assert_true(q.waiting_bytes <= QUEUE_BYTES);
	queue_free_rows(&q);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_owns_its_texts),
		cmocka_unit_test(only_the_newest_row_of_a_key_waits),
		cmocka_unit_test(the_oldest_history_goes_first),
		cmocka_unit_test(large_rows_are_bounded_by_their_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
