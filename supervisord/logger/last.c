#include "supervisord/logger/last.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "supervisord/base/util.h"
#include "supervisord/logger/rotate.h"

/* The last bytes, at most room, of a regular file, to the end of out. */
static size_t
read_end(const char *path, char *out, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		size_t want = (size_t)MIN_OF(st.st_size, (off_t)room);

		n = pread(
		    fd, out + room - want, want, st.st_size - (off_t)want);
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
last_lines(const char *path, uint32_t lines, char *out, uint32_t *ret_lines)
{
	char rotated[ROTATE_PATH];
	size_t size = read_end(path, out, LAST_MAX), keep;

	cut(out + LAST_MAX - size, size, lines, ret_lines);
	if (size < LAST_MAX && (lines == 0 || *ret_lines < lines))
		size += read_end(
		    rotate_name(rotated, path, 1, false), out, LAST_MAX - size);
	keep = cut(out + LAST_MAX - size, size, lines, ret_lines);
	memmove(out, out + LAST_MAX - keep, keep);
	return keep;
}
