#ifndef TESTS_CONFIG_HELPER_H
#define TESTS_CONFIG_HELPER_H

/* Configs from text, without a disk: the file /c/supervisord.cfg in a snapshot
 * that holds nothing else but what the test adds. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/diff.h"
#include "config/fleet.h"
#include "config/load.h"

#define TOP "/c/supervisord.cfg"

enum {
	FILE_RECORD = 1,
	GLOB_RECORD = 2,
	NUMBER_RECORD = 3
};

static char helper_home[] = "HOME=/home/me", helper_path[] = "PATH=/bin",
	    helper_empty[] = "EMPTY=", helper_index[] = "SUPERVISOR_INDEX=9",
	    helper_hole[] = "HOLE=a\x01", helper_home2[] = "HOME=/second";
static char *helper_environ[] = { helper_path, helper_home, helper_empty,
	helper_index, helper_hole, helper_home2, NULL };

static inline void
add_record(struct buf *b, uint32_t kind, int32_t result, const char *name,
    const void *data, size_t size)
{
	struct {
		uint32_t kind;
		int32_t result;
		uint64_t name_size, data_size;
	} head = { kind, result, strlen(name), size };

	if (b->size == 0)
		buf_str(b, "svdcfg01");
	buf_add(b, &head, sizeof head);
	buf_str(b, name);
	buf_add(b, data, size);
}

static inline void
add_file(struct buf *b, const char *path, const char *text)
{
	add_record(b, FILE_RECORD, 0, path, text, strlen(text));
}

/* Loads from what was added; errors end in *errors. */
static inline int
load_from(struct buf *files, bool pid1, struct fleet **ret, struct buf *errors)
{
	int64_t cores = 6, zone = 0;
	struct load load = {
		.path = TOP, .pid1 = pid1, .environ = helper_environ
	};

	add_record(files, NUMBER_RECORD, 0, "cores", &cores, sizeof cores);
	add_record(
	    files, NUMBER_RECORD, 0, "zone:Europe/Berlin", &zone, sizeof zone);
	load.from = files->data;
	load.from_size = files->size;
	return load_fleet(&load, ret, NULL, errors);
}

/* The fleet of a text that must be right. */
static inline struct fleet *
fleet_of(const char *text)
{
	struct fleet *fleet = NULL;
	struct buf files, errors;
	int err;

	buf_init(&files);
	buf_init(&errors);
	add_file(&files, TOP, text);
	err = load_from(&files, false, &fleet, &errors);
	if (err != 0)
		fail_msg("%s\n%s", text, buf_text(&errors));
	assert_int_equal(errors.size, 0);
	buf_done(&files);
	buf_done(&errors);
	return fleet;
}

/* "F" back from the path. */
static inline void
shorten(struct buf *b)
{
	char *p;

	while (b->size > 0 && (p = strstr(b->data, TOP)) != NULL) {
		*p = 'F';
		memmove(
		    p + 1, p + sizeof TOP - 1, strlen(p + sizeof TOP - 1) + 1);
		b->size = strlen(b->data);
	}
}

/* What is said of a text that must be wrong; F stands for its path. */
static inline void
expect_errors(const char *text, const char *errors)
{
	struct fleet *fleet = NULL;
	struct buf files, found;

	buf_init(&files);
	buf_init(&found);
	add_file(&files, TOP, text);
	assert_int_equal(load_from(&files, false, &fleet, &found), -EINVAL);
	shorten(&found);
	assert_string_equal(buf_text(&found), errors);
	assert_null(fleet);
	buf_done(&files);
	buf_done(&found);
}

/* `body` within one worker, web, that has a command. */
static inline struct fleet *
fleet_with(const char *body)
{
	struct fleet *fleet;
	struct buf text;

	buf_init(&text);
	buf_fmt(&text, "workers: { web: { command = \"x\"; %s }; };", body);
	fleet = fleet_of(buf_text(&text));
	buf_done(&text);
	return fleet;
}

#endif
