#include "supervisord/broker/link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/broker/hands.h"
#include "supervisord/broker/start.h"

/* --- the master ----------------------------------------------------------- */

static void
got_words(struct broker *b, const struct msg *msg)
{
	char words[8192 + 1];

	memcpy(words, msg->tail, msg->tail_size);
	words[msg->tail_size] = '\0';
	hands_words(b, msg->u.EXIT_TOLD.slot, msg->u.EXIT_TOLD.gen, words);
}

static void
from_master(void *arg, struct msg *msg)
{
	struct broker *b = arg;

	if (msg->type == MSG_STOPPING)
		hands_stopping(b, &msg->u.STOPPING);
	else if (msg->type == MSG_EXIT_TOLD)
		got_words(b, msg);
	else
		log_error("unexpected %s from the master", msg_name(msg->type));
	if (msg->fd >= 0)
		close(msg->fd);
}

static void
master_gone(void *arg, const char *why)
{
	(void)arg;
	log_debug("the master is gone (%s)", why);
}

void
link_read_master(struct broker *b)
{
	struct msg msg;

	/* Its end is noticed by the loop. */
	while (b->master.fd >= 0 && channel_receive(b->master.fd, &msg) == 1)
		from_master(b, &msg);
}

static void
got_master(struct broker *b, int fd)
{
	peer_connect(&b->master, fd);
	if (!b->running)
		return; /* broker_run says it */
	broker_master_up(b);
	hands_master_up(b);
}

/* --- the guardian --------------------------------------------------------- */

static void
keep_fd(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fd;
}

static void
got_fd(struct broker *b, const char *name, int fd)
{
	if (strcmp(name, "broker/config") == 0) {
		start_configure(b, fd);
		close(fd);
	} else if (strcmp(name, "broker/listen") == 0 && !b->told) {
		keep_fd(&b->listen_fd, fd);
	} else if (strcmp(name, "broker/flights") == 0 && !b->told) {
		keep_fd(&b->flights_fd, fd);
	} else {
		log_debug("%s is nothing for the broker", name);
		close(fd);
	}
}

void
link_guardian(struct broker *b, struct msg *msg)
{
	int fd = msg->fd;

	msg->fd = -1;
	switch (msg->type) {
	case MSG_BROKER_FD:
		got_fd(b, msg->u.BROKER_FD.name, fd);
		return;
	case MSG_CHANNEL:
		hands_channel(b, &msg->u.CHANNEL, fd);
		return;
	case MSG_CHANNEL_SLOTS:
		hands_slots(
		    b, msg->u.CHANNEL_SLOTS.slot, msg->u.CHANNEL_SLOTS.gen, fd);
		return;
	case MSG_CHANNEL_EXIT:
		hands_exit(b, &msg->u.CHANNEL_EXIT);
		break;
	case MSG_BROKER_TOLD:
		b->told = true;
		break;
	case MSG_PEER:
		got_master(b, fd);
		return;
	case MSG_FINISH:
		b->finishing = true;
		ev_break(b->loop, EVBREAK_ALL);
		break;
	default:
		log_error(
		    "unexpected %s from the guardian", msg_name(msg->type));
	}
	if (fd >= 0)
		close(fd);
}

static void
from_guardian(void *arg, struct msg *msg)
{
	link_guardian(arg, msg);
}

static void
guardian_gone(void *arg, const char *why)
{
	struct broker *b = arg;

	log_error("the guardian is gone (%s): the broker ends", why);
	b->gone = true;
	ev_break(b->loop, EVBREAK_ALL);
}

int
link_init(struct broker *b, int fd)
{
	int r = channel_setup(fd);

	if (r < 0)
		return r;
	peer_init(&b->guardian, b->loop, from_guardian, guardian_gone, b);
	peer_init(&b->master, b->loop, from_master, master_gone, b);
	b->guardian.reads = true;
	peer_connect(&b->guardian, fd);
	return 0;
}
