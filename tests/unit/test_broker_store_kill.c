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

/* A sanitized process takes long to fork. */
#ifdef TEST_BUILD
#define KILLS 4
#else
#define KILLS 12
#endif

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

	for (int round = 0; round < KILLS; round++) {
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
	print_message("%zu acknowledgements, %d kills\n", count, KILLS);
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
	if (m->size > 0)
		assert_int_equal(fwrite(m->data, 1, m->size, f), m->size);
	fclose(f);
}

enum leftover {
	LEFT_NOTHING,
	LEFT_ALL,
	LEFT_SOME,
	LEFT_TORN, /* all, of the last one the first half */
	LEFTOVERS
};

static void
apply_part(struct image *m, const struct disk_event *e, size_t at, size_t n,
    enum leftover left, unsigned *seed)
{
	struct disk_event part = *e;

	if (left == LEFT_SOME && rand_r(seed) % 2 == 0)
		return;
	if (left == LEFT_TORN && at == n)
		part.size /= 2;
	image_apply(m, &part);
}

/* The disk after a cut behind event n. */
static void
make_cut(struct rig *cut, const struct rig *r, size_t n, enum leftover left,
    unsigned *seed)
{
	char wal[PATH_MAX + 8];

	*cut = *r;
	snprintf(cut->file, sizeof cut->file, "%s/cut.db", r->dir);
	snprintf(wal, sizeof wal, "%s-wal", cut->file);
	for (int f = 0; f < 2; f++) {
		struct image m = { 0 };

		image_copy(&m, left == LEFT_ALL ? &written[f] : &flushed[f]);
		for (size_t i = first_unflushed[f];
		     (left == LEFT_SOME || left == LEFT_TORN) && i <= n; i++)
			if (disk.events[i].file == f)
				apply_part(
				    &m, &disk.events[i], i, n, left, seed);
		image_save(&m, f == 0 ? cut->file : wal);
		free(m.data);
	}
}

static void
unlink_cut(const struct rig *cut)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[PATH_MAX + 8];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s%s", cut->file, ends[i]);
		unlink(path);
	}
}

static bool
is_long(void)
{
	return getenv("SUPERVISORD_TEST_LONG") != NULL;
}

/* The event's file says whether it was the end that was acknowledged. */
static void
note_ack(const struct store_op *op, uint64_t id, int finished)
{
	/* What was relaxed is promised nothing. */
	if (!op->relaxed)
		disk_note(DISK_ACK, finished, (sqlite3_int64)id, NULL, 0);
}

static void
on_stored(struct store_op *op)
{
	assert_int_equal(op->error, QERR_NONE);
	note_ack(op, op->row->id, 0);
	rig_answered(op);
	store_op_free(op);
}

static void
on_end_stored(struct store_op *op)
{
	assert_int_equal(op->error, QERR_NONE);
	note_ack(op, op->change.id, 1);
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
		uint64_t id = op->row->id;

		rig_add(r, op);
		op->done = on_stored;
		op->relaxed = i % 4 == 3;
		if (i % 3 != 0)
			rig_wait(r);
		if (i % 3 != 1)
			continue;
		op = rig_finish_op(id, TASK_DONE, "[1]");
		rig_add(r, op);
		op->done = on_end_stored;
		op->relaxed = i % 8 == 4;
	}
	rig_wait(r);
	free(large);
}

static void
apply(size_t n)
{
	const struct disk_event *e = &disk.events[n];

	if (e->what == DISK_ACK)
		return;
	image_apply(&written[e->file], e);
	if (e->what != DISK_SYNC)
		return;
	image_copy(&flushed[e->file], &written[e->file]);
	first_unflushed[e->file] = n + 1;
}

/* At each flush and answer, and here and there between (in the long form at
 * each write); of large files fewer, which take longer to look through. */
static bool
is_looked_at(size_t n)
{
	const struct disk_event *e = &disk.events[n];
	bool near =
	    n + 1 < disk.count &&
	    (disk.events[n + 1].what != DISK_WRITE || e->what != DISK_WRITE);

	size_t size = written[0].size + written[1].size;

	if (is_long())
		return near || size < (1U << 20) || n % 11 == 0;
	if (size < (4U << 20))
		return near || n % 97 == 0;
	return near && (n % 7 == 0 || e->file == 0);
}

static void
play(struct rig *r)
{
	struct ack *acks = calloc(disk.count + 1, sizeof *acks);
	size_t acked = 0, checks = 0, home = 0, anew = 0;
	unsigned seed = 7;
	struct rig cut;

	for (size_t n = 0; n < disk.count; n++) {
		const struct disk_event *e = &disk.events[n];

		apply(n);
		home += e->what == DISK_WRITE && e->file == 0;
		anew += e->what == DISK_WRITE && e->file == 1 && e->at == 0;
		if (e->what == DISK_ACK)
			acks[acked++] =
			    (struct ack){ (uint64_t)e->at, (uint64_t)e->file };
		if (!is_looked_at(n))
			continue;
		make_cut(
		    &cut, r, n, (enum leftover)(checks++ % LEFTOVERS), &seed);
		check_acks(&cut, acks, acked);
		unlink_cut(&cut);
	}
	print_message("%zu writes and flushes, %zu acknowledged, %zu cuts\n",
	    disk.count, acked, checks);
	/* The log was brought home, and begun anew. */
	assert_true(home > 100);
	assert_true(anew > 1);
	free(acks);
}

static void
forget_images(void)
{
	disk_forget();
	for (int f = 0; f < 2; f++) {
		free(written[f].data);
		free(flushed[f].data);
		written[f] = flushed[f] = (struct image){ 0 };
		first_unflushed[f] = 0;
	}
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
	forget_images();
}

/* Each step of the schema is a transaction: the cut leaves an older version,
 * from which it goes on. */
static void
a_power_cut_while_it_is_made_leaves_one_that_can_be_used(void **state)
{
	struct rig *r = *state, cut;
	bool older = false;
	unsigned seed = 11;

	disk_install();
	disk.recording = true;
	rig_open(r);
	disk.recording = false;
	rig_close(r);
	for (size_t n = 0; n < disk.count; n++) {
		apply(n);
		for (int left = 0; left < LEFTOVERS; left++) {
			int64_t version;

			make_cut(&cut, r, n, (enum leftover)left, &seed);
			version = rig_number(&cut, "PRAGMA user_version");
			older = older || version == 1;
			rig_open(&cut);
			assert_true(cut.well);
			rig_submit(&cut, rig_row(&cut, "a", "[1]"));
			rig_close(&cut);
			rig_sound(&cut);
			assert_int_equal(
			    rig_number(&cut, "SELECT count(*) FROM tasks"), 1);
			unlink_cut(&cut);
		}
	}
	assert_true(older);
	assert_int_equal(rig_number(r, "SELECT count(*) FROM tasks"), 0);
	forget_images();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_acknowledged_is_lost_by_kill_9),
		TEST(nothing_acknowledged_is_lost_by_a_power_cut),
		TEST(a_power_cut_while_it_is_made_leaves_one_that_can_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
