#include "supervisord/base/cron.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "supervisord/base/util.h"
#include "supervisord/base/zone.h"

#define DAY   86400
#define YEARS 400
/* The years 1 to about 9000: outside of them nothing ever comes. */
#define AFTER_MIN (-62135596800LL)
#define AFTER_MAX 221845305600LL

static const struct field {
	const char *name;
	int min, max;
	const char *const *names; /* of min, min + 1, ... */
} fields[] = {
	{ "minute", 0, 59, NULL },
	{ "hour", 0, 23, NULL },
	{ "day of month", 1, 31, NULL },
	{ "month", 1, 12,
	    (const char *const[]){ "JAN", "FEB", "MAR", "APR", "MAY", "JUN",
		"JUL", "AUG", "SEP", "OCT", "NOV", "DEC", NULL } },
	{ "day of week", 0, 7,
	    (const char *const[]){
		"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL } },
};

static const struct {
	const char *word, *text;
} words[] = {
	{ "@hourly", "0 * * * *" },
	{ "@daily", "0 0 * * *" },
	{ "@midnight", "0 0 * * *" },
	{ "@weekly", "0 0 * * 0" },
	{ "@monthly", "0 0 1 * *" },
	{ "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};

/* --- reading
 * ------------------------------------------------------------------ */

/* A field in hand, and where to say what is wrong with it. */
struct item {
	const struct field *field;
	const char *text; /* the whole of it */
	int size;
	char *why;
	size_t why_size;
};

static int
bad(const struct item *it, const char *words_of_it)
{
	snprintf(it->why, it->why_size, "%s \"%.*s\": %s", it->field->name,
	    MIN_OF(it->size, 60), it->text, words_of_it);
	return -EINVAL;
}

static int
bad_range(const struct item *it)
{
	char text[64];

	snprintf(text, sizeof text, "not within %d to %d", it->field->min,
	    it->field->max);
	return bad(it, text);
}

static int
bad_word(const struct item *it)
{
	char text[80];

	if (it->field->names == NULL)
		return bad(it,
		    "not a number, a range (1-5), a list (1,3) or a step "
		    "(*/2) of them");
	snprintf(text, sizeof text, "neither a number nor a name from %s to %s",
	    it->field->names[0], it->field->max == 7 ? "SAT" : "DEC");
	return bad(it, text);
}

/* A number or a name; *at is put behind it. */
static int
get_value(const struct item *it, const char **at, int *ret)
{
	const char *p = *at;
	int n = 0;

	if (isdigit((unsigned char)*p)) {
		for (; isdigit((unsigned char)*p); p++)
			n = MIN_OF(n * 10 + (*p - '0'), 100000);
		*at = p;
		*ret = n;
		if (n < it->field->min || n > it->field->max)
			return bad_range(it);
		return isalpha((unsigned char)*p) ? bad_word(it) : 0;
	}
	for (int i = 0; it->field->names != NULL && it->field->names[i]; i++) {
		if (strncasecmp(p, it->field->names[i], 3) == 0 &&
		    !isalnum((unsigned char)p[3])) {
			*at = p + 3;
			*ret = it->field->min + i;
			return 0;
		}
	}
	return bad_word(it);
}

static int
get_step(const struct item *it, const char **at, int *ret)
{
	const char *p = *at + 1;
	int n = 0;

	for (; isdigit((unsigned char)*p); p++)
		n = MIN_OF(n * 10 + (*p - '0'), 100000);
	if (p == *at + 1)
		return bad(it, "a number is missing behind the \"/\"");
	*at = p;
	*ret = n;
	if (n == 0)
		return bad(it, "a step of 0 leads nowhere");
	if (n > it->field->max)
		return bad(it, "the step is larger than the range");
	return 0;
}

/* "*", "5", "1-5", each perhaps with a step: one member of a list. */
static int
get_range(const struct item *it, const char **at, uint64_t *bits)
{
	const struct field *f = it->field;
	int low = f->min, high = f->max, step = 1, err;
	bool single = false;

	if (**at == '*') {
		++*at;
		high = f->max == 7 ? 6 : f->max;
	} else {
		err = get_value(it, at, &low);
		if (err < 0)
			return err;
		single = **at != '-';
		high = low;
	}
	if (!single && **at == '-') {
		++*at;
		err = get_value(it, at, &high);
		if (err < 0)
			return err;
		/* The week may also end with its Sunday. */
		if (f->max == 7 && high == 0 && low > 0)
			high = 7;
		if (high < low)
			return bad(it, "the range runs backwards");
	}
	if (**at == '/') {
		err = get_step(it, at, &step);
		if (err < 0)
			return err;
		if (single)
			high = f->max == 7 ? 6 : f->max;
	}
	for (; low <= high; low += step)
		*bits |= 1ULL << low;
	return 0;
}

static int
get_field(const struct item *it, uint64_t *bits)
{
	const char *p = it->text, *end = p + it->size;
	int err;

	*bits = 0;
	for (;;) {
		err = get_range(it, &p, bits);
		if (err < 0 || p == end)
			break;
		if (*p != ',')
			return bad_word(it);
		p++;
	}
	/* Sunday has two numbers. */
	if (it->field->max == 7 && *bits & 1ULL << 7)
		*bits = (*bits & 0x7f) | 1;
	return err;
}

static const char *
text_of_word(const char *text)
{
	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		if (strcasecmp(text, words[i].word) == 0)
			return words[i].text;
	}
	return NULL;
}

static int
count_fields(const char *text)
{
	int n = 0;

	for (text += strspn(text, " \t"); *text != '\0'; n++) {
		text += strcspn(text, " \t");
		text += strspn(text, " \t");
	}
	return n;
}

int
cron_parse(const char *text, struct cron *ret, char *why, size_t size)
{
	uint64_t bits[N_ELEMENTS(fields)];
	bool star[N_ELEMENTS(fields)];
	int n;

	if (text[0] == '@') {
		const char *meant = text_of_word(text);

		if (meant == NULL) {
			snprintf(why, size,
			    "\"%.40s\" is not @hourly, @daily, @weekly, "
			    "@monthly or @yearly",
			    text);
			return -EINVAL;
		}
		text = meant;
	}
	n = count_fields(text);
	if (n != (int)N_ELEMENTS(fields)) {
		snprintf(why, size,
		    "%d field%s, not 5: minute, hour, day of month, month, "
		    "day of week",
		    n, n == 1 ? "" : "s");
		return -EINVAL;
	}
	for (size_t i = 0; i < N_ELEMENTS(fields); i++) {
		struct item it = { &fields[i], NULL, 0, why, size };
		int err;

		text += strspn(text, " \t");
		it.text = text;
		it.size = (int)MIN_OF(strcspn(text, " \t"), 4096U);
		err = get_field(&it, &bits[i]);
		if (err < 0)
			return err;
		star[i] = text[0] == '*';
		text += it.size;
	}
	*ret = (struct cron){ bits[0], (uint32_t)bits[1], (uint32_t)bits[2],
		(uint32_t)bits[3], (uint8_t)bits[4], !star[2] && !star[4] };
	return 0;
}

/* --- the next time
 * ------------------------------------------------------------ */

static bool
fits(const struct cron *c, int64_t day, int day_of_month)
{
	bool by_month = c->days >> day_of_month & 1;
	bool by_week = c->weekdays >> (((day + 4) % 7 + 7) % 7) & 1;

	return c->either_day ? by_month || by_week : by_month && by_week;
}

/* The first day from `day` on that fits, or INT64_MAX. */
static int64_t
next_day(const struct cron *c, int64_t day, int64_t last)
{
	int64_t year;
	int month, of_month;

	while (day <= last) {
		zone_date(day, &year, &month, &of_month);
		if (!(c->months >> month & 1)) {
			day = month == 12 ? zone_days(year + 1, 1, 1)
					  : zone_days(year, month + 1, 1);
			continue;
		}
		if (fits(c, day, of_month))
			return day;
		day++;
	}
	return INT64_MAX;
}

/* The first minute of a day, from `minute` on, that fits, or -1. */
static int
next_minute(const struct cron *c, int minute)
{
	for (; minute < DAY / 60; minute++) {
		if (!(c->hours >> minute / 60 & 1))
			minute += 59 - minute % 60;
		else if (c->minutes >> minute % 60 & 1)
			return minute;
	}
	return -1;
}

int64_t
cron_next(const struct cron *c, const struct zone *z, int64_t after_s)
{
	struct zone_span span;
	int64_t local, day, last, t;
	int minute;

	after_s = MAX_OF(after_s, AFTER_MIN);
	if (after_s > AFTER_MAX)
		return -1;
	zone_span(z, after_s, &span);
	local = after_s + span.offset;
	minute = (int)((local % DAY + DAY) % DAY / 60);
	day = (local - (local % DAY + DAY) % DAY) / DAY;
	last = day + YEARS * 366;
	for (; day <= last; day++, minute = 0) {
		int64_t next = next_day(c, day, last);

		if (next == INT64_MAX)
			break;
		if (next > day)
			minute = 0;
		day = next;
		minute = next_minute(c, minute);
		while (minute >= 0) {
			t = zone_when(z, day * DAY + minute * 60);
			if (t > after_s)
				return t;
			minute = next_minute(c, minute + 1);
		}
	}
	return -1;
}
