#include "supervisord/logger/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "supervisord/base/util.h"

static int copy[2] = { -1, -1 }, nowhere = -1;
static char *bytes;

int
peek_init(void)
{
	bytes = malloc(PEEK_MAX);
	if (bytes == NULL)
		return -ENOMEM;
	nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (nowhere < 0 || pipe2(copy, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	/* tee copies one for one: scattered bytes need as many slots. */
	(void)fcntl(copy[0], F_SETPIPE_SZ, 1 << 20);
	return 0;
}

ssize_t
peek(int pipe, size_t size, const char **ret)
{
	ssize_t n, got = 0, r;

	n = tee(
	    pipe, copy[1], MIN_OF(size, (size_t)PEEK_MAX), SPLICE_F_NONBLOCK);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	while (got < n) {
		r = read(copy[0], bytes + got, (size_t)(n - got));
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		got += r;
	}
	*ret = bytes;
	return got;
}

ssize_t
peek_drop(int pipe, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = splice(
		    pipe, NULL, nowhere, NULL, size - done, SPLICE_F_NONBLOCK);

		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}
