/*
 * What was acknowledged is there: after kill -9 of the process that writes, and
 * after a power cut, which is played by giving back the files as a disk may
 * leave them: all that was flushed, and of the rest nothing, everything or any
 * part of it.
 */

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/store_rig.h"
#include "tests/unit/store_vfs.h"

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	rig_make(r);
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	struct rig *r = *state;

	rig_done(r);
	free(r);
	return 0;
}

/* --- kill -9 -------------------------------------------------------------- */

struct ack {
	uint64_t id;
	uint64_t finished;
};

static int ack_fd;

static void
tell(uint64_t id, uint64_t finished)
{
	struct ack a = { id, finished };

	if (write(ack_fd, &a, sizeof a) != sizeof a)
		_exit(1);
}

static void
on_finished(struct store_op *op)
{
	if (op->error == QERR_NONE)
		tell(op->change.id, 1);
	store_op_free(op);
}

static void
on_submitted(struct store_op *op)
{
	struct rig *r = op->arg;
	struct store_op *finish;

	if (op->error != QERR_NONE)
		_exit(2);
	tell(op->row->id, 0);
	if (op->row->id % 2 == 0) {
		finish = rig_finish_op(op->row->id, TASK_DONE, "[1]");
		finish->done = on_finished;
		store_add(r->store, finish);
	}
	store_op_free(op);
}

static void
on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct rig *r = w->data;

	(void)loop;
	(void)revents;
	while (store_backlog(r->store) < 200) {
		struct store_op *op = rig_submit_op(rig_row(r, "a", "[1,2,3]"));

		op->arg = r;
		op->relaxed = op->row->id % 3 == 0;
		op->done = on_submitted;
		store_add(r->store, op);
	}
	store_flush(r->store);
}

static void
child(struct rig *r)
{
	ev_prepare turn;

	rig_open(r);
	ev_prepare_init(&turn, on_turn);
	turn.data = r;
	ev_prepare_start(r->loop, &turn);
	ev_run(r->loop, 0);
	_exit(3);
}

static void
check_acks(struct rig *r, const struct ack *acks, size_t count)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;

	rig_sound(r);
	assert_int_equal(sqlite3_open(r->file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
			     "SELECT t.state, r.data FROM task t LEFT JOIN "
			     "result r ON r.id = t.id WHERE t.id = ?1",
			     -1, &stmt, NULL),
	    SQLITE_OK);
	for (size_t i = 0; i < count; i++) {
		sqlite3_bind_int64(stmt, 1, (int64_t)acks[i].id);
		assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
		if (acks[i].finished) {
			assert_int_equal(
			    sqlite3_column_int(stmt, 0), TASK_DONE);
			assert_int_equal(sqlite3_column_bytes(stmt, 1), 3);
		}
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

static void
nothing_acknowledged_is_lost_by_kill_9(void **state)
{
	struct rig *r = *state;
	struct ack *acks = NULL, a;
	size_t count = 0;
	unsigned seed = 1;
	uint64_t highest = 0;

	for (int round = 0; round < 12; round++) {
		struct timespec until = { 0, 0 };
		size_t upto = count + 1 + rand_r(&seed) % 4000;
		int fds[2];
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			close(fds[0]);
			ack_fd = fds[1];
			child(r);
		}
		close(fds[1]);
		/* So many answers, and a moment after the last of them. */
		while (read(fds[0], &a, sizeof a) == sizeof a) {
			acks = realloc(acks, (count + 1) * sizeof *acks);
			acks[count++] = a;
			/* Ids that were given are never given again. */
			assert_true(a.finished || a.id > highest);
			highest = a.id > highest ? a.id : highest;
			if (count == upto) {
				until.tv_nsec = rand_r(&seed) % 3000000;
				nanosleep(&until, NULL);
				kill(pid, SIGKILL);
			}
		}
		close(fds[0]);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		check_acks(r, acks, count);
	}
	rig_open(r);
	assert_true(r->found.next_id > highest);
	print_message("%zu acknowledgements, 12 kills\n", count);
	free(acks);
}

/* --- power cut ------------------------------------------------------------ */

struct image {
	char *data;
	size_t size, room;
};

/* Of the database and of its log: as written, as flushed. */
static struct image written[2], flushed[2];
static size_t first_unflushed[2]; /* event */

static void
image_room(struct image *m, size_t size)
{
	if (size > m->room) {
		m->data = realloc(m->data, size * 2);
		assert_non_null(m->data);
		m->room = size * 2;
	}
	if (size > m->size) {
		memset(m->data + m->size, 0, size - m->size);
		m->size = size;
	}
}

static void
image_apply(struct image *m, const struct disk_event *e)
{
	if (e->what == DISK_WRITE) {
		image_room(m, (size_t)(e->at + e->size));
		memcpy(m->data + e->at, e->data, (size_t)e->size);
	} else if (e->what == DISK_TRUNCATE && (size_t)e->at < m->size) {
		m->size = (size_t)e->at;
	}
}

