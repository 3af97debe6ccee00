/*
 * A cron text on the first line, the bytes of a time zone's file behind it: any
 * zone that is taken can be asked, and time goes forward in it.
 */

#include <assert.h>
#include <string.h>

#include "supervisord/base/cron.h"
#include "supervisord/base/json_check.h"
#include "supervisord/base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_zone(const struct zone *z, const struct cron *c)
{
	static const int64_t from[] = { INT64_MIN, -3000000000, -1, 0,
		951782400, 1774746000, 1792890000, 4000000000, INT64_MAX };
	struct zone_span span;

	for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
		int64_t t = from[i];

		zone_span(z, t, &span);
		assert(span.from < span.to);
		assert(span.offset <= 26 * 3600 && span.offset >= -26 * 3600);
		zone_when(z, t);
		for (int n = 0; n < 3; n++) {
			int64_t next = cron_next(c, z, t);

			if (next == -1)
				break;
			assert(next > t);
			t = next;
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
	struct cron c;
	struct zone *z = NULL;
	char text[256], why[64];
	size_t n, at;

	if (json_check((const char *)data, size, &at) < 0)
		assert(at <= size);
	if (line == NULL || (size_t)(line - data) >= sizeof text)
		return 0;
	n = (size_t)(line - data);
	memcpy(text, data, n);
	text[n] = '\0';
	if (cron_parse(text, &c, why, sizeof why) < 0) {
		assert(strlen(why) > 0 && strlen(why) < sizeof why);
		(void)cron_parse("* * * * *", &c, why, sizeof why);
	}
	check_zone(NULL, &c);
	if (zone_parse(line + 1, size - n - 1, &z) < 0)
		return 0;
	check_zone(z, &c);
	zone_free(z);
	return 0;
}
