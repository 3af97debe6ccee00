#include "supervisord/logger/rotate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAST 100000 /* no more are looked for */

char *
rotate_name(char *out, const char *path, unsigned index, bool packed)
{
	snprintf(out, ROTATE_PATH, "%s.%u%s", path, index, packed ? ".gz" : "");
	return out;
}

static bool
exists(const char *path, unsigned index, bool packed)
{
	char name[ROTATE_PATH];
	struct stat st;

	return lstat(rotate_name(name, path, index, packed), &st) == 0;
}

static bool
taken(const char *path, unsigned index)
{
	return exists(path, index, false) || exists(path, index, true);
}

static void
remove_index(const char *path, unsigned index)
{
	char name[ROTATE_PATH];

	(void)unlink(rotate_name(name, path, index, false));
	(void)unlink(rotate_name(name, path, index, true));
}

static int
move_up(const char *path, unsigned index)
{
	char from[ROTATE_PATH], to[ROTATE_PATH];

	for (int packed = 0; packed < 2; packed++) {
		rotate_name(from, path, index, packed);
		rotate_name(to, path, index + 1, packed);
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int
rotate_shift(const char *path, unsigned keep, unsigned *index)
{
	char first[ROTATE_PATH];
	unsigned free_at = 1;
	int r;

	while (free_at < keep && taken(path, free_at))
		free_at++;
	/* Either a gap, or the oldest one that has to go, and with it those
	 * that a larger keep has left. */
	for (unsigned i = keep; i < LAST && taken(path, i); i++) {
		if (i > keep || i == free_at)
			remove_index(path, i);
	}
	if (*index >= keep || *index == free_at)
		*index = 0;
	for (unsigned i = free_at; i > 1; i--) {
		r = move_up(path, i - 1);
		if (r < 0)
			return r;
		if (*index == i - 1)
			*index = i;
	}
	if (rename(path, rotate_name(first, path, 1, false)) < 0)
		return -errno;
	return 0;
}

int
rotate_make_folder(const char *path)
{
	char folder[ROTATE_PATH];
	size_t n = strlen(path);

	if (n >= sizeof folder)
		return -ENAMETOOLONG;
	memcpy(folder, path, n + 1);
	for (char *p = folder + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}
