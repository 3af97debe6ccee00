#include "supervisord/ctl/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "supervisord/base/clock.h"

static volatile sig_atomic_t interrupted;
static int wake[2] = { -1, -1 };

static void
on_sigint(int signo)
{
	int saved = errno;

	(void)signo;
	interrupted = 1;
	/* A full pipe wakes as well. */
	if (write(wake[1], "", 1) < 0)
		errno = saved;
}

int
ctl_interrupt_catch(void)
{
	struct sigaction sa = { .sa_handler = on_sigint };

	if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	return sigaction(SIGINT, &sa, NULL) < 0 ? -errno : 0;
}

bool
ctl_interrupted(void)
{
	return interrupted;
}

void
ctl_interrupt_reset(void)
{
	char bytes[64];

	interrupted = 0;
	while (wake[0] >= 0 && read(wake[0], bytes, sizeof bytes) > 0)
		continue;
}

int
ctl_wait(int fd, short events, int timeout_ms)
{
	int64_t deadline = clock_mono() + timeout_ms * NS_PER_MS;
	struct pollfd p[2] = { { .fd = fd, .events = events },
		{ .fd = wake[0], .events = POLLIN } };

	for (;;) {
		int64_t left = deadline - clock_mono();
		int n = poll(p, 2,
		    timeout_ms < 0 ? -1
		    : left > 0     ? (int)((left + NS_PER_MS - 1) / NS_PER_MS)
				   : 0);

		if (interrupted)
			return -EINTR;
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}
