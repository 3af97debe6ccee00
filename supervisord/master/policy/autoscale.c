#include "supervisord/master/policy/autoscale.h"

#include <string.h>

#include "config/fleet.h"
#include "supervisord/base/util.h"

/* One fewer must be below this part of the limit: what is measured wavers. */
#define WELL_BELOW 0.9

#define BLANKS    " \t\r"
#define MOST_STEP (1U << 16)

unsigned
scale_bounded(const struct autoscale *settings, uint64_t instances)
{
	uint64_t n = MIN_OF(instances, settings->max);

	return (unsigned)MAX_OF(n, settings->min);
}

static bool
is_cooling(
    const struct autoscale *settings, const struct scaling *s, int64_t now)
{
	return s->at != 0 && now - s->at < settings->cooldown;
}

/* A calm in between begins anew with one. */
static unsigned
next_step(
    const struct autoscale *settings, const struct scaling *s, int64_t now)
{
	int64_t pause = MAX_OF(settings->cooldown, settings->interval);

	if (s->step == 0 || now - s->at > 3 * pause)
		return 1;
	return MIN_OF(s->step * 2, MOST_STEP);
}

unsigned
scale_by_cpu(const struct autoscale *settings, struct scaling *s,
    unsigned instances, double used, int64_t now)
{
	unsigned n = scale_bounded(settings, instances);
	double limit = settings->cpu, load = used * n, enough = load / limit;
	unsigned target;

	if (n != instances || is_cooling(settings, s, now))
		return n;
	if (used > limit && n < settings->max) {
		target =
		    enough < settings->max ? (unsigned)enough : settings->max;
		if (target < enough)
			target++;
		target = MIN_OF(target, settings->max);
		s->step = next_step(settings, s, now);
		n += MIN_OF(s->step, target - n);
	} else if (n > settings->min && load < limit * (n - 1) * WELL_BELOW) {
		s->step = 0;
		n--;
	} else {
		return n;
	}
	s->at = now;
	return n;
}

unsigned
scale_by_number(const struct autoscale *settings, struct scaling *s,
    unsigned instances, uint64_t number, int64_t now)
{
	unsigned n = scale_bounded(settings, instances);
	unsigned target = scale_bounded(settings, number);

	if (n != instances || target == n || is_cooling(settings, s, now))
		return n;
	s->at = now;
	return target;
}

bool
scale_parse(const char *text, uint64_t *ret)
{
	uint64_t n = 0;
	size_t digits;

	text += strspn(text, BLANKS);
	digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 15)
		return false;
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (uint64_t)(text[i] - '0');
	text += digits + strspn(text + digits, BLANKS);
	*ret = n;
	return *text == '\0' || *text == '\n';
}
