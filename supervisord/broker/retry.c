#include "supervisord/broker/retry.h"

#include <string.h>

#include "supervisord/base/clock.h"

#define STORM_FIRST (10 * NS_PER_SEC)
#define STORM_MOST  (300 * NS_PER_SEC)
/* This long without one, and the next is as the first. */
#define STORM_CALM (600 * NS_PER_SEC)

int64_t
retry_delay_ms(const struct pool_config *config, uint32_t n, uint64_t random)
{
	double most = (double)config->backoff_max_ms;
	double ms = (double)config->backoff_initial_ms;
	double share;

	for (uint32_t i = 1; i < n && ms < most; i++) {
		double longer = ms * config->backoff_factor;

		if (!(longer > ms))
			break; /* a factor of 1 goes nowhere */
		ms = longer;
	}
	if (ms > most)
		ms = most;
	/* Evenly within +- jitter. */
	share = (double)(random >> 11) / 9007199254740992.0 * 2.0 - 1.0;
	ms += ms * config->backoff_jitter * share;
	if (ms > most)
		ms = most;
	return ms > 0 ? (int64_t)ms : 0;
}

int64_t
storm_crash(struct storm *s, uint64_t task, int64_t now)
{
	size_t at = 0, different = 0;

	for (size_t i = 0; i < STORM_TASKS; i++) {
		if (s->last[i].mono != 0 && s->last[i].task == task) {
			at = i;
			break;
		}
		if (s->last[i].mono < s->last[at].mono)
			at = i;
	}
	s->last[at].task = task;
	s->last[at].mono = now;
	for (size_t i = 0; i < STORM_TASKS; i++)
		different += s->last[i].mono != 0 &&
			     now - s->last[i].mono <= STORM_WITHIN;
	if (different < STORM_TASKS)
		return 0;
	if (s->pause == 0 || now - s->until > STORM_CALM)
		s->pause = STORM_FIRST;
	else
		s->pause = MIN_OF(s->pause * 2, STORM_MOST);
	s->until = now + s->pause;
	memset(s->last, 0, sizeof(s->last));
	return s->pause;
}
