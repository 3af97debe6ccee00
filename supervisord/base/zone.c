/*
 * A zone is a table of the moments at which its clock is set, and behind the
 * last of them a rule that goes on for ever (a TZ string of POSIX, the file's
 * footer): "CET-1CEST,M3.5.0,M10.5.0/3". Nothing in a file is believed before
 * it is checked.
 */

#include "supervisord/base/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/util.h"
#include "supervisord/base/zone_int.h"

#define DAY        86400
#define OFFSET_MAX (26 * 3600)
#define FILE_MAX   (256 * 1024)
#define NAME_MAX_  100
#define HEAD_SIZE  44
/* Beyond these nothing is looked for: years -5000 to 9999. */
#define TIME_MIN (-220000000000LL)
#define TIME_MAX 253402300799LL

struct zone {
	size_t count;
	int64_t *at;      /* ascending; the clock is set at each */
	int32_t *offsets; /* behind each */
	int32_t first;    /* offset before the first */
	bool ruled;       /* the rule holds from the last one on */
	struct zone_rule rule;
};

/* --- dates
 * -------------------------------------------------------------------- */

/* Years begin in March here, so that a leap day is the last of its year. */
int64_t
zone_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
	int of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year + day - 1 - 719468;
}

void
zone_date(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int of_era = (int)(z - era * 146097);
	int y =
	    (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int of_year = of_era - (365 * y + y / 4 - y / 100);
	int m = (5 * of_year + 2) / 153;

	*day = of_year - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = era * 400 + y + (*month <= 2);
}

static bool
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* The local time of a rule's day in that year. */
static int64_t
day_of_rule(const struct zone_day *d, int64_t year)
{
	int64_t first = zone_days(year, 1, 1), day;
	int weekday, length;

	switch (d->kind) {
	case ZONE_DAY_JULIAN: /* 1 to 365: never the 29th of February */
		day = first + d->day - 1 + (is_leap(year) && d->day >= 60);
		break;
	case ZONE_DAY_OF_YEAR: /* 0 to 365 */
		day = first + d->day;
		break;
	default: /* week 5 is the last one */
		day = zone_days(year, d->month, 1);
		length =
		    (int)((d->month == 12 ? zone_days(year + 1, 1, 1)
					  : zone_days(year, d->month + 1, 1)) -
			  day);
		weekday = (int)(((day + 4) % 7 + 7) % 7);
		day += (d->day - weekday + 7) % 7 + (d->week - 1) * 7;
		if (day - zone_days(year, d->month, 1) >= length)
			day -= 7;
		break;
	}
	return day * DAY + d->time;
}

/* --- looking up
 * --------------------------------------------------------------- */

/* The span by the rule alone, which knows no begin and no end. */
static void
span_of_rule(const struct zone_rule *r, int64_t t, struct zone_span *ret)
{
	int64_t year, from = INT64_MIN, to = INT64_MAX;
	int32_t offset = r->standard;
	int month, day;

	*ret = (struct zone_span){ from, to, offset };
	if (!r->has_summer)
		return;
	zone_date((t - (t % DAY + DAY) % DAY) / DAY, &year, &month, &day);
	for (int64_t y = year - 1; y <= year + 1; y++) {
		/* Where both are at once, the summer time goes on. */
		int64_t end = day_of_rule(&r->end, y) - r->summer;
		int64_t start = day_of_rule(&r->start, y) - r->standard;

		if (end <= t && end >= from)
			from = end, offset = r->standard;
		if (start <= t && start >= from)
			from = start, offset = r->summer;
		if (end > t)
			to = MIN_OF(to, end);
		if (start > t)
			to = MIN_OF(to, start);
	}
	*ret = (struct zone_span){ from, to, offset };
}

void
zone_span(const struct zone *z, int64_t t, struct zone_span *ret)
{
	size_t low = 0, high;

	*ret = (struct zone_span){ INT64_MIN, INT64_MAX, 0 };
	if (z == NULL)
		return;
	t = MAX_OF(MIN_OF(t, TIME_MAX), TIME_MIN);
	/* low: how many settings of the clock are not after t. */
	for (high = z->count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (z->at[middle] <= t)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == z->count && z->ruled) {
		span_of_rule(&z->rule, t, ret);
		if (z->count > 0)
			ret->from = MAX_OF(ret->from, z->at[z->count - 1]);
		return;
	}
	ret->offset = low > 0 ? z->offsets[low - 1] : z->first;
	if (low > 0)
		ret->from = z->at[low - 1];
	if (low < z->count)
		ret->to = z->at[low];
}

int64_t
zone_when(const struct zone *z, int64_t local)
{
	struct zone_span span;

	local = MAX_OF(MIN_OF(local, TIME_MAX - 2 * OFFSET_MAX), TIME_MIN);
	/* No later span can have it, and no earlier one for the first time. */
	zone_span(z, local - OFFSET_MAX, &span);
	while (span.to <= local + OFFSET_MAX && local - span.offset >= span.to)
		zone_span(z, span.to, &span);
	return MAX_OF(local - span.offset, span.from);
}

/* --- files
 * -------------------------------------------------------------------- */

struct reading {
	const unsigned char *p;
	size_t left;
};

struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static uint32_t
get_32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static int64_t
get_time(const unsigned char *p, size_t size)
{
	uint64_t high = get_32(p);

	return size == 4 ? (int32_t)get_32(p)
			 : (int64_t)(high << 32 | get_32(p + 4));
}

static const unsigned char *
take(struct reading *r, size_t n)
{
	const unsigned char *p = r->p;

	if (n > r->left)
		return NULL;
	r->p += n;
	r->left -= n;
	return p;
}

static int
read_head(struct reading *r, struct counts *c, int *ret_version)
{
	const unsigned char *p = take(r, HEAD_SIZE);
	uint32_t *const to[] = { &c->isut, &c->isstd, &c->leap, &c->time,
		&c->type, &c->chars };

	if (p == NULL || memcmp(p, "TZif", 4) != 0)
		return -EINVAL;
	*ret_version = p[4];
	for (size_t i = 0; i < N_ELEMENTS(to); i++) {
		*to[i] = get_32(p + 20 + 4 * i);
		if (*to[i] > FILE_MAX)
			return -EINVAL;
	}
	return c->type >= 1 && c->type <= 256 ? 0 : -EINVAL;
}

static int
allocate(struct zone *z, size_t n)
{
	z->at = calloc(n + 1, sizeof *z->at);
	z->offsets = calloc(n + 1, sizeof *z->offsets);
	return z->at != NULL && z->offsets != NULL ? 0 : -ENOMEM;
}

/* A block of data, whose times have `size` bytes, into z. */
static int
read_data(
    struct reading *r, const struct counts *c, size_t size, struct zone *z)
{
	const unsigned char *times = take(r, c->time * size);
	const unsigned char *kinds = take(r, c->time);
	const unsigned char *types = take(r, (size_t)c->type * 6);

	if (times == NULL || kinds == NULL || types == NULL ||
	    take(r, c->chars + (size_t)c->leap * (size + 4) + c->isstd +
			c->isut) == NULL)
		return -EINVAL;
	if (c->leap > 0)
		return -ENOTSUP;
	if (allocate(z, c->time) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < c->type; i++) {
		int32_t offset = (int32_t)get_32(types + 6 * i);

		if (offset > OFFSET_MAX || offset < -OFFSET_MAX)
			return -EINVAL;
	}
	z->count = c->time;
	z->first = (int32_t)get_32(types);
	for (size_t i = 0; i < c->time; i++) {
		z->at[i] = get_time(times + i * size, size);
		if (kinds[i] >= c->type || (i > 0 && z->at[i] <= z->at[i - 1]))
			return -EINVAL;
		z->offsets[i] = (int32_t)get_32(types + 6 * kinds[i]);
	}
	return 0;
}

/* "\nTZ\n"; an empty one says nothing of the time behind the table. */
static int
read_footer(struct reading *r, struct zone *z)
{
	const char *text = (const char *)r->p;
	const char *end =
	    r->left > 1 ? memchr(text + 1, '\n', r->left - 1) : NULL;
	char rule[128];
	size_t n;

	if (end == NULL || text[0] != '\n')
		return -EINVAL;
	n = (size_t)(end - text) - 1;
	if (n == 0)
		return 0;
	if (n >= sizeof rule || memchr(text + 1, '\0', n) != NULL)
		return -EINVAL;
	memcpy(rule, text + 1, n);
	rule[n] = '\0';
	z->ruled = true;
	return zone_rule(rule, &z->rule);
}

static int
parse(struct reading *r, struct zone *z)
{
	struct counts c;
	int version, err;

	err = read_head(r, &c, &version);
	if (err < 0)
		return err;
	if (version == 0)
		return read_data(r, &c, 4, z);
	/* The block for readers of version 1 is passed over. */
	if (take(r, (size_t)c.time * 5 + (size_t)c.type * 6 + c.chars +
			(size_t)c.leap * 8 + c.isstd + c.isut) == NULL)
		return -EINVAL;
	err = read_head(r, &c, &version);
	if (err == 0)
		err = read_data(r, &c, 8, z);
	return err == 0 ? read_footer(r, z) : err;
}

int
zone_parse(const void *data, size_t size, struct zone **ret)
{
	struct reading r = { data, size };
	struct zone *z = calloc(1, sizeof *z);
	int err;

	if (z == NULL)
		return -ENOMEM;
	err = parse(&r, z);
	if (err == 0)
		*ret = z;
	else
		zone_free(z);
	return err;
}

/* Names are paths below the folder, and lead nowhere else. */
static bool
is_name(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= NAME_MAX_ && name[0] != '/' &&
	       name[n - 1] != '/' && strstr(name, "//") == NULL &&
	       name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "abcdefghijklmnopqrstuvwxyz"
				 "0123456789_+-/")] == '\0';
}

static int
read_file(int fd, struct zone **ret)
{
	struct stat st;
	ssize_t n = 0;
	size_t size = 0;
	char *data;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	data = malloc(FILE_MAX);
	if (data == NULL)
		return -ENOMEM;
	while (size < FILE_MAX) {
		n = read(fd, data + size, FILE_MAX - size);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	err = n < 0 ? -errno : zone_parse(data, size, ret);
	free(data);
	return err;
}

int
zone_load(const char *name, struct zone **ret)
{
	const char *dir = getenv("TZDIR");
	char path[4096];
	int fd, err;

	if (!is_name(name))
		return -EINVAL;
	if (strcmp(name, "UTC") == 0) {
		*ret = calloc(1, sizeof **ret);
		return *ret != NULL ? 0 : -ENOMEM;
	}
	if (dir == NULL || *dir == '\0')
		dir = "/usr/share/zoneinfo";
	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >=
	    sizeof path)
		return -ENOENT;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	err = read_file(fd, ret);
	close(fd);
	return err;
}

void
zone_free(struct zone *z)
{
	if (z == NULL)
		return;
	free(z->at);
	free(z->offsets);
	free(z);
}
