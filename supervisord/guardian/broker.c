#include "supervisord/guardian/broker.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/hybrid.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/proto/channel.h"

#define PATIENCE       (10 * NS_PER_SEC)
#define READ_AT_A_TIME 16 /* then exits get their turn */
#define DRAIN_AT_MOST  100000

static bool told; /* what was there when it started */

bool
broker_reads(void)
{
	return broker.wanted || broker.pid > 0;
}

/* Its socket, too, goes: a client is to be refused, not to wait for nobody. */
static void
is_over(void)
{
	hybrid_forget_ended(false);
	keep_drop_broker();
}

void
broker_want(bool wanted)
{
	if (broker.wanted == wanted)
		return;
	broker.wanted = wanted;
	loop_timer_off(TIMER_BROKER);
	if (wanted) {
		broker.delay = 0;
		helper_start(&broker); /* or at the end of the one before */
	} else if (broker.pid > 0) {
		helper_finish(&broker);
		loop_timer(TIMER_BROKER_PATIENCE, clock_mono() + PATIENCE);
	} else {
		is_over();
	}
}

void
broker_patience_over(void)
{
	if (broker.pid <= 0 || !broker.finishing)
		return;
	log_warn("the broker has not ended in time");
	kill(broker.pid, SIGKILL);
}

void
broker_prepare(void)
{
	told = false;
	keep_untold_broker();
	hybrid_untold();
}

int
broker_tell(int channel)
{
	int error = keep_tell_broker(channel);

	if (error == 0)
		error = hybrid_tell(channel);
	if (error == 0 && !told) {
		error =
		    channel_send(channel, MSG_BROKER_TOLD, NULL, NULL, 0, -1);
		told = error == 0;
	}
	return error == 0 ? helper_send_peer(&broker) : error;
}

void
broker_ended(const siginfo_t *info)
{
	(void)info;
	loop_timer_off(TIMER_BROKER_PATIENCE);
	if (broker.wanted)
		return;
	news_up(MSG_BROKER_UP, 0);
	is_over();
}

/* --- its requests -------------------------------------------------------- */

static bool
is_its_own(const char *name)
{
	const char prefix[] = KEEP_BROKER_PREFIX;

	return strncmp(name, prefix, sizeof prefix - 1) == 0;
}

static int
keep(const char *name, int fd)
{
	int error;

	if (!is_its_own(name)) {
		close(fd);
		return -EPROTO;
	}
	error = keep_set(name, fd);
	if (error == 0)
		keep_broker_knows(name);
	else
		log_error("cannot keep the descriptor \"%s\": %s", name,
		    strerrordesc_np(-error));
	return 0;
}

static int
request(const struct msg *m)
{
	switch (m->type) {
	case MSG_BROKER_KEEP:
		return keep(m->u.BROKER_KEEP.name, m->fd);
	case MSG_BROKER_DROP:
		if (!is_its_own(m->u.BROKER_DROP.name))
			return -EPROTO;
		keep_drop(m->u.BROKER_DROP.name);
		return 0;
	case MSG_CHANNEL_DONE:
		hybrid_done(m->u.CHANNEL_DONE.slot, m->u.CHANNEL_DONE.gen);
		return 0;
	default:
		break;
	}
	if (m->fd >= 0)
		close(m->fd);
	return -EPROTO;
}

/* 1: there may be more. 0: not now. -errno: never again. */
static int
read_one(void)
{
	static struct msg m;
	int got = channel_receive(broker.channel, &m);

	if (got == 1)
		return request(&m) == 0 ? 1 : -EPROTO;
	if (got == -EMFILE)
		log_error("no room for a descriptor of the broker");
	if (got == -EMFILE || got == -EAGAIN)
		return got == -EMFILE;
	return got == 0 ? -EPIPE : got;
}

void
broker_read(void)
{
	int got = 1;

	for (int i = 0; i < READ_AT_A_TIME && got > 0; i++)
		got = read_one();
	if (got == -EPROTO)
		helper_broken(&broker);
	else if (got < 0)
		helper_closed(&broker);
}

void
broker_drain(void)
{
	int got = broker.channel >= 0;

	for (int i = 0; i < DRAIN_AT_MOST && got > 0; i++)
		got = read_one();
}
