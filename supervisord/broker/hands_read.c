/*
 * Bytes of a worker into messages.
 *
 * What is read is looked at in the socket and taken out of it in whole messages
 * only, so that a broker that is killed leaves no half of one. The sockets are
 * watched by edges, for half a message left there would be a level that never
 * falls. A worker that writes one in pieces, or one that no socket has room for
 * (a long line), is helped by taking what is there; that is written down where
 * the broker after this one finds it.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/kept.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/hands_int.h"

#define WINDOW       (256U << 10)
#define ROUNDS       16
#define LONGEST_LINE (24U << 20)
#define LONG_LINE    (64U << 10) /* of which this much has no newline */
#define PARTIAL_TIME (50 * NS_PER_MS)

static char window[WINDOW];

/* --- frames --------------------------------------------------------------- */

static void
frame_said(struct hand *h, const struct wire_head *head, const char *body)
{
	struct said s = { .type = (enum wire_type)head->type,
		.id = head->id,
		.thread = head->slot,
		.json = (head->flags & WIRE_JSON) != 0,
		.for_good = (head->flags & WIRE_FOR_GOOD) != 0,
		.more = (head->flags & WIRE_MORE) != 0,
		.later = (head->flags & WIRE_LATER) != 0,
		.share = WIRE_NO_SHARE,
		.data = body,
		.size = head->size };

	if (s.type == WIRE_PROGRESS) {
		if (s.size < sizeof s.share) {
			hand_broke(h, "a PROGRESS of %zu bytes", s.size);
			return;
		}
		memcpy(&s.share, body, sizeof s.share);
		s.share = le32toh(s.share);
		s.data += sizeof s.share;
		s.size -= sizeof s.share;
	}
	hand_said(h, &s);
}

static size_t
take_frames(struct hand *h, const char *data, size_t size)
{
	size_t used = 0;

	while (size - used >= WIRE_HEAD) {
		struct wire_head head;

		wire_get_head(data + used, &head);
		if (head.size > WIRE_BODY) {
			hand_broke(h, "a frame of %u bytes", head.size);
			return size;
		}
		if (size - used < WIRE_HEAD + head.size)
			break;
		frame_said(h, &head, data + used + WIRE_HEAD);
		used += WIRE_HEAD + head.size;
		if (h->in->broken)
			return size;
	}
	return used;
}

/* --- lines ---------------------------------------------------------------- */

static void
line_said(struct hand *h, const char *line, size_t size)
{
	struct said s;
	int r = lines_parse(line, size, &s);
	bool rest = h->in->rest;

	h->in->rest = false;
	if (r == 0)
		hand_said(h, &s);
	else if (r == -ENOMEM)
		hand_broke(h, "no memory for a line of %zu bytes", size);
	else if (!rest || r != -EINVAL)
		hand_broke(h, "a line that is %s: %.*s",
		    r == -EINVAL ? "no JSON object" : "not of the protocol",
		    (int)MIN_OF(size, (size_t)80), line);
	said_done(&s);
}

static size_t
take_lines(struct hand *h, const char *data, size_t size)
{
	struct conn_in *in = h->in;
	size_t used = 0, seen = data == in->in.data ? in->in_seen : 0;

	for (;;) {
		const char *from = data + used + seen;
		const char *end = memchr(from, '\n', size - used - seen);

		if (end == NULL)
			break;
		if (end > data + used)
			line_said(h, data + used, (size_t)(end - data) - used);
		used = (size_t)(end - data) + 1;
		seen = 0;
		if (in->broken)
			return size;
	}
	if (data == in->in.data)
		in->in_seen = size - used;
	return used;
}

/* --- the socket ----------------------------------------------------------- */

static size_t
take(struct hand *h, const char *data, size_t size)
{
	struct conn_in *in = h->in;

	if (!in->decided) {
		in->decided = true;
		in->lines = data[0] == '{';
	}
	return in->lines ? take_lines(h, data, size)
			 : take_frames(h, data, size);
}

static void
set_torn(struct conn_in *in, bool torn)
{
	if (in->kept != NULL && !in->lines && (in->kept->torn != 0) != torn) {
		in->kept->torn = torn;
		kept_in_order();
	}
}

static ssize_t
receive(struct conn_in *in, size_t size, int flags)
{
	ssize_t n;

	do {
		n = recv(in->fd, window, size, flags | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		return 0; /* reset: as good as the end */
	return n;
}

/* The start of a message is in memory: what follows goes there, too. false:
 * nothing more is there. */
static bool
read_on(struct hand *h)
{
	struct conn_in *in = h->in;
	ssize_t n;

	kept_in_order();
	n = receive(in, sizeof window, 0);
	if (n == 0)
		hand_hung_up(h);
	if (n <= 0)
		return false;
	buf_add(&in->in, window, (size_t)n);
	if (in->in.failed) {
		hand_broke(h, "no memory for a message of more than %zu bytes",
		    in->in.size);
		return false;
	}
	if (in->in.size > LONGEST_LINE + sizeof window) {
		hand_broke(h, "a message of more than %zu bytes", in->in.size);
		return false;
	}
	buf_consume(&in->in, take(h, in->in.data, in->in.size));
	if (in->in.size == 0) {
		buf_done(&in->in);
		in->in_seen = 0;
		set_torn(in, false);
	}
	return !in->broken;
}

static void
partial_due(struct limit *l)
{
	struct conn_in *in = CONTAINER_OF(l, struct conn_in, partial);

	if (in->shut || in->broken || in->in.size > 0)
		return;
	set_torn(in, true);
	if (read_on(in->hand))
		hand_read(in->hand);
	if (in->in.size == 0)
		set_torn(in, false);
}

/* One look. false: nothing more can be read now. Where less was there than
 * would have fitted, that was all; what comes later is an edge of its own. */
static bool
read_whole(struct hand *h)
{
	struct conn_in *in = h->in;
	ssize_t n = receive(in, sizeof window, MSG_PEEK);
	size_t used;

	if (n == 0)
		hand_hung_up(h);
	if (n <= 0)
		return false;
	used = take(h, window, (size_t)n);
	if (in->broken)
		return false;
	if (used == 0 && in->lines && (size_t)n >= LONG_LINE)
		return read_on(h);
	if (used > 0) {
		limit_clear(h->broker->limits, &in->partial);
		if (receive(in, used, 0) <= 0)
			return false;
		if ((size_t)n == sizeof window)
			return true;
	}
	if (used < (size_t)n && !in->exited)
		limit_set(h->broker->limits, &in->partial,
		    clock_mono() + PARTIAL_TIME, partial_due);
	return false;
}

static bool
read_some(struct hand *h)
{
	return h->in->in.size > 0 ? read_on(h) : read_whole(h);
}

static bool
readable(const struct conn_in *in)
{
	return !in->shut && !in->broken && in->adopting == 0;
}

void
hand_read(struct hand *h)
{
	struct conn_in *in = h->in;
	struct hands *all = h->broker->hands;

	for (int i = 0; readable(in) && read_some(h); i++) {
		if (i < ROUNDS)
			continue;
		/* The others' turn. */
		if (!list_linked(&in->unread))
			list_append(&all->unread, &in->unread);
		if (!ev_is_active(&all->again)) {
			ev_timer_set(&all->again, 0., 0.);
			ev_timer_start(h->broker->loop, &all->again);
		}
		return;
	}
}

void
hand_read_all(struct hand *h)
{
	while (readable(h->in) && read_some(h))
		;
}
