/* What the master sends as "broker/config". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisord/broker/config.h"

static struct broker b;
static struct buf why;

static int
parse(const char *text)
{
	memset(&b, 0, sizeof b);
	buf_done(&why);
	return config_parse(text, strlen(text), &b, &why);
}

#define PATHS "\"tasks_path\":\"/run/t.sock\",\"store_path\":\"\","

static void
every_key_is_read(void **state)
{
	static const char text[] =
	    "{\"tasks_path\":\"/r/t\",\"store_path\":\"/s/t.db\",\"new\":1,"
	    "\"log\":{\"level\":3,\"json\":true},\"socket_mode\":432,"
	    "\"socket_group\":-1,\"admins\":{\"uids\":[1,2],\"gids\":[3]},"
	    "\"viewers\":{\"uids\":[],\"gids\":[4]},\"pools\":["
	    "{\"name\":\"z\",\"threads\":4},"
	    "{\"name\":\"a\",\"exec\":true,\"threads\":1,\"timeout_ms\":1,"
	    "\"grace_ms\":2,\"sibling_grace_ms\":3,\"retries\":-1,"
	    "\"backoff\":{\"initial_ms\":5,\"max_ms\":6,\"factor\":1.5,"
	    "\"jitter\":0},\"max_queue\":7,\"result_ttl_ms\":8,"
	    "\"aging_ms\":9,\"max_crashes\":10,\"durability\":\"process\","
	    "\"key_concurrency\":11,\"key_rate\":0.5,\"recycle_tasks\":12,"
	    "\"recycle_jitter\":0.25,\"autoscale\":{\"min\":1,\"max\":3,"
	    "\"backlog\":4,\"min_spare\":5,\"max_spare\":6,"
	    "\"cooldown_ms\":7},\"instances\":2}],"
	    "\"schedules\":[{\"name\":\"s\",\"worker\":\"a\",\"func\":\"f\","
	    "\"args\":\"[1]\",\"cron\":\"0 3 * * *\",\"every_ms\":0,"
	    "\"timezone\":null,\"catch_up\":\"all\",\"overlap\":\"allow\","
	    "\"priority\":2,\"timeout_ms\":-1}]}";
	const struct pool_config *p;

	(void)state;
	assert_int_equal(parse(text), 0);
	assert_true(b.configured);
	assert_string_equal(b.store_path, "/s/t.db");
	assert_int_equal(b.socket_mode, 0660);
	assert_int_equal(b.socket_group, (gid_t)-1);
	assert_int_equal(b.access.admins.uids_count, 2);
	assert_int_equal(b.access.admins.uids[1], 2);
	assert_int_equal(b.access.viewers.gids[0], 4);
	assert_int_equal(b.pools_count, 2);
	assert_null(broker_pool(&b, "b"));
	assert_int_equal(broker_pool(&b, "z")->threads, 4);
	assert_int_equal(broker_pool(&b, "z")->durability, DURABLE_FULL);
	assert_false(broker_pool(&b, "z")->autoscale);
	p = broker_pool(&b, "a");
	assert_true(p->exec);
	assert_int_equal(p->retries, -1);
	assert_int_equal(p->backoff_max_ms, 6);
	assert_int_equal(p->durability, DURABLE_PROCESS);
	assert_true(p->key_rate > .49 && p->key_rate < .51);
	assert_int_equal(p->recycle_tasks, 12);
	assert_int_equal(p->scale_max, 3);
	assert_int_equal(p->max_spare, 6);
	assert_int_equal(b.schedules_config[0].catch_up, CATCH_UP_ALL);
	assert_int_equal(b.schedules_config[0].overlap, OVERLAP_ALLOW);
	assert_string_equal(b.schedules_config[0].args, "[1]");
	assert_null(b.schedules_config[0].timezone);
	config_done(&b);
}

static void
what_is_not_there_has_its_default(void **state)
{
	const struct pool_config *p;

	(void)state;
	assert_int_equal(parse("{" PATHS "\"pools\":[{\"name\":\"w\"}]}"), 0);
	p = broker_pool(&b, "w");
	assert_int_equal(p->threads, 1);
	assert_int_equal(p->grace_ms, 2000);
	assert_int_equal(p->max_crashes, 3);
	assert_int_equal(p->result_ttl_ms, 86400000);
	assert_int_equal(b.schedules_count, 0);
	config_done(&b);
}

static void
what_can_not_be_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "", "" },
		{ "[]", "no object" },
		{ "{\"store_path\":\"\"}", "tasks_path" },
		{ "{" PATHS "\"socket_mode\":\"x\"}", "socket_mode" },
		{ "{" PATHS "\"pools\":5}", "pools" },
		{ "{" PATHS "\"pools\":[5]}", "pools" },
		{ "{" PATHS "\"pools\":[{}]}", "pools.name" },
		{ "{" PATHS "\"pools\":[{\"name\":\"w\",\"shared\":true}]}",
		    "shared_url" },
		{ "{" PATHS "\"pools\":[{\"name\":\"w\",\"threads\":0}]}",
		    "pools.threads" },
		{ "{" PATHS "\"pools\":[{\"name\":\"w\",\"threads\":1025}]}",
		    "pools.threads" },
		{ "{" PATHS
		  "\"pools\":[{\"name\":\"w\",\"durability\":\"x\"}]}",
		    "pools.durability" },
		{ "{" PATHS "\"pools\":[{\"name\":\"w\",\"backoff\":"
		  "{\"factor\":0.5}}]}",
		    "pools.factor" },
		{ "{" PATHS "\"pools\":[{\"name\":\"w\",\"autoscale\":"
		  "{\"min\":5,\"max\":2}}]}",
		    "pools.autoscale" },
		{ "{" PATHS "\"admins\":{\"uids\":[-1]}}", "admins" },
		{ "{" PATHS "\"schedules\":[{\"name\":\"s\",\"worker\":\"w\","
		  "\"func\":\"f\"}]}",
		    "every_ms" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_int_equal(parse(rows[i].text), -EINVAL);
		assert_non_null(strstr(buf_text(&why), rows[i].words));
		assert_false(b.configured);
		assert_null(b.pools);
	}
}

static void
it_is_read_from_a_memfd_and_exchanged(void **state)
{
	static const char text[] = "{" PATHS "\"pools\":[{\"name\":\"w\"}]}";
	struct broker other = { 0 };
	int fd = memfd_create("test", 0);

	(void)state;
	assert_int_equal(write(fd, text, sizeof text), sizeof text);
	assert_int_equal(config_read(fd, &other, &why), 0);
	close(fd);
	memset(&b, 0, sizeof b);
	config_swap(&b, &other);
	assert_non_null(broker_pool(&b, "w"));
	assert_null(other.pools);
	assert_false(other.configured);
	config_done(&b);
	fd = memfd_create("test", 0);
	assert_int_equal(config_read(fd, &other, &why), -EINVAL);
	close(fd);
}

static int
forget(void **state)
{
	(void)state;
	buf_done(&why);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(what_is_not_there_has_its_default),
		cmocka_unit_test(what_can_not_be_is_refused_with_its_place),
		cmocka_unit_test(it_is_read_from_a_memfd_and_exchanged),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
