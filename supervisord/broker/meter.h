#ifndef BROKER_METER_H
#define BROKER_METER_H

/*
 * A minute's rates and latencies, without a timer: rings of buckets that are
 * emptied when time has gone over them. Latencies fall into bins of a quarter
 * octave: a value read back is within an eighth of the true one.
 */

#include <stdint.h>

#define METER_SECONDS 60
#define METER_PARTS   12 /* of 5 s each */
#define METER_BINS    160

enum meter_what {
	METER_WAIT,
	METER_RUN,
	METER_WHATS
};

struct meter {
	int64_t first, second; /* mono s: started; the last one advanced to */
	uint32_t in[METER_SECONDS], out[METER_SECONDS];
	uint32_t bins[METER_PARTS][METER_WHATS][METER_BINS];
};

void meter_init(struct meter *m, int64_t now); /* now: mono ns, everywhere */
void meter_in(struct meter *m, int64_t now);
void meter_out(struct meter *m, int64_t now);
void meter_took(struct meter *m, enum meter_what what, int64_t us, int64_t now);
/* Per second over the last minute, or since the start. */
double meter_in_rate(struct meter *m, int64_t now);
double meter_out_rate(struct meter *m, int64_t now);
/* us; 0 when nothing was measured. share: 0.5 for the median */
int64_t meter_quantile(
    struct meter *m, enum meter_what what, double share, int64_t now);

unsigned meter_bin(int64_t us);
int64_t meter_bin_us(unsigned bin); /* its middle */

#endif
