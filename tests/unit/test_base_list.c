/* The ring, and what may be done while walking it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "supervisord/base/list.h"

struct item {
	int number;
	struct list link;
};

static void
fill(struct list *head, struct item *items, int n)
{
	list_init(head);
	for (int i = 0; i < n; i++) {
		items[i].number = i;
		list_init(&items[i].link);
		list_append(head, &items[i].link);
	}
}

static void
an_empty_one_is_walked_no_step(void **state)
{
	struct list head, *l, *tmp;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	LIST_FOREACH(l, tmp, &head)
		fail();
}

static void
order_is_the_order_of_appending(void **state)
{
	struct item items[5];
	struct list head, *l, *tmp;
	int want = 0;

	(void)state;
	fill(&head, items, 5);
	LIST_FOREACH(l, tmp, &head)
		assert_int_equal(
		    LIST_ENTRY(l, struct item, link)->number, want++);
	assert_int_equal(want, 5);
	list_remove(&items[4].link);
	list_insert_before(&items[0].link, &items[4].link);
	assert_ptr_equal(head.next, &items[4].link);
	assert_ptr_equal(head.prev, &items[3].link);
}

static void
one_may_be_removed_twice(void **state)
{
	struct item items[3];
	struct list head;

	(void)state;
	fill(&head, items, 3);
	assert_true(list_linked(&items[1].link));
	list_remove(&items[1].link);
	assert_false(list_linked(&items[1].link));
	list_remove(&items[1].link);
	assert_ptr_equal(items[0].link.next, &items[2].link);
	assert_ptr_equal(items[2].link.prev, &items[0].link);
	list_remove(&items[0].link);
	list_remove(&items[2].link);
	assert_true(list_empty(&head));
}

static void
the_one_in_hand_may_be_freed(void **state)
{
	struct list head, *l, *tmp;
	int seen = 0;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 10; i++) {
		struct item *item = malloc(sizeof *item);

		assert_non_null(item);
		item->number = i;
		list_append(&head, &item->link);
	}
	LIST_FOREACH(l, tmp, &head) {
		struct item *item = LIST_ENTRY(l, struct item, link);

		assert_int_equal(item->number, seen++);
		list_remove(l);
		free(item);
	}
	assert_int_equal(seen, 10);
	assert_true(list_empty(&head));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_is_walked_no_step),
		cmocka_unit_test(order_is_the_order_of_appending),
		cmocka_unit_test(one_may_be_removed_twice),
		cmocka_unit_test(the_one_in_hand_may_be_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
