/* TZ strings: POSIX.1-2017, 8.3, and RFC 8536, 3.3.1. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "supervisord/base/zone_int.h"

/* "CET" or "<+0330>", three bytes at least. */
static int
skip_name(const char **at)
{
	const char *p = *at;
	size_t n = 0;

	if (*p == '<') {
		for (p++; isalnum((unsigned char)*p) || *p == '+' || *p == '-';
		     p++)
			n++;
		if (*p++ != '>')
			return -EINVAL;
	} else {
		for (; isalpha((unsigned char)*p); p++)
			n++;
	}
	*at = p;
	return n >= 3 ? 0 : -EINVAL;
}

static int
get_number(const char **at, int min, int max, int *ret)
{
	const char *p = *at;
	int n = 0;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p) && n <= max; p++)
		n = n * 10 + (*p - '0');
	*at = p;
	*ret = n;
	return n >= min && n <= max ? 0 : -EINVAL;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static int
get_time(const char **at, int hours, int32_t *ret)
{
	int sign = **at == '-' ? -1 : 1, h, m = 0, s = 0;

	if (**at == '-' || **at == '+')
		++*at;
	if (get_number(at, 0, hours, &h) < 0)
		return -EINVAL;
	if (**at == ':') {
		++*at;
		if (get_number(at, 0, 59, &m) < 0)
			return -EINVAL;
	}
	if (**at == ':') {
		++*at;
		if (get_number(at, 0, 59, &s) < 0)
			return -EINVAL;
	}
	*ret = sign * (h * 3600 + m * 60 + s);
	return 0;
}

static int
get_expected(const char **at, char c)
{
	if (**at != c)
		return -EINVAL;
	++*at;
	return 0;
}

/* ",M3.5.0/2", ",J60" or ",59" */
static int
get_day(const char **at, struct zone_day *d)
{
	int err = get_expected(at, ',');

	if (err < 0)
		return err;
	if (**at == 'M') {
		++*at;
		d->kind = ZONE_DAY_OF_WEEK;
		if (get_number(at, 1, 12, &d->month) < 0 ||
		    get_expected(at, '.') < 0 ||
		    get_number(at, 1, 5, &d->week) < 0 ||
		    get_expected(at, '.') < 0)
			return -EINVAL;
		err = get_number(at, 0, 6, &d->day);
	} else if (**at == 'J') {
		++*at;
		d->kind = ZONE_DAY_JULIAN;
		err = get_number(at, 1, 365, &d->day);
	} else {
		d->kind = ZONE_DAY_OF_YEAR;
		err = get_number(at, 0, 365, &d->day);
	}
	d->time = 2 * 3600;
	if (err == 0 && **at == '/') {
		++*at;
		err = get_time(at, 167, &d->time);
	}
	return err;
}

int
zone_rule(const char *text, struct zone_rule *ret)
{
	int32_t west;

	memset(ret, 0, sizeof *ret);
	if (skip_name(&text) < 0 || get_time(&text, 24, &west) < 0)
		return -EINVAL;
	ret->standard = -west;
	if (*text == '\0')
		return 0;
	ret->has_summer = true;
	ret->summer = ret->standard + 3600;
	if (skip_name(&text) < 0)
		return -EINVAL;
	if (*text != ',') {
		if (get_time(&text, 24, &west) < 0)
			return -EINVAL;
		ret->summer = -west;
	}
	if (get_day(&text, &ret->start) < 0 || get_day(&text, &ret->end) < 0)
		return -EINVAL;
	return *text == '\0' ? 0 : -EINVAL;
}
