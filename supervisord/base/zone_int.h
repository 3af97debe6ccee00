#ifndef BASE_ZONE_INT_H
#define BASE_ZONE_INT_H

/* The rule at the end of a zone's file: a TZ string as POSIX has it, with what
 * RFC 8536 adds (times from -167 to 167 hours). */

#include <stdbool.h>
#include <stdint.h>

enum zone_day_kind {
	ZONE_DAY_JULIAN,
	ZONE_DAY_OF_YEAR,
	ZONE_DAY_OF_WEEK
};

struct zone_day {
	enum zone_day_kind kind;
	int month, week, day;
	int32_t time; /* seconds behind its midnight */
};

struct zone_rule {
	int32_t standard, summer; /* offsets from UTC */
	bool has_summer;
	struct zone_day start, end; /* of summer time */
};

/* "CET-1CEST,M3.5.0,M10.5.0/3". 0 or -EINVAL. */
int zone_rule(const char *text, struct zone_rule *ret);

#endif
