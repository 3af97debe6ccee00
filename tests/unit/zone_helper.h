#ifndef TESTS_ZONE_HELPER_H
#define TESTS_ZONE_HELPER_H

/* Zones without the system's files: TZif of version 2, made up in memory. The
 * including file has cmocka. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "supervisord/base/zone.h"

struct tzif {
	const int64_t *times;
	const uint8_t *kinds;
	unsigned count;
	const int32_t *offsets;
	unsigned types;
	const char *rule;
};

static inline unsigned char *
put_number(unsigned char *p, uint64_t n, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (unsigned char)(n >> 8 * (size - 1 - i));
	return p + size;
}

static inline unsigned char *
put_head(unsigned char *p, unsigned count, unsigned types, unsigned chars)
{
	memset(p, 0, 44);
	memcpy(p, "TZif2", 5);
	put_number(p + 32, count, 4);
	put_number(p + 36, types, 4);
	put_number(p + 40, chars, 4);
	return p + 44;
}

/* Into 4096 bytes; how many they are. */
static inline size_t
tzif_write(const struct tzif *z, unsigned char *out)
{
	/* The block of version 1: nothing but the one type it must have. */
	unsigned char *p = put_head(out, 0, 1, 1);

	memset(p, 0, 7);
	p = put_head(p + 7, z->count, z->types, 4);
	for (unsigned i = 0; i < z->count; i++)
		p = put_number(p, (uint64_t)z->times[i], 8);
	for (unsigned i = 0; i < z->count; i++)
		*p++ = z->kinds[i];
	for (unsigned i = 0; i < z->types; i++) {
		p = put_number(p, (uint32_t)z->offsets[i], 4);
		p = put_number(p, 0, 2);
	}
	memcpy(p, "XXX", 4);
	p += 4;
	*p++ = '\n';
	memcpy(p, z->rule, strlen(z->rule));
	p += strlen(z->rule);
	*p++ = '\n';
	return (size_t)(p - out);
}

static inline struct zone *
zone_of(const struct tzif *file)
{
	unsigned char bytes[4096];
	struct zone *z = NULL;

	assert_int_equal(zone_parse(bytes, tzif_write(file, bytes), &z), 0);
	return z;
}

/* A zone that has only a rule. */
static inline struct zone *
zone_of_rule(const char *rule)
{
	static const int32_t offset = 0;
	const struct tzif file = { NULL, NULL, 0, &offset, 1, rule };

	return zone_of(&file);
}

#endif
