#ifndef BROKER_RATES_H
#define BROKER_RATES_H

/* A token bucket: `rate` a second, as many at once. Pure. */

#include <stdbool.h>
#include <stdint.h>

struct tokens {
	double left;
	int64_t at; /* mono ns, when `left` was true; 0: never: full */
};

/* Whether one is there now. */
bool tokens_any(struct tokens *t, double rate, int64_t now);
void tokens_take(struct tokens *t, double rate, int64_t now);
/* When the next one is there: mono ns. */
int64_t tokens_next(struct tokens *t, double rate, int64_t now);
bool tokens_full(struct tokens *t, double rate, int64_t now);

#endif
