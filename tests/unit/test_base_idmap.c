/* Things found by their numbers: added, removed, several of one number. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisord/base/idmap.h"
#include "supervisord/base/slab.h"
#include "supervisord/base/util.h"

#define MANY 5000

struct thing {
	int value;
	struct idlink by_id;
};

static struct thing things[MANY];

static struct thing *
find(const struct idmap *m, uint64_t id)
{
	struct idlink *l = idmap_find(m, id);

	return l != NULL ? IDMAP_ENTRY(l, struct thing, by_id) : NULL;
}

static void
each_is_found_until_it_is_removed(void **state)
{
	/* In a row, and as far apart as can be. */
	static const uint64_t steps[] = { 1, 64, 1ULL << 40,
		UINT64_MAX / MANY };

	(void)state;
	for (size_t s = 0; s < N_ELEMENTS(steps); s++) {
		struct idmap m = { 0 };

		assert_null(find(&m, 1));
		for (uint64_t i = 0; i < MANY; i++)
			idmap_add(&m, &things[i].by_id, (i + 1) * steps[s]);
		assert_int_equal(m.count, MANY);
		for (uint64_t i = 0; i < MANY; i += 2)
			idmap_remove(&m, &things[i].by_id);
		for (uint64_t i = 0; i < MANY; i++)
			assert_ptr_equal(find(&m, (i + 1) * steps[s]),
			    i % 2 == 0 ? NULL : &things[i]);
		for (uint64_t i = 0; i < MANY; i++)
			idmap_remove(&m, &things[i].by_id);
		assert_int_equal(m.count, 0);
		idmap_done(&m);
	}
}

static void
several_of_one_number_are_all_found(void **state)
{
	struct idmap m = { 0 };
	struct idlink *l;
	int sum = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		things[i].value = i;
		idmap_add(&m, &things[i].by_id, i % 3 == 0 ? 7 : 1000 + i);
	}
	for (l = idmap_find(&m, 7); l != NULL; l = idmap_same(l->next, 7))
		sum += IDMAP_ENTRY(l, struct thing, by_id)->value;
	assert_int_equal(sum, 100 * 99 / 2 * 3);
	while ((l = idmap_find(&m, 7)) != NULL)
		idmap_remove(&m, l);
	assert_int_equal(m.count, 200);
	memset(things, 0, sizeof things);
	idmap_done(&m);
}

static void
going_through_meets_each_once(void **state)
{
	struct idmap m = { 0 };
	struct idlink *l, *tmp;
	int met = 0;

	(void)state;
	IDMAP_FOREACH(l, tmp, &m)
		met++;
	assert_int_equal(met, 0);
	for (int i = 0; i < MANY; i++)
		idmap_add(&m, &things[i].by_id, 3 * (uint64_t)i + 1);
	IDMAP_FOREACH(l, tmp, &m) {
		met++;
		idmap_remove(&m, l);
	}
	assert_int_equal(met, MANY);
	assert_int_equal(m.count, 0);
	idmap_done(&m);
}

static void
nothing_has_the_number_zero(void **state)
{
	struct idmap m = { 0 };
	struct idlink l = { 0 };

	(void)state;
	idmap_add(&m, &l, 0);
	assert_null(idmap_find(&m, 0));
	idmap_remove(&m, &l);
	assert_int_equal(m.count, 0);
}

static void
what_comes_from_a_slab_is_zeroed(void **state)
{
	static struct slab slab = SLAB(struct thing, 2);
	struct thing *all[4];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++) {
			static const struct thing zero;

			all[i] = slab_take(&slab);
			assert_memory_equal(all[i], &zero, sizeof zero);
			memset(all[i], 0xff, sizeof *all[i]);
		}
		for (int i = 0; i < 4; i++)
			slab_give(&slab, all[i]);
		assert_true(slab.count <= 2);
	}
	while (slab.count > 0)
		free(slab_take(&slab));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_found_until_it_is_removed),
		cmocka_unit_test(several_of_one_number_are_all_found),
		cmocka_unit_test(going_through_meets_each_once),
		cmocka_unit_test(nothing_has_the_number_zero),
		cmocka_unit_test(what_comes_from_a_slab_is_zeroed),
	};

	return cmocka_run_group_tests_name("idmap", tests, NULL, NULL);
}
