#include "supervisord/broker/redis/resp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "*4294967295\r\n" */
#define HEAD 16

void
resp_begin(struct resp *r)
{
	static const char zeros[HEAD];

	*r = (struct resp){ 0 };
	buf_init(&r->b);
	buf_add(&r->b, zeros, sizeof zeros);
}

static size_t
put_number(char *end, uint64_t n)
{
	size_t size = 0;

	do {
		*--end = (char)('0' + n % 10);
		size++;
	} while ((n /= 10) > 0);
	return size;
}

void
resp_add(struct resp *r, const void *data, size_t size)
{
	char head[32], *end = head + sizeof head - 2;
	size_t digits;

	end[0] = '\r';
	end[1] = '\n';
	digits = put_number(end, size);
	end[-(ptrdiff_t)digits - 1] = '$';
	buf_reserve(&r->b, size + digits + 5);
	buf_add(&r->b, end - digits - 1, digits + 3);
	buf_add(&r->b, data, size);
	buf_add(&r->b, "\r\n", 2);
	r->count++;
}

void
resp_str(struct resp *r, const char *s)
{
	resp_add(r, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

void
resp_int(struct resp *r, int64_t n)
{
	char text[32];
	int size = snprintf(text, sizeof text, "%" PRId64, n);

	resp_add(r, text, (size_t)size);
}

void
resp_uint(struct resp *r, uint64_t n)
{
	char text[32];
	size_t size = put_number(text + sizeof text, n);

	resp_add(r, text + sizeof text - size, size);
}

bool
resp_end(struct resp *r)
{
	char head[HEAD + 1];
	int size = snprintf(head, sizeof head, "*%u\r\n", r->count);

	if (r->b.failed)
		return false;
	memcpy(r->b.data + HEAD - size, head, (size_t)size);
	r->text = r->b.data + HEAD - size;
	r->size = r->b.size - HEAD + (size_t)size;
	return true;
}

void
resp_done(struct resp *r)
{
	buf_done(&r->b);
}
