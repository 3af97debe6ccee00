#ifndef BASE_ZONE_H
#define BASE_ZONE_H

/*
 * Time zones, read from the system's files (TZif, RFC 8536) and not through
 * libc: its one zone belongs to the whole process, and a name it does not know
 * is UTC to it, silently.
 *
 * Times are seconds since 1970 in UTC. A local time is written as such a
 * number too: the one at which a clock in UTC shows the same.
 */

#include <stddef.h>
#include <stdint.h>

struct zone;

/* A span of time in which the clock is not set: from <= t < to. */
struct zone_span {
	int64_t from, to; /* INT64_MIN, INT64_MAX: no end */
	int32_t offset;   /* local time minus UTC, within 26 hours */
};

/*
 * The zone "Europe/Berlin" of TZDIR, or of /usr/share/zoneinfo without that
 * variable; "UTC" is known without a file. 0, or -errno: -EINVAL no name of a
 * zone, or a damaged file; -ENOENT unknown; -ENOTSUP one that counts leap
 * seconds. Freed with zone_free (NULL is fine). A zone never changes: threads
 * may share it.
 */
int zone_load(const char *name, struct zone **ret);
void zone_free(struct zone *z);

/* The same from a file's bytes. */
int zone_parse(const void *data, size_t size, struct zone **ret);

/* The span that t is in. NULL is UTC. */
void zone_span(const struct zone *z, int64_t t, struct zone_span *ret);

/*
 * When a clock there first shows `local`. A local time that is jumped over is
 * that of the jump.
 */
int64_t zone_when(const struct zone *z, int64_t local);

/* Days since 1970-01-01 of a date (month 1 to 12), and back. Gregorian. */
int64_t zone_days(int64_t year, int month, int day);
void zone_date(int64_t days, int64_t *year, int *month, int *day);

#endif
