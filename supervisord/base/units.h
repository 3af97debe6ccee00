#ifndef BASE_UNITS_H
#define BASE_UNITS_H

/* Durations, sizes and signals as people write them. */

#include <stddef.h>
#include <stdint.h>

/*
 * "250ms" "10s" "5m" "2h" "1d" or plain seconds ("1.5") into nanoseconds.
 * 0, or -EINVAL (not a duration) or -ERANGE (more than 100 years, or negative).
 */
int units_duration(const char *text, int64_t *ret_ns);

/* "64K" "512M" "2G" "1T" or bytes; powers of 1024. 0, -EINVAL or -ERANGE. */
int units_size(const char *text, int64_t *ret_bytes);

/* "250ms", "1.5s", "2h": the shortest form that units_duration reads back. */
#define UNITS_TEXT 32
char *units_format_duration(int64_t ns, char *out, size_t size);

/* "TERM", "SIGTERM", "term", "15", "RTMIN+1": the number, or -EINVAL. */
int units_signal(const char *name);

/* "SIGTERM", "SIGRTMIN+1"; a number without a name is "signal 99". */
char *units_signal_name(int signo, char *out, size_t size);

#endif
