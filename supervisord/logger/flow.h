#ifndef LOGGER_FLOW_H
#define LOGGER_FLOW_H

/*
 * Targets that are no regular file: the logger's own stderr, a fifo, a
 * terminal, /dev/log. They can't be asked how much they have got, so bytes
 * are looked at, written, and then taken from the pipe: a logger killed
 * between the last two repeats up to 64 KiB, and loses none. Whole lines are
 * written where there are any. What has no room is waited for, without
 * blocking; only syslog's datagrams are dropped (and counted).
 */

#include <stddef.h>
#include <sys/types.h>

struct pipe;
struct sink;

int flow_init(const char *dev_log); /* 0 or -errno */
int flow_poller(void); /* readable when a sink that waited has room */
void flow_wake(void);

int flow_open(struct sink *s); /* SINK_STDERR */
ssize_t flow_move(struct sink *s, struct pipe *p, size_t avail);
ssize_t syslog_move(struct sink *s, struct pipe *p, size_t avail);

#endif
