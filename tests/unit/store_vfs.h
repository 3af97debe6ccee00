#ifndef TESTS_UNIT_STORE_VFS_H
#define TESTS_UNIT_STORE_VFS_H

/*
 * A disk between SQLite and the file system, for the tests of the broker's
 * store: it can fail a flush or a write, and it can write down every write and
 * flush of the database and its log, so that a test can tell what would be left
 * of them after a power cut at any moment.
 */

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum disk_what {
	DISK_WRITE,
	DISK_TRUNCATE,
	DISK_SYNC,
	DISK_ACK /* the test's own mark */
};

struct disk_event {
	enum disk_what what;
	int file; /* 0: the database, 1: its log */
	sqlite3_int64 at;
	int size;
	char *data;
};

static struct disk {
	pthread_mutex_t lock;
	sqlite3_vfs vfs, *real;
	bool recording;
	struct disk_event *events;
	size_t count, room;
	int fail_syncs, fail_writes; /* so many of the log's, from now on */
	int pass_syncs;              /* so many are well before that */
	int opens;                   /* of the database, by anybody */
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct disk_file {
	sqlite3_file base;
	int file; /* -1: none that is watched */
	sqlite3_file *real;
};

static inline void
disk_note(
    enum disk_what what, int file, sqlite3_int64 at, const void *data, int size)
{
	struct disk_event *e;

	pthread_mutex_lock(&disk.lock);
	if (disk.recording && file >= 0) {
		if (disk.count == disk.room) {
			disk.room = disk.room * 2 + 1024;
			disk.events = realloc(
			    disk.events, disk.room * sizeof *disk.events);
		}
		e = &disk.events[disk.count++];
		*e = (struct disk_event){ what, file, at, size, NULL };
		if (data != NULL) {
			e->data = malloc((size_t)size + 1);
			memcpy(e->data, data, (size_t)size);
		}
	}
	pthread_mutex_unlock(&disk.lock);
}

static inline bool
disk_fails(int *countdown)
{
	bool fails;

	pthread_mutex_lock(&disk.lock);
	fails = *countdown > 0;
	*countdown -= fails;
	pthread_mutex_unlock(&disk.lock);
	return fails;
}

static inline void
disk_set(int *countdown, int n)
{
	pthread_mutex_lock(&disk.lock);
	*countdown = n;
	pthread_mutex_unlock(&disk.lock);
}

static inline int
disk_opens(void)
{
	int n;

	pthread_mutex_lock(&disk.lock);
	n = disk.opens;
	pthread_mutex_unlock(&disk.lock);
	return n;
}

#define REAL(f)         (((struct disk_file *)(void *)(f))->real)
#define PASS(f, m, ...) REAL(f)->pMethods->m(REAL(f), __VA_ARGS__)

static int
disk_close(sqlite3_file *f)
{
	return REAL(f)->pMethods->xClose(REAL(f));
}

static int
disk_read(sqlite3_file *f, void *to, int size, sqlite3_int64 at)
{
	return PASS(f, xRead, to, size, at);
}

static int
disk_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 at)
{
	int file = ((struct disk_file *)(void *)f)->file, rc;

	if (file == 1 && disk_fails(&disk.fail_writes))
		return SQLITE_FULL;
	rc = PASS(f, xWrite, data, size, at);
	if (rc == SQLITE_OK)
		disk_note(DISK_WRITE, file, at, data, size);
	return rc;
}

static int
disk_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = PASS(f, xTruncate, size);

	if (rc == SQLITE_OK)
		disk_note(DISK_TRUNCATE, ((struct disk_file *)(void *)f)->file,
		    size, NULL, 0);
	return rc;
}

static int
disk_sync(sqlite3_file *f, int flags)
{
	int file = ((struct disk_file *)(void *)f)->file;

	if (file == 1 && !disk_fails(&disk.pass_syncs) &&
	    disk_fails(&disk.fail_syncs))
		return SQLITE_IOERR_FSYNC;
	/* A test's memory file system needs no flush. */
	(void)flags;
	disk_note(DISK_SYNC, file, 0, NULL, 0);
	return SQLITE_OK;
}

static int
disk_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return PASS(f, xFileSize, size);
}

static int
disk_lock(sqlite3_file *f, int level)
{
	return PASS(f, xLock, level);
}

static int
disk_unlock(sqlite3_file *f, int level)
{
	return PASS(f, xUnlock, level);
}

static int
disk_reserved(sqlite3_file *f, int *ret)
{
	return PASS(f, xCheckReservedLock, ret);
}

static int
disk_control(sqlite3_file *f, int op, void *arg)
{
	return PASS(f, xFileControl, op, arg);
}

static int
disk_sector(sqlite3_file *f)
{
	return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int
disk_traits(sqlite3_file *f)
{
	(void)f;
	return 0; /* promises nothing */
}

static int
disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	return PASS(f, xShmMap, page, size, extend, p);
}

static int
disk_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return PASS(f, xShmLock, at, n, flags);
}

static void
disk_shm_barrier(sqlite3_file *f)
{
	REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int
disk_shm_unmap(sqlite3_file *f, int drop)
{
	return PASS(f, xShmUnmap, drop);
}

static const sqlite3_io_methods disk_methods = { 2, disk_close, disk_read,
	disk_write, disk_truncate, disk_sync, disk_size, disk_lock, disk_unlock,
	disk_reserved, disk_control, disk_sector, disk_traits, disk_shm_map,
	disk_shm_lock, disk_shm_barrier, disk_shm_unmap, NULL, NULL };

static int
disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags,
    int *ret_flags)
{
	struct disk_file *d = (struct disk_file *)(void *)f;
	int rc;

	(void)vfs;
	d->real = (sqlite3_file *)(void *)(d + 1);
	d->file = (flags & SQLITE_OPEN_MAIN_DB) != 0 ? 0
		  : (flags & SQLITE_OPEN_WAL) != 0   ? 1
						     : -1;
	pthread_mutex_lock(&disk.lock);
	disk.opens += d->file == 0;
	pthread_mutex_unlock(&disk.lock);
	rc = disk.real->xOpen(disk.real, name, d->real, flags, ret_flags);
	d->base.pMethods = d->real->pMethods != NULL ? &disk_methods : NULL;
	return rc;
}

/* Becomes the default for every connection that is opened from now on. */
static inline void
disk_install(void)
{
	sqlite3_initialize();
	if (disk.real != NULL)
		return;
	disk.real = sqlite3_vfs_find(NULL);
	disk.vfs = *disk.real;
	disk.vfs.zName = "disk";
	disk.vfs.szOsFile =
	    (int)sizeof(struct disk_file) + disk.real->szOsFile + 16;
	disk.vfs.xOpen = disk_open;
	sqlite3_vfs_register(&disk.vfs, 1);
}

static inline void
disk_forget(void)
{
	for (size_t i = 0; i < disk.count; i++)
		free(disk.events[i].data);
	free(disk.events);
	disk.events = NULL;
	disk.count = disk.room = 0;
}

#endif
