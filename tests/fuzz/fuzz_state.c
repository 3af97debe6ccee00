/*
 * Any bytes as state.db: it is opened, read, written, asked and closed, twice,
 * as at two starts. However damaged it is, the store opens (in memory, if need
 * be), takes rows, and answers with a whole JSON array or an error.
 */

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state/answer.h"
#include "state/keeper.h"
#include "state/saved.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
write_file(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert(fd >= 0);
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		assert(n > 0);
		data += n;
		size -= (size_t)n;
	}
	close(fd);
}

#define TEXT(s)                                                                \
	{                                                                      \
		.type = VALUE_TEXT, .as.text = (s)                             \
	}
#define INT(i)                                                                 \
	{                                                                      \
		.type = VALUE_INT, .as.n = (i)                                 \
	}
#define NIL                                                                    \
	{                                                                      \
		.type = VALUE_NULL                                             \
	}

static void
put(struct queue *q, enum row_kind kind, const struct value *v, size_t count)
{
	struct row *row = row_new(kind, v, count);

	assert(row != NULL);
	queue_add(q, row, 1000);
}

static void
put_all(struct keeper *k)
{
	const struct value instance[] = { TEXT("web:0"), TEXT("web"), INT(0),
		INT(1), INT(0), TEXT("RUNNING"), INT(5), INT(6), TEXT("boot"),
		INT(7), INT(8), NIL, INT(9) };
	const struct value event[] = { INT(1), INT(INT64_MAX), TEXT("fuzz:0"),
		TEXT("state"), NIL, NIL, NIL, NIL, NIL, NIL };
	const struct value exit[] = { NIL, TEXT("fuzz:0"), INT(3), NIL,
		INT(INT64_MAX), INT(1), INT(0), NIL, INT(0), TEXT("exited 0"),
		INT(0), INT(0), INT(0), NIL };
	const struct value lines[] = { TEXT("fuzz:0"), INT(3), TEXT("bye") };
	struct queue batch, *q = &batch;

	queue_init(q);
	put(q, ROW_INSTANCE, instance, 13);
	put(q, ROW_EVENT, event, 10);
	put(q, ROW_EXIT, exit, 14);
	put(q, ROW_LAST_LINES, lines, 3);
	keeper_write(k, q);
	keeper_tidy(k);
	queue_free_rows(q);
}

static void
ask(struct keeper *k, const char *what, char *name)
{
	char *names[] = { name, NULL };
	struct state_question sq = {
		.what = what,
		.names = name != NULL ? names : NULL,
	};
	struct question *q;
	struct buf json;
	int r;

	buf_init(&json);
	assert(question_new(&sq, &q) == 0);
	r = keeper_answer(k, q, &json);
	assert(r <= 0);
	assert(r < 0 || json.data[json.size - 1] == ']');
	question_free(q);
	buf_done(&json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char dir[64], file[80], name[] = "fuzz:0";
	struct state_options options = { .dir = dir, .keep_events = 50 };

	snprintf(dir, sizeof dir, "%s/fuzz-state.XXXXXX", base);
	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(file, sizeof file, "%s/state.db", dir);
	write_file(file, data, size);
	for (int i = 0; i < 2; i++) {
		struct saved saved = { 0 };
		struct health health;
		struct keeper k;

		assert(keeper_open(&k, &options, &saved) == 0);
		saved_instance(&saved, "web:0");
		saved_fact(&saved, "scale.web");
		put_all(&k);
		ask(&k, "events", NULL);
		ask(&k, "history", NULL);
		ask(&k, "history", name);
		put_all(&k);
		keeper_health(&k, &health);
		saved_free(&saved);
		keeper_close(&k);
	}
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
