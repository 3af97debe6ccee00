#include "supervisord/master/probe.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"
#include "supervisord/master/exits.h"
#include "supervisord/master/master.h"
#include "supervisord/proto/stages.h"

#define COOKIES 0x80000000U /* no instance has one of these */
#define SUFFIX  ":autoscale"
#define TEXT    1024 /* of what it writes, more is of no interest */

struct probe {
	struct probe *next;
	struct master *m;
	struct probe_order order;
	uint32_t cookie;
	uint32_t slot, gen; /* once it is launched */
	bool launched, late;
	int out, err; /* our ends */
	ev_timer timer;
	char name[PROTO_NAME];
};

bool
probe_is_cookie(uint32_t cookie)
{
	return (cookie & COOKIES) != 0;
}

bool
probe_is_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon != NULL && strcmp(colon, SUFFIX) == 0;
}

/* --- signals -------------------------------------------------------------- */

static void
kill_it(struct master *m, uint32_t slot, uint32_t gen)
{
	struct msg_kill msg = { slot, gen, SIGKILL, KILL_GROUP };
	struct msg_tree tree = { slot, gen, SIGKILL, 0 };

	peer_send(&m->guardian, MSG_KILL, &msg, NULL, 0, -1);
	peer_send(&m->guardian, MSG_TREE, &tree, NULL, 0, -1);
}

static void
acknowledge(struct master *m, const struct msg_child *msg)
{
	struct msg_slot slot = { msg->slot, msg->gen };

	peer_send(&m->guardian, MSG_ACK, &slot, NULL, 0, -1);
}

static void
too_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct probe *p = CONTAINER_OF(timer, struct probe, timer);

	(void)loop;
	(void)events;
	p->late = true;
	if (p->launched)
		kill_it(p->m, p->slot, p->gen);
}

/* --- its output ----------------------------------------------------------- */

/*
 * The write end is the guardian's for as long as it takes to launch the
 * process; then the process alone has it. *ret_fd: the read end.
 */
static int
open_pipe(struct probe *p, const char *kind, int *ret_fd)
{
	struct msg_name name = { "" };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	snprintf(name.name, sizeof name.name, "%s/%.*s", kind, PROTO_NAME - 5,
	    p->name);
	peer_send(&p->m->guardian, MSG_KEEP, &name, NULL, 0, fds[1]);
	close(fds[1]);
	*ret_fd = fds[0];
	return 0;
}

static void
drop_pipe(struct probe *p, const char *kind)
{
	struct msg_name name = { "" };

	snprintf(name.name, sizeof name.name, "%s/%.*s", kind, PROTO_NAME - 5,
	    p->name);
	peer_send(&p->m->guardian, MSG_DROP, &name, NULL, 0, -1);
}

static void
read_begin(int fd, char text[TEXT])
{
	ssize_t n = read(fd, text, TEXT - 1);

	text[MAX_OF(n, 0)] = '\0';
}

/* --- begin and end -------------------------------------------------------- */

static void
launch(struct probe *p)
{
	struct msg_launch msg = {
		.cookie = p->cookie,
		.book = p->m->book,
		.spec = p->order.spec,
		.out = LAUNCH_OUT_KEPT,
		.err = LAUNCH_OUT_KEPT,
	};

	memcpy(msg.name, p->name, sizeof msg.name);
	peer_send(&p->m->guardian, MSG_LAUNCH, &msg, NULL, 0, -1);
	drop_pipe(p, "out");
	drop_pipe(p, "err");
}

struct probe *
probe_start(struct master *m, const struct probe_order *order)
{
	struct probe *p = calloc(1, sizeof *p);
	int error = -ENOMEM;

	if (p == NULL)
		goto failed;
	p->m = m;
	p->order = *order;
	p->out = p->err = -1;
	snprintf(p->name, sizeof p->name, "%.*s%s", WORKER_NAME_MAX,
	    order->worker, SUFFIX);
	error = open_pipe(p, "out", &p->out);
	if (error == 0)
		error = open_pipe(p, "err", &p->err);
	if (error < 0)
		goto failed;
	p->cookie = COOKIES | ++m->probes_run;
	p->next = m->probes;
	m->probes = p;
	launch(p);
	ev_now_update(m->loop);
	ev_timer_init(&p->timer, too_late,
	    (double)order->timeout / (double)NS_PER_SEC, 0.);
	ev_timer_start(m->loop, &p->timer);
	return p;
failed:
	log_error(
	    "%s%s can't be run: %s", order->worker, SUFFIX, strerror(-error));
	if (p != NULL && p->out >= 0) {
		drop_pipe(p, "out");
		close(p->out);
	}
	free(p);
	return NULL;
}

