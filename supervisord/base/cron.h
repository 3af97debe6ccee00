#ifndef BASE_CRON_H
#define BASE_CRON_H

/*
 * Times as cron(5) has them: "MINUTE HOUR DAY-OF-MONTH MONTH DAY-OF-WEEK", each
 * a "*", a number, a range "1-5", a list of those, with a step "/2" behind a
 * "*", a range or a number (from there on). Months and days of the week may be
 * names (JAN, SUN); 7 is Sunday, too. Or one of @hourly, @daily (@midnight),
 * @weekly, @monthly, @yearly (@annually).
 *
 * As in Vixie's cron: if neither of the two kinds of days begins with "*", one
 * of them is enough; else both must fit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone;

struct cron {
	uint64_t minutes; /* bit n: minute n */
	uint32_t hours, days, months;
	uint8_t weekdays; /* bit 0: Sunday */
	bool either_day;  /* one kind of day is enough */
};

/* 0, or -EINVAL with a reason in why: `hour "25": not within 0 to 23`. */
int cron_parse(const char *text, struct cron *ret, char *why, size_t size);

/*
 * The first such time after after_s (seconds since 1970) in a zone, NULL being
 * UTC; -1: there is none, as on the 31st of February. A local time that is
 * jumped over comes at the jump, one that comes twice is taken the first time
 * only. Bounded by the 400 years after which the calendar repeats itself.
 */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_s);

#endif
