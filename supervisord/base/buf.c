#include "supervisord/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
buf_init(struct buf *b)
{
	memset(b, 0, sizeof *b);
}

void
buf_done(struct buf *b)
{
	free(b->data);
	buf_init(b);
}

void
buf_clear(struct buf *b)
{
	b->size = 0;
	b->failed = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

bool
buf_grow(struct buf *b, size_t more)
{
	size_t room = b->room > 0 ? b->room : 256;
	char *data;

	if (b->failed)
		return false;
	while (room - b->size <= more) {
		if (room > (size_t)-1 / 2) {
			b->failed = true;
			return false;
		}
		room *= 2;
	}
	data = realloc(b->data, room);
	if (data == NULL) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->room = room;
	b->data[b->size] = '\0';
	return true;
}

void
buf_add(struct buf *b, const void *data, size_t size)
{
	if (size == 0 || !buf_reserve(b, size))
		return;
	memcpy(b->data + b->size, data, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void
buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
	} else if (buf_reserve(b, (size_t)n + 1)) {
		vsnprintf(b->data + b->size, (size_t)n + 1, fmt, again);
		b->size += (size_t)n;
	}
	va_end(again);
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->size - n);
	b->size -= n;
	b->data[b->size] = '\0';
}

const char *
buf_text(struct buf *b)
{
	if (b->failed)
		return NULL;
	return b->data != NULL ? b->data : "";
}

char *
buf_take(struct buf *b)
{
	char *data;

	if (b->data == NULL)
		buf_reserve(b, 1);
	if (b->failed || b->data == NULL) {
		buf_done(b);
		return NULL;
	}
	b->data[b->size] = '\0';
	data = b->data;
	buf_init(b);
	return data;
}
