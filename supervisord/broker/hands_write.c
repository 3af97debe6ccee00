/*
 * Tasks into bytes. What one turn of the loop gives to a worker goes out in as
 * few pieces as can be, none larger than what a stream socket with room takes
 * whole, each ending where a message ends: a broker that is killed leaves no
 * half of one. A line that is longer is the exception, and is written down.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "supervisord/base/kept.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/hands_int.h"

#define PIECE (32U << 10)

_Static_assert(WIRE_HEAD + WIRE_BODY <= PIECE, "a frame fits a piece");

static void
unsent(struct hand *h)
{
	struct conn_in *in = h->in;

	if (in->out.failed) {
		/* A stream with a hole in it is of no use to anybody. */
		hand_broke(h, "no memory to write to it");
		return;
	}
	if (!list_linked(&in->unsent))
		list_append(&h->broker->hands->unsent, &in->unsent);
}

static void
frame(struct buf *out, enum wire_type type, unsigned flags, uint64_t id,
    size_t size)
{
	struct wire_head head = { (uint32_t)size, (uint8_t)type, (uint8_t)flags,
		0, id };

	if (!buf_reserve(out, WIRE_HEAD))
		return;
	wire_put_head(out->data + out->size, &head);
	out->size += WIRE_HEAD;
}

static const char *
key_of(enum wire_type type)
{
	switch (type) {
	case WIRE_CANCEL:
		return "cancel";
	case WIRE_RECALL:
		return "recall";
	case WIRE_SYNC:
		return "sync";
	default:
		return "drain";
	}
}

void
hand_say(struct hand *h, enum wire_type type, uint64_t id)
{
	struct conn_in *in = h->in;

	if (in->shut || in->broken)
		return;
	if (!in->lines)
		frame(&in->out, type, 0, id, 0);
	else if (type == WIRE_DRAIN)
		buf_str(&in->out, "{\"drain\":true}\n");
	else
		lines_id(&in->out, key_of(type), id);
	unsent(h);
}

static void
task_frames(struct buf *out, const struct task *t)
{
	const struct task_row *row = &t->row;
	const char *name = row->func != NULL ? row->func : "";
	size_t func = strlen(name), at = 0;
	size_t size = row->payload != NULL ? row->payload->size : 0;
	size_t piece =
	    MIN_OF(size, WIRE_BODY - sizeof(struct wire_task) - func);
	unsigned flags = row->json ? WIRE_JSON : 0;
	int64_t timeout = MIN_OF(MAX_OF(row->timeout_ms, 0), UINT32_MAX);
	struct wire_task head = { htole32(row->attempts),
		htole32((uint32_t)timeout), htole16((uint16_t)func), 0,
		htole32(row->missed) };

	buf_reserve(out, size + size / WIRE_BODY * WIRE_HEAD + 1024);
	frame(out, WIRE_TASK, flags | (piece < size ? WIRE_MORE : 0), row->id,
	    sizeof head + func + piece);
	buf_add(out, &head, sizeof head);
	buf_add(out, name, func);
	if (size > 0)
		buf_add(out, row->payload->data, piece);
	for (at = piece; at < size; at += piece) {
		piece = MIN_OF(size - at, (size_t)WIRE_BODY);
		frame(out, WIRE_TASK,
		    flags | WIRE_LATER | (at + piece < size ? WIRE_MORE : 0),
		    row->id, piece);
		buf_add(out, row->payload->data + at, piece);
	}
}

void
hand_say_task(struct hand *h, const struct task *t)
{
	struct conn_in *in = h->in;

	if (in->shut || in->broken)
		return;
	if (in->lines)
		lines_task(&in->out, &t->row, t->row.attempts);
	else
		task_frames(&in->out, t);
	unsent(h);
}

/* --- the socket ----------------------------------------------------------- */

/* Of what waits, what goes out in one piece. */
static size_t
piece_of(const struct conn_in *in)
{
	const char *data = in->out.data + in->out_at;
	size_t left = in->out.size - in->out_at, size = 0;

	if (in->lines) {
		const char *end;

		size = MIN_OF(left, (size_t)PIECE);
		end = memrchr(data, '\n', size);
		return end != NULL ? (size_t)(end - data) + 1 : size;
	}
	for (;;) {
		struct wire_head head;

		if (left - size < WIRE_HEAD)
			return size;
		wire_get_head(data + size, &head);
		if (size + WIRE_HEAD + head.size > PIECE)
			return size;
		size += WIRE_HEAD + head.size;
	}
}

static void
mark_line(struct conn_in *in, bool mid)
{
	kept_in_order();
	if (in->kept != NULL)
		in->kept->mid_line = mid;
	kept_in_order();
}

/* 0 or -errno. */
static int
send_piece(struct conn_in *in)
{
	size_t size = piece_of(in);
	const char *data = in->out.data + in->out_at;
	bool ends = !in->lines || data[size - 1] == '\n';
	ssize_t n;

	if (!ends)
		mark_line(in, true);
	do {
		n = send(in->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	in->out_at += (size_t)n;
	if ((size_t)n < size) {
		/* Not seen on a local socket; the broker after this one must
		 * not go on in the middle of a frame. */
		if (in->lines)
			mark_line(in, true);
		else if (in->kept != NULL)
			in->kept->torn = 1;
	} else if (in->lines && ends && in->kept != NULL &&
		   in->kept->mid_line) {
		mark_line(in, false);
	}
	return 0;
}

void
hand_flush(struct hand *h)
{
	struct conn_in *in = h->in;
	int r = 0;

	while (r == 0 && !in->shut && in->out_at < in->out.size)
		r = send_piece(in);
	if (r == -EAGAIN) {
		hand_poll_room(h, true);
		/* What is out is not kept in memory for a slow reader. */
		if (in->out_at >= in->out.size / 2) {
			buf_consume(&in->out, in->out_at);
			in->out_at = 0;
		}
		return;
	}
	hand_poll_room(h, false);
	list_remove(&in->unsent);
	/* Who has hung up is noticed by reading. */
	if (in->out.room > PIECE * 2)
		buf_done(&in->out);
	else
		buf_clear(&in->out);
	in->out_at = 0;
}