static void
image_copy(struct image *to, const struct image *from)
{
	to->size = 0;
	image_room(to, from->size);
	if (from->size > 0)
		memcpy(to->data, from->data, from->size);
}

static void
image_load(struct image *m, const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat sb;

	m->size = 0;
	if (f == NULL)
		return;
	assert_int_equal(fstat(fileno(f), &sb), 0);
	image_room(m, (size_t)sb.st_size);
	assert_int_equal(fread(m->data, 1, m->size, f), m->size);
	fclose(f);
}

static void
image_save(const struct image *m, const char *path)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(m->data, 1, m->size, f), m->size);
	fclose(f);
}

enum leftover {
	LEFT_NOTHING,
	LEFT_ALL,
	LEFT_SOME
};

/* The disk after a cut behind event n, and what must be on it. */
static void
check_cut(struct rig *r, size_t n, enum leftover left, const uint64_t *ids,
    size_t count, unsigned *seed)
{
	struct rig cut = *r;
	char wal[PATH_MAX + 8];
	struct ack *acks = calloc(count + 1, sizeof *acks);

	snprintf(cut.file, sizeof cut.file, "%s/cut.db", r->dir);
	snprintf(wal, sizeof wal, "%s-wal", cut.file);
	for (int f = 0; f < 2; f++) {
		struct image m = { 0 };

		image_copy(&m, left == LEFT_ALL ? &written[f] : &flushed[f]);
		for (size_t i = first_unflushed[f]; left == LEFT_SOME && i <= n;
		     i++)
			if (disk.events[i].file == f && rand_r(seed) % 2 == 0)
				image_apply(&m, &disk.events[i]);
		image_save(&m, f == 0 ? cut.file : wal);
		free(m.data);
	}
	for (size_t i = 0; i < count; i++)
		acks[i].id = ids[i];
	check_acks(&cut, acks, count);
	free(acks);
	unlink(cut.file);
	unlink(wal);
}

static void
on_stored(struct store_op *op)
{
	assert_int_equal(op->error, QERR_NONE);
	/* What was relaxed is promised nothing. */
	if (!op->relaxed)
		disk_note(DISK_ACK, 0, (sqlite3_int64)op->row->id, NULL, 0);
	rig_answered(op);
	store_op_free(op);
}

static void
work(struct rig *r)
{
	char *large = malloc(600001);

	assert_non_null(large);
	memset(large, '1', 600000);
	large[600000] = '\0';
	for (int i = 0; i < 120; i++) {
		/* Enough for the log to be brought home and begun anew. */
		struct store_op *op = rig_submit_op(
		    rig_row(r, "a", i > 20 && i < 80 ? large : "[1]"));

		rig_add(r, op);
		op->done = on_stored;
		op->relaxed = i % 4 == 3;
		if (i % 3 != 0)
			rig_wait(r);
	}
	rig_wait(r);
	free(large);
}

static void
play(struct rig *r)
{
	uint64_t *ids = calloc(disk.count + 1, sizeof *ids);
	size_t acked = 0, checks = 0;
	unsigned seed = 7;

	for (size_t n = 0; n < disk.count; n++) {
		const struct disk_event *e = &disk.events[n];
		bool near = n + 1 < disk.count &&
			    (disk.events[n + 1].what != DISK_WRITE ||
				e->what != DISK_WRITE);

		image_apply(&written[e->file], e);
		if (e->what == DISK_ACK) {
			ids[acked++] = (uint64_t)e->at;
		} else if (e->what == DISK_SYNC) {
			image_copy(&flushed[e->file], &written[e->file]);
			first_unflushed[e->file] = n + 1;
		}
		/* At each flush and answer, and here and there between; of
		 * large files fewer, which take longer to look through. */
		if (written[0].size + written[1].size < (4U << 20)
			? near || n % 97 == 0
			: near && (n % 7 == 0 || e->file == 0)) {
			check_cut(r, n, (enum leftover)(checks % 3), ids, acked,
			    &seed);
			checks++;
		}
	}
	print_message("%zu writes and flushes, %zu acknowledged, %zu cuts\n",
	    disk.count, acked, checks);
	free(ids);
}

static void
nothing_acknowledged_is_lost_by_a_power_cut(void **state)
{
	struct rig *r = *state;
	char wal[PATH_MAX + 8];

	disk_install();
	rig_open(r);
	snprintf(wal, sizeof wal, "%s-wal", r->file);
	image_load(&written[0], r->file);
	image_load(&written[1], wal);
	for (int f = 0; f < 2; f++)
		image_copy(&flushed[f], &written[f]);
	disk.recording = true;
	work(r);
	disk.recording = false;
	rig_close(r);
	play(r);
	disk_forget();
	for (int f = 0; f < 2; f++) {
		free(written[f].data);
		free(flushed[f].data);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_acknowledged_is_lost_by_kill_9),
		TEST(nothing_acknowledged_is_lost_by_a_power_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
