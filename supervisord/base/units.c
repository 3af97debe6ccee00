#include "supervisord/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

#define NS_LIMIT (100LL * 366 * 86400 * NS_PER_SEC)

static const struct unit {
	const char *suffix;
	int64_t factor;
} durations[] = {
	{ "d", 86400 * NS_PER_SEC },
	{ "h", 3600 * NS_PER_SEC },
	{ "m", 60 * NS_PER_SEC },
	{ "s", NS_PER_SEC },
	{ "ms", NS_PER_MS },
	{ "us", 1000 },
}, sizes[] = {
	{ "B", 1 },
	{ "K", 1LL << 10 },
	{ "M", 1LL << 20 },
	{ "G", 1LL << 30 },
	{ "T", 1LL << 40 },
};

/*
 * The digits at *at as billionths of one; *at is moved behind them. Whole
 * numbers throughout: neither a locale nor a double's 53 bits come into play.
 */
static int
decimal(const char **at, __int128 *ret)
{
	const __int128 too_large = (__int128)1 << 80;
	const char *c = *at;
	__int128 value = 0;
	int scale = 0;
	bool point = false, any = false;

	for (; isdigit((unsigned char)*c) || (*c == '.' && !point); c++) {
		if (*c == '.') {
			point = true;
			continue;
		}
		any = true;
		if (value < too_large && scale < 9) {
			value = value * 10 + (*c - '0');
			scale += point ? 1 : 0;
		}
	}
	for (; scale < 9; scale++)
		value *= 10;
	*at = c;
	*ret = value;
	return any ? 0 : -EINVAL;
}

/* A decimal number without sign, exponent or hexadecimal form, and a unit. */
static int
number_and_unit(const char *text, const struct unit *units, size_t n,
    int64_t plain, int64_t limit, int64_t *ret)
{
	bool negative = text[0] == '-';
	const char *at = text + (negative ? 1 : 0);
	int64_t factor = plain;
	__int128 value;

	if (decimal(&at, &value) < 0)
		return -EINVAL;
	if (*at != '\0') {
		factor = 0;
		for (size_t i = 0; i < n; i++) {
			if (strcmp(at, units[i].suffix) == 0)
				factor = units[i].factor;
		}
		if (factor == 0)
			return -EINVAL;
	}
	/* Compared before the product: that could overflow. */
	if (negative || value / NS_PER_SEC > limit / factor + 1)
		return -ERANGE;
	value = (value * factor + NS_PER_SEC / 2) / NS_PER_SEC;
	if (value > limit)
		return -ERANGE;
	*ret = (int64_t)value;
	return 0;
}

int
units_duration(const char *text, int64_t *ret_ns)
{
	return number_and_unit(text, durations, N_ELEMENTS(durations),
	    NS_PER_SEC, NS_LIMIT, ret_ns);
}

int
units_size(const char *text, int64_t *ret_bytes)
{
	return number_and_unit(
	    text, sizes, N_ELEMENTS(sizes), 1, 1LL << 50, ret_bytes);
}

char *
units_format_duration(int64_t ns, char *out, size_t size)
{
	const char *sign = ns < 0 ? "-" : "";
	uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t fraction = left % NS_PER_SEC;
	int digits = 9;

	if (left > NS_PER_SEC && fraction != 0) {
		for (; fraction % 10 == 0; digits--)
			fraction /= 10;
		snprintf(out, size, "%s%llu.%0*llus", sign,
		    (unsigned long long)(left / NS_PER_SEC), digits,
		    (unsigned long long)fraction);
		return out;
	}
	for (size_t i = 0; left > 0 && i < N_ELEMENTS(durations); i++) {
		uint64_t factor = (uint64_t)durations[i].factor;

		if (left % factor == 0) {
			snprintf(out, size, "%s%llu%s", sign,
			    (unsigned long long)(left / factor),
			    durations[i].suffix);
			return out;
		}
	}
	if (left == 0)
		snprintf(out, size, "0s");
	else
		snprintf(
		    out, size, "%s0.%09llus", sign, (unsigned long long)left);
	return out;
}

/* Names of signals beside the one sigabbrev_np(3) knows. */
static const struct alias {
	const char *name;
	int signo;
} aliases[] = {
	{ "IO", SIGIO },
	{ "CLD", SIGCHLD },
	{ "IOT", SIGABRT },
};

/* "RTMIN", "RTMIN+3", "RTMAX-1" */
static int
real_time_signal(const char *name)
{
	bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
	int base = from_min ? SIGRTMIN : SIGRTMAX, n = 0;

	if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
		return -EINVAL;
	name += 5;
	if (*name != '\0') {
		if (*name != (from_min ? '+' : '-') ||
		    !isdigit((unsigned char)name[1]) || strlen(name) > 3 ||
		    strspn(name + 1, "0123456789") != strlen(name + 1))
			return -EINVAL;
		n = atoi(name + 1);
	}
	n = from_min ? base + n : base - n;
	return n >= SIGRTMIN && n <= SIGRTMAX ? n : -EINVAL;
}

int
units_signal(const char *name)
{
	char *end;
	long n;

	if (isdigit((unsigned char)name[0])) {
		n = strtol(name, &end, 10);
		return *end == '\0' && n >= 1 && n <= SIGRTMAX ? (int)n
							       : -EINVAL;
	}
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int sig = 1; sig < SIGRTMIN; sig++) {
		const char *abbrev = sigabbrev_np(sig);

		if (abbrev != NULL && strcasecmp(abbrev, name) == 0)
			return sig;
	}
	for (size_t i = 0; i < N_ELEMENTS(aliases); i++) {
		if (strcasecmp(aliases[i].name, name) == 0)
			return aliases[i].signo;
	}
	return real_time_signal(name);
}

char *
units_signal_name(int signo, char *out, size_t size)
{
	const char *abbrev =
	    signo > 0 && signo < SIGRTMIN ? sigabbrev_np(signo) : NULL;

	if (abbrev != NULL)
		snprintf(out, size, "SIG%s", abbrev);
	else if (signo == SIGRTMIN)
		snprintf(out, size, "SIGRTMIN");
	else if (signo > SIGRTMIN && signo <= SIGRTMAX)
		snprintf(out, size, "SIGRTMIN+%d", signo - SIGRTMIN);
	else
		snprintf(out, size, "signal %d", signo);
	return out;
}