static void
end(struct probe *p, const char *failure)
{
	struct probe_end e = { .failure = failure };
	struct probe **at = &p->m->probes;
	char text[TEXT];

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	ev_timer_stop(p->m->loop, &p->timer);
	read_begin(p->out, text);
	e.text = text;
	close(p->out);
	close(p->err);
	if (p->order.done != NULL)
		p->order.done(p->order.arg, &e);
	free(p);
}

void
probe_abandon(struct probe *p)
{
	p->order.done = NULL;
	p->late = true;
	if (p->launched)
		kill_it(p->m, p->slot, p->gen);
}

/* --- the guardian's news -------------------------------------------------- */

static struct probe *
by_cookie(struct master *m, uint32_t cookie)
{
	struct probe *p = m->probes;

	while (p != NULL && p->cookie != cookie)
		p = p->next;
	return p;
}

void
probe_launched(struct master *m, const struct msg_launched *msg)
{
	struct probe *p = by_cookie(m, msg->cookie);

	if (p != NULL) {
		p->launched = true;
		p->slot = msg->slot;
		p->gen = msg->gen;
	}
	if (p == NULL || p->late)
		kill_it(m, msg->slot, msg->gen);
}

void
probe_not_launched(struct master *m, const struct msg_failed *msg)
{
	struct probe *p = by_cookie(m, msg->cookie);
	char words[256];

	if (p == NULL)
		return;
	snprintf(words, sizeof words, "could not %s: %s",
	    stage_words(msg->stage), strerror(msg->error));
	end(p, words);
}

/* NULL: it went well. */
static const char *
judge(
    const struct probe *p, const struct msg_child *msg, char *out, size_t size)
{
	struct exit_info e;
	char text[TEXT], units[UNITS_TEXT];
	size_t n;

	exit_from_child(msg, &e);
	if (p->late) {
		units_format_duration(p->order.timeout, units, sizeof units);
		snprintf(out, size, "did not end within %s", units);
		return out;
	}
	if (e.stage == STAGE_EXEC) {
		snprintf(out, size, "can't be run: %s", strerror(e.error));
		return out;
	}
	if (e.stage != 0) {
		snprintf(out, size, "could not %s: %s", stage_words(e.stage),
		    strerror(e.error));
		return out;
	}
	if (e.code == 0)
		return NULL;
	if (e.signo != 0)
		snprintf(out, size, "killed by %s",
		    units_signal_name(e.signo, units, sizeof units));
	else
		snprintf(out, size, "exited %d", e.code);
	read_begin(p->err, text);
	n = strlen(out);
	text[strcspn(text, "\n")] = '\0';
	if (text[0] != '\0')
		snprintf(out + n, size - n, ": %.400s", text);
	return out;
}

void
probe_exited(struct master *m, const struct msg_child *msg)
{
	struct probe *p = m->probes;
	char words[512];

	while (p != NULL &&
	       (!p->launched || p->slot != msg->slot || p->gen != msg->gen))
		p = p->next;
	if (p == NULL || p->late) {
		struct msg_tree tree = { msg->slot, msg->gen, SIGKILL, 0 };

		/* What it has started since it was killed. */
		peer_send(&m->guardian, MSG_TREE, &tree, NULL, 0, -1);
	}
	acknowledge(m, msg);
	if (p != NULL)
		end(p, judge(p, msg, words, sizeof words));
}

void
probe_left_over(struct master *m, const struct msg_child *msg)
{
	if (msg->state == CHILD_EXITED)
		acknowledge(m, msg);
	else
		kill_it(m, msg->slot, msg->gen);
}
