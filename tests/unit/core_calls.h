#ifndef TESTS_CORE_CALLS_H
#define TESTS_CORE_CALLS_H

/* What a client and a worker do to the core, a call each. Behind cmocka.h. */

#include "tests/unit/core_rig.h"

static struct {
	enum queue_error error;
	uint64_t id;
	bool existed;
	unsigned times;
} told;

static inline void
on_submitted(void *arg, enum queue_error error, uint64_t id, bool existed)
{
	(void)arg;
	told.error = error;
	told.id = id;
	told.existed = existed;
	told.times++;
}

static inline void
on_done(void *arg, enum queue_error error)
{
	(void)arg;
	told.error = error;
	told.times++;
}

static struct {
	enum queue_error error;
	uint8_t state;
	unsigned ended, progress;
	char result[64];
} waited;

static inline void
on_progress(struct waiter *w, const struct task *t)
{
	(void)w;
	(void)t;
	waited.progress++;
}

static inline void
on_ended(struct waiter *w, enum queue_error error, const struct task_row *row)
{
	(void)w;
	waited.error = error;
	waited.state = row != NULL ? row->state : 255;
	waited.ended++;
	if (row != NULL && row->result != NULL)
		snprintf(waited.result, sizeof(waited.result), "%s",
		    row->result->data);
}

static inline struct waiter
waiter(void)
{
	memset(&waited, 0, sizeof(waited));
	return (struct waiter){ .progress = on_progress, .ended = on_ended };
}

static inline struct submission *
submission(const char *worker)
{
	struct submission *s = submission_new();

	snprintf(s->worker, sizeof(s->worker), "%s", worker);
	s->func = strdup("f");
	return s;
}

/* Puts it; told says what came of it. */
static inline void
put(struct rig *r, struct submission *s)
{
	memset(&told, 0, sizeof(told));
	core_submit(&r->b, s, on_submitted, NULL);
}

static inline uint64_t
submit(struct rig *r, struct submission *s)
{
	put(r, s);
	rig_commit(r);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.error, QERR_NONE);
	return told.id;
}

static inline struct task *
find(struct rig *r, uint64_t id)
{
	return core_find(&r->b, id);
}

static inline void
done(struct rig *r, uint64_t id)
{
	struct body *body = body_new("{}", 2);

	core_done(&r->b, find(r, id), body, true);
	body_release(body);
}

static inline struct rig *
one_pool(void)
{
	struct rig *r = rig_new(1);

	rig_boot(r);
	core_adopted(&r->b);
	return r;
}

/* Of the minute before, of the pool "w". */
static inline int64_t
longest_wait_us(struct rig *r)
{
	return meter_quantile(
	    &pool_find(r->b.core, "w")->meter, METER_WAIT, 1, rig_mono);
}

#endif
