#include "supervisord/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
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

/* A decimal number without sign, exponent or hexadecimal form, and a unit. */
static int
number_and_unit(const char *text, const struct unit *units, size_t n,
    int64_t plain, int64_t limit, int64_t *ret)
{
	size_t digits = strspn(text, "0123456789.");
	int64_t factor = plain;
	double value;
	char *end;

	if (digits == 0 || digits > 24)
		return -EINVAL;
	value = strtod(text, &end);
	if (end != text + digits)
		return -EINVAL;
	if (*end != '\0') {
		factor = 0;
		for (size_t i = 0; i < n; i++) {
			if (strcmp(end, units[i].suffix) == 0)
				factor = units[i].factor;
		}
		if (factor == 0)
			return -EINVAL;
	}
	if (value * (double)factor > (double)limit)
		return -ERANGE;
	*ret = (int64_t)(value * (double)factor + 0.5);
	return 0;
}

int
units_duration(const char *text, int64_t *ret_ns)
{
	if (text[0] == '-')
		return -ERANGE;
	return number_and_unit(text, durations, N_ELEMENTS(durations),
	    NS_PER_SEC, NS_LIMIT, ret_ns);
}

int
units_size(const char *text, int64_t *ret_bytes)
{
	if (text[0] == '-')
		return -ERANGE;
	return number_and_unit(text, sizes, N_ELEMENTS(sizes), 1, 1LL << 50,
	    ret_bytes);
}

char *
units_format_duration(int64_t ns, char *out, size_t size)
{
	const char *sign = ns < 0 ? "-" : "";
	int64_t left = ns < 0 ? -ns : ns;

	if (left == 0) {
		snprintf(out, size, "0s");
		return out;
	}
	for (size_t i = 0; i < N_ELEMENTS(durations); i++) {
		if (left % durations[i].factor == 0) {
			snprintf(out, size, "%s%lld%s", sign,
			    (long long)(left / durations[i].factor),
			    durations[i].suffix);
			return out;
		}
	}
	snprintf(out, size, "%s%lld.%09llds", sign,
	    (long long)(left / NS_PER_SEC), (long long)(left % NS_PER_SEC));
	return out;
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
	if (strncasecmp(name, "RTMIN", 5) == 0 || strncasecmp(name, "RTMAX", 5) == 0) {
		int base = toupper((unsigned char)name[3]) == 'I' ? SIGRTMIN
		                                                  : SIGRTMAX;

		n = 0;
		if (name[5] != '\0') {
			n = strtol(name + 5, &end, 10);
			if (end == name + 6 || *end != '\0')
				return -EINVAL;
		}
		if (base + n >= SIGRTMIN && base + n <= SIGRTMAX)
			return base + (int)n;
	}
	return -EINVAL;
}

char *
units_signal_name(int signo, char *out, size_t size)
{
	const char *abbrev = signo < SIGRTMIN ? sigabbrev_np(signo) : NULL;

	if (abbrev != NULL)
		snprintf(out, size, "SIG%s", abbrev);
	else
		snprintf(out, size, "signal %d", signo);
	return out;
}
