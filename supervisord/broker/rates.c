#include "supervisord/broker/rates.h"

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

/* What rounding may hide of a whole token. */
#define NEARLY 1e-6

static double
most(double rate)
{
	return rate > 1.0 ? rate : 1.0;
}

static void
advance(struct tokens *t, double rate, int64_t now)
{
	if (t->at == 0)
		t->left = most(rate);
	else if (now > t->at)
		t->left += (double)(now - t->at) / (double)NS_PER_SEC * rate;
	t->left = MIN_OF(t->left, most(rate));
	t->at = now;
}

bool
tokens_any(struct tokens *t, double rate, int64_t now)
{
	advance(t, rate, now);
	return t->left >= 1.0 - NEARLY;
}

void
tokens_take(struct tokens *t, double rate, int64_t now)
{
	advance(t, rate, now);
	t->left -= 1.0;
}

int64_t
tokens_next(struct tokens *t, double rate, int64_t now)
{
	advance(t, rate, now);
	if (t->left >= 1.0 - NEARLY || rate <= 0)
		return now;
	return now + (int64_t)((1.0 - t->left) / rate * (double)NS_PER_SEC) + 1;
}

bool
tokens_full(struct tokens *t, double rate, int64_t now)
{
	advance(t, rate, now);
	return t->left >= most(rate) - NEARLY;
}
