#include "supervisord/broker/autoscale.h"

#include "supervisord/base/clock.h"

enum direction {
	STAY,
	GROW,
	SHRINK
};

static enum direction
wanted(const struct pool_config *c, const struct autoscale_counts *n,
    uint32_t instances)
{
	uint64_t per = c->threads > 0 ? c->threads : 1;
	uint64_t threads = per * instances;
	uint64_t idle = threads > n->busy ? threads - n->busy : 0;

	if (instances < c->scale_max &&
	    (idle < c->min_spare || (threads == 0 && n->queued > 0) ||
		(threads > 0 && n->queued > threads * c->scale_backlog)))
		return GROW;
	if (instances <= c->scale_min || n->queued > 0 || idle < per ||
	    idle - per < c->min_spare)
		return STAY;
	if (c->max_spare > 0)
		return idle > c->max_spare ? SHRINK : STAY;
	/* Nothing waits, and without one process there is one idle yet. */
	return idle > per || n->busy == 0 ? SHRINK : STAY;
}

struct autoscale_answer
autoscale(const struct pool_config *config, struct autoscale_state *state,
    const struct autoscale_counts *counts, int64_t now)
{
	int64_t cooldown = config->scale_cooldown_ms * NS_PER_MS;
	uint32_t n = counts->instances;
	enum direction d;

	n = MAX_OF(n, config->scale_min);
	n = MIN_OF(n, config->scale_max);
	d = wanted(config, counts, n);
	if (d == STAY || n != counts->instances) {
		if (d == STAY)
			state->step = 0;
		return (struct autoscale_answer){ n, d == STAY ? 0 : now + 1 };
	}
	if (state->at != 0 && now - state->at < cooldown)
		return (struct autoscale_answer){ n, state->at + cooldown };
	if (d == GROW) {
		uint32_t room = config->scale_max - n;

		/* A calm in between begins anew with one. */
		if (state->step == 0 || now - state->at > 3 * cooldown)
			state->step = 1;
		else
			state->step = MIN_OF(state->step * 2, 1U << 16);
		n += MIN_OF(state->step, room);
	} else {
		state->step = 0;
		n--;
	}
	state->at = now;
	return (struct autoscale_answer){ n, now + cooldown };
}
