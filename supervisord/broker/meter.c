#include "supervisord/broker/meter.h"

#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/util.h"

#define PART_SECONDS (METER_SECONDS / METER_PARTS)

void
meter_init(struct meter *m, int64_t now)
{
	memset(m, 0, sizeof(*m));
	m->first = m->second = now / NS_PER_SEC;
}

static void
advance(struct meter *m, int64_t now)
{
	int64_t second = now / NS_PER_SEC;
	int64_t from = m->second + 1;

	if (second <= m->second)
		return;
	if (from < second - METER_SECONDS + 1)
		from = second - METER_SECONDS + 1;
	for (int64_t s = from; s <= second; s++) {
		m->in[s % METER_SECONDS] = m->out[s % METER_SECONDS] = 0;
		if (s % PART_SECONDS == 0 || s == from)
			if (s / PART_SECONDS != m->second / PART_SECONDS)
				memset(m->bins[s / PART_SECONDS % METER_PARTS],
				    0, sizeof(m->bins[0]));
	}
	m->second = second;
}

void
meter_in(struct meter *m, int64_t now)
{
	advance(m, now);
	m->in[m->second % METER_SECONDS]++;
}

void
meter_out(struct meter *m, int64_t now)
{
	advance(m, now);
	m->out[m->second % METER_SECONDS]++;
}

unsigned
meter_bin(int64_t us)
{
	unsigned e;
	unsigned bin;

	if (us < 4)
		return us > 0 ? (unsigned)us : 0;
	e = 63U - (unsigned)__builtin_clzll((unsigned long long)us);
	bin = (e - 1) * 4 + (unsigned)((us >> (e - 2)) & 3);
	return MIN_OF(bin, METER_BINS - 1);
}

int64_t
meter_bin_us(unsigned bin)
{
	unsigned e = bin / 4 + 1;

	if (bin < 4)
		return bin;
	return ((4LL + bin % 4) << (e - 2)) + ((1LL << (e - 2)) / 2);
}

void
meter_took(struct meter *m, enum meter_what what, int64_t us, int64_t now)
{
	advance(m, now);
	m->bins[m->second / PART_SECONDS % METER_PARTS][what][meter_bin(us)]++;
}

static double
rate(struct meter *m, const uint32_t *ring, int64_t now)
{
	uint64_t sum = 0;
	int64_t seconds;

	advance(m, now);
	for (size_t i = 0; i < METER_SECONDS; i++)
		sum += ring[i];
	seconds = MIN_OF(m->second - m->first + 1, METER_SECONDS);
	return (double)sum / (double)seconds;
}

double
meter_in_rate(struct meter *m, int64_t now)
{
	return rate(m, m->in, now);
}

double
meter_out_rate(struct meter *m, int64_t now)
{
	return rate(m, m->out, now);
}

int64_t
meter_quantile(struct meter *m, enum meter_what what, double share, int64_t now)
{
	uint64_t all = 0, wanted, seen = 0;

	advance(m, now);
	for (size_t p = 0; p < METER_PARTS; p++)
		for (size_t i = 0; i < METER_BINS; i++)
			all += m->bins[p][what][i];
	if (all == 0)
		return 0;
	wanted = (uint64_t)((double)all * share) + 1;
	wanted = MIN_OF(wanted, all);
	for (unsigned i = 0; i < METER_BINS; i++) {
		for (size_t p = 0; p < METER_PARTS; p++)
			seen += m->bins[p][what][i];
		if (seen >= wanted)
			return meter_bin_us(i);
	}
	return 0;
}
