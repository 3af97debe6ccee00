#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/*
 * Two clocks. Durations and deadlines are CLOCK_MONOTONIC nanoseconds, so that
 * a stepped wall clock moves none of them; wall time is for people and for the
 * database only.
 */

#include <stddef.h>
#include <stdint.h>

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS  1000000LL

/* Monotonic time in nanoseconds since boot (time suspended not counted). */
int64_t clock_mono(void);

/* The same with the time suspended: what passes elsewhere meanwhile. */
int64_t clock_boot(void);

/* Wall time in milliseconds since the epoch. */
int64_t clock_wall_ms(void);

/*
 * Writes wall_ms as "2026-01-02T03:04:05.678Z" (RFC 3339, UTC) into out, which
 * should have CLOCK_TEXT bytes. Returns out.
 */
#define CLOCK_TEXT 32
char *clock_format(int64_t wall_ms, char *out, size_t size);

#endif
