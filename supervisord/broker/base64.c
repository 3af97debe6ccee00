#include "supervisord/broker/base64.h"

#include <errno.h>
#include <stdint.h>

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_put(struct buf *b, const void *data, size_t size)
{
	const unsigned char *s = data;
	char *out;

	if (!buf_reserve(b, (size + 2) / 3 * 4))
		return;
	out = b->data + b->size;
	for (; size > 0; s += 3) {
		size_t n = size < 3 ? size : 3;
		uint32_t bits = (uint32_t)s[0] << 16;

		if (n > 1)
			bits |= (uint32_t)s[1] << 8;
		if (n > 2)
			bits |= s[2];
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = n > 1 ? digits[bits >> 6 & 63] : '=';
		*out++ = n > 2 ? digits[bits & 63] : '=';
		size -= n;
	}
	b->size = (size_t)(out - b->data);
	*out = '\0';
}

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
base64_take(struct buf *b, const char *text, size_t size)
{
	size_t before = b->size;
	uint32_t bits = 0;
	unsigned have = 0;
	char *out;

	for (int pad = 0; pad < 2 && size % 4 == 0 && size > 0 &&
			  text[size - 1 - (size_t)pad] == '=';
	     pad++)
		have++;
	size -= have;
	have = 0;
	/* One digit alone says less than a byte. */
	if (size % 4 == 1)
		return -EINVAL;
	if (!buf_reserve(b, size / 4 * 3 + 3))
		return -ENOMEM;
	out = b->data + b->size;
	for (size_t i = 0; i < size; i++) {
		int v = value_of(text[i]);

		if (v < 0) {
			b->data[before] = '\0';
			return -EINVAL;
		}
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*out++ = (char)(bits >> have & 0xff);
		}
	}
	b->size = (size_t)(out - b->data);
	*out = '\0';
	return 0;
}
