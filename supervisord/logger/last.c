#include "supervisord/logger/last.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "supervisord/base/util.h"
#include "supervisord/logger/rotate.h"

static int
open_log(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void
last_mark(const char *path, struct last_mark *ret)
{
	struct stat st;
	int fd = open_log(path, &st);

	*ret = (struct last_mark){ 0 };
	if (fd < 0)
		return;
	*ret = (struct last_mark){ st.st_dev, st.st_ino, st.st_size };
	close(fd);
}

/* The last bytes, at most room, of a regular file, to before end; *found:
 * they begin at the mark, and nothing older is meant. */
static size_t
read_end(const char *path, const struct last_mark *since, char *end,
    size_t room, bool *found)
{
	struct stat st;
	int fd = open_log(path, &st);
	ssize_t n = 0;

	if (fd < 0)
		return 0;
	*found = since->ino != 0 && st.st_ino == since->ino &&
		 st.st_dev == since->dev && st.st_size >= since->size;
	if (*found)
		room = (size_t)MIN_OF(st.st_size - since->size, (off_t)room);
	if (room > 0) {
		size_t want = (size_t)MIN_OF(st.st_size, (off_t)room);

		n = pread(fd, end - want, want, st.st_size - (off_t)want);
		if (n < (ssize_t)want)
			n = 0; /* truncated meanwhile */
	}
	close(fd);
	return n > 0 ? (size_t)n : 0;
}

/* How many of the last bytes are the last lines. */
static size_t
cut(const char *text, size_t size, uint32_t lines, uint32_t *ret_lines)
{
	size_t at = size;

	*ret_lines = 0;
	while (at > 0 && (lines == 0 || *ret_lines < lines)) {
		/* From the line's end, its newline not counted. */
		const char *nl = memrchr(text, '\n', at - 1);

		(*ret_lines)++;
		at = nl != NULL ? (size_t)(nl - text) + 1 : 0;
	}
	return size - at;
}

size_t
last_lines(const char *path, uint32_t lines, const struct last_mark *since,
    char *out, uint32_t *ret_lines)
{
	char rotated[ROTATE_PATH], *end = out + LAST_MAX;
	bool found = false;
	size_t size = read_end(path, since, end, LAST_MAX, &found), keep;

	cut(end - size, size, lines, ret_lines);
	if (!found && size < LAST_MAX && (lines == 0 || *ret_lines < lines))
		size += read_end(rotate_name(rotated, path, 1, false), since,
		    end - size, LAST_MAX - size, &found);
	keep = cut(end - size, size, lines, ret_lines);
	memmove(out, end - keep, keep);
	return keep;
}
