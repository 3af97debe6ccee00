#include "supervisord/guardian/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"

static struct {
	int epoll;
	int timer;
	int64_t at[TIMER_COUNT]; /* 0: off */
	int64_t armed;           /* what the timerfd is set to; 0: nothing */
} loop = { .epoll = -1, .timer = -1 };

int
loop_move_up(int fd)
{
	int up, error;

	if (fd < 0 || fd >= LOOP_LOW_FDS)
		return fd;
	up = fcntl(fd, F_DUPFD_CLOEXEC, LOOP_LOW_FDS);
	error = errno;
	close(fd);
	return up >= 0 ? up : -error;
}

int
loop_init(void)
{
	if (loop.epoll >= 0)
		return 0;
	loop.epoll = loop_move_up(epoll_create1(EPOLL_CLOEXEC));
	loop.timer = loop_move_up(
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	if (loop.epoll < 0 || loop.timer < 0)
		return -EMFILE;
	return loop_watch(loop.timer, WATCH_TIMER, 0, EPOLLIN);
}

int
loop_watch(int fd, enum watch watch, uint32_t slot, uint32_t events)
{
	struct epoll_event e = { .events = events,
		.data.u64 = (uint64_t)watch << 32 | slot };

	if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &e) == 0)
		return 0;
	if (errno == EEXIST &&
	    epoll_ctl(loop.epoll, EPOLL_CTL_MOD, fd, &e) == 0)
		return 0;
	return -errno;
}

void
loop_unwatch(int fd)
{
	(void)epoll_ctl(loop.epoll, EPOLL_CTL_DEL, fd, NULL);
}

static void
arm(void)
{
	struct itimerspec spec = { .it_value = { 0, 0 } };
	int64_t first = 0;

	for (int i = 0; i < TIMER_COUNT; i++) {
		if (loop.at[i] != 0 && (first == 0 || loop.at[i] < first))
			first = loop.at[i];
	}
	if (first == loop.armed)
		return;
	loop.armed = first;
	spec.it_value.tv_sec = first / NS_PER_SEC;
	spec.it_value.tv_nsec = first % NS_PER_SEC;
	if (timerfd_settime(loop.timer, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		log_error("cannot set a timer: %m");
}

void
loop_timer(enum timer timer, int64_t at)
{
	if (loop.at[timer] == 0 || at < loop.at[timer])
		loop.at[timer] = at;
}

void
loop_timer_off(enum timer timer)
{
	loop.at[timer] = 0;
}

int
loop_timer_due(enum timer timer, int64_t now)
{
	if (loop.at[timer] == 0 || now < loop.at[timer])
		return 0;
	loop.at[timer] = 0;
	return 1;
}

static void
timer_fired(void)
{
	uint64_t times;

	loop.armed = 0;
	(void)!read(loop.timer, &times, sizeof times);
}

int
loop_wait(struct loop_event *ret, int max)
{
	struct epoll_event got[32];
	int n, out = 0;

	arm();
	n = epoll_wait(loop.epoll, got, 32, -1);
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < n && out < max; i++) {
			enum watch watch = (enum watch)(got[i].data.u64 >> 32);

			if ((watch == WATCH_SIGNALS) != (pass == 0))
				continue;
			if (watch == WATCH_TIMER) {
				timer_fired();
				continue;
			}
			ret[out].watch = watch;
			ret[out].slot = (uint32_t)got[i].data.u64;
			ret[out].events = got[i].events;
			out++;
		}
	}
	return out;
}
