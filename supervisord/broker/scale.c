/* When autoscale.c is asked, and what is made of its answer. */

#include <stdio.h>

#include "supervisord/broker/core_int.h"

/* Backlogs come and go within this without a meaning. */
#define SCALE_AFTER (250 * NS_PER_MS)

static void
count_busy(struct hand *h, void *arg)
{
	uint32_t *busy = arg;

	*busy += MIN_OF(h->held, h->threads);
}

void
scale_look(struct pool *p)
{
	struct core *c = p->broker->core;

	if (!p->configured || !p->config.autoscale || p->scale_at != 0 ||
	    !c->adopted)
		return;
	p->scale_at = c->mono + SCALE_AFTER;
	core_wake(c, p->scale_at);
}

void
scale_tick(struct pool *p)
{
	struct core *c = p->broker->core;
	struct autoscale_counts counts = {
		.queued = p->counts[TASK_QUEUED] + p->told[TASK_QUEUED],
		.instances = p->wanted,
	};
	struct autoscale_answer a;
	char why[128];

	if (p->scale_at == 0)
		return;
	if (p->scale_at > c->mono) {
		core_wake(c, p->scale_at);
		return;
	}
	/* Without a master nobody would carry it out. */
	if (p->broker->master.fd < 0) {
		p->scale_at = c->mono + SCALE_AFTER;
		core_wake(c, p->scale_at);
		return;
	}
	rack_each(p, count_busy, &counts.busy);
	/* Nobody works on what is paused, however many there are. */
	if (!pool_open(p))
		counts.queued = 0;
	a = autoscale(&p->config, &p->scale, &counts, c->mono);
	p->scale_at = a.again;
	if (a.again != 0)
		core_wake(c, a.again);
	if (a.instances == p->wanted)
		return;
	snprintf(why, sizeof(why), "%llu tasks queued, %u of %u threads busy",
	    (unsigned long long)counts.queued, counts.busy,
	    p->wanted * p->config.threads);
	p->wanted = a.instances;
	broker_scale(p->broker, p->config.name, a.instances, why);
}
