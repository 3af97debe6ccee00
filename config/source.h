#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

/*
 * Where a load reads from. Everything that a load learns from outside goes
 * through here and is kept as a record: the files, what globs matched, the
 * numbers of groups and cores. The records are the snapshot; a load from a
 * snapshot sees nothing else.
 *
 * A snapshot is a head and records, native byte order, unaligned:
 *
 *     char magic[8]
 *     { uint32_t kind; int32_t result; uint64_t name_size, data_size;
 *       char name[], data[] } ...
 */

#include <stddef.h>
#include <stdint.h>

#include "config/arena.h"

struct buf;

enum record_kind {
	RECORD_FILE = 1,  /* path to text */
	RECORD_GLOB = 2,  /* pattern to paths, sorted, each with a NUL behind */
	RECORD_NUMBER = 3 /* "cores", "group:adm", "zone:UTC" to an int64_t */
};

struct record {
	struct record *next;
	enum record_kind kind;
	int result; /* 0 or -errno */
	const char *name;
	size_t name_size, size;
	const char *data; /* a NUL behind it */
};

struct source {
	struct arena arena;
	struct map maps[RECORD_NUMBER + 1]; /* by kind, of names */
	struct record *first, **last;
	const void *from; /* NULL: the disk */
};

/* 0, -EINVAL (not a snapshot) or -ENOMEM. from is borrowed only here. */
int source_init(struct source *s, const void *from, size_t size);
void source_done(struct source *s);

/*
 * 0 or -errno: -EISDIR a folder, -ENOTSUP another thing that is no regular
 * file, -EFBIG too large a one. The data are the source's.
 */
int source_file(struct source *s, const char *path, const struct record **ret);
/* No match is success with no data. */
int source_glob(
    struct source *s, const char *pattern, const struct record **ret);
/* "cores": those we may run on. "group:NAME": its gid, or -ENOENT. "zone:NAME":
 * 0, or as zone_load has it. */
int source_number(struct source *s, const char *what, int64_t *ret);

/* Writes the snapshot of all that was read. */
void source_write(const struct source *s, struct buf *out);

/* What a result of source_file means, in words. */
const char *source_words(int result);

#endif
