#include "workers/runtime/frames.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Several frames of the largest kind in one read. */
#define ROOM       (256U << 10)
#define SERIES_MAX (sizeof(struct wire_task) + WIRE_FUNC_MAX + WIRE_PAYLOAD_MAX)

int
frames_init(struct frames *f)
{
	memset(f, 0, sizeof *f);
	buf_init(&f->series);
	f->data = malloc(ROOM);
	if (f->data == NULL)
		return -ENOMEM;
	f->room = ROOM;
	return 0;
}

void
frames_done(struct frames *f)
{
	free(f->data);
	buf_done(&f->series);
	memset(f, 0, sizeof *f);
}

void *
frames_room(struct frames *f, size_t *ret_room)
{
	if (f->from == f->to)
		f->from = f->to = 0;
	/* What is left is less than a frame: there is room behind it. */
	if (f->room - f->to < WIRE_HEAD + WIRE_BODY) {
		memmove(f->data, f->data + f->from, f->to - f->from);
		f->to -= f->from;
		f->from = 0;
	}
	*ret_room = f->room - f->to;
	return f->data + f->to;
}

void
frames_fill(struct frames *f, size_t n)
{
	f->to += n;
}

/* One more piece. 1 when it was the last, 0, or an error. */
static int
add_piece(struct frames *f, struct frame *frame)
{
	bool more = (frame->head.flags & WIRE_MORE) != 0;
	bool later = (frame->head.flags & WIRE_LATER) != 0;

	if (later && !f->in_series)
		return 0; /* its beginning was voided */
	if (!later && f->in_series && f->series_id != frame->head.id)
		return -EPROTO;
	if (!later) {
		buf_clear(&f->series);
		f->in_series = true;
		f->series_id = frame->head.id;
	}
	if (f->series_id != frame->head.id ||
	    f->series.size + frame->head.size > SERIES_MAX)
		return -EPROTO;
	buf_add(&f->series, frame->body, frame->head.size);
	if (f->series.failed) {
		buf_done(&f->series);
		f->in_series = false;
		return -ENOMEM;
	}
	if (more)
		return 0;
	f->in_series = false;
	frame->head.size = (uint32_t)f->series.size;
	frame->body = (const uint8_t *)f->series.data;
	return 1;
}

int
frames_next(struct frames *f, struct frame *ret)
{
	while (f->to - f->from >= WIRE_HEAD) {
		size_t whole;

		wire_get_head(f->data + f->from, &ret->head);
		if (ret->head.size > WIRE_BODY)
			return -EPROTO;
		whole = WIRE_HEAD + ret->head.size;
		if (f->to - f->from < whole)
			return 0;
		ret->body = f->data + f->from + WIRE_HEAD;
		f->from += whole;
		/* A broker that was killed leaves a series without end. */
		if (ret->head.type == WIRE_SYNC)
			f->in_series = false;
		/* A whole task may come between the pieces of another. */
		if (ret->head.type == WIRE_TASK &&
		    (ret->head.flags & (WIRE_MORE | WIRE_LATER)) != 0) {
			int r = add_piece(f, ret);

			if (r == 0)
				continue;
			return r;
		}
		return 1;
	}
	return 0;
}

int
frames_task(const struct frame *frame, struct frame_task *ret)
{
	struct wire_task t;
	size_t left = frame->head.size;

	if (left < sizeof t)
		return -EPROTO;
	memcpy(&t, frame->body, sizeof t);
	left -= sizeof t;
	t.func_size = le16toh(t.func_size);
	if (t.func_size > WIRE_FUNC_MAX || t.func_size > left ||
	    left - t.func_size > WIRE_PAYLOAD_MAX)
		return -EPROTO;
	*ret = (struct frame_task){
		.id = frame->head.id,
		.attempt = le32toh(t.attempt),
		.timeout_ms = le32toh(t.timeout_ms),
		.missed = le32toh(t.missed),
		.func = (const char *)frame->body + sizeof t,
		.func_size = t.func_size,
		.payload = frame->body + sizeof t + t.func_size,
		.size = left - t.func_size,
		.is_json = (frame->head.flags & WIRE_JSON) != 0,
	};
	return 0;
}
