/*
 * Work for the processor: counting primes, and hashing bytes. Shows arguments
 * and results in JSON, progress, the cancel flag and memory of each thread's
 * own.
 *
 *     supervisorctl submit cpu primes '{"below": 10000000}' --wait
 */
#include <supervisor/worker.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT (1U << 16)
#define MOST    10000000000ULL

/* What a thread needs again and again is made once. */
struct scratch {
	unsigned char composite[SEGMENT];
	uint32_t *primes; /* below the root of what is asked for */
	size_t count, room;
};

static int
thread_init(unsigned thread, void **ret_state)
{
	(void)thread;
	*ret_state = calloc(1, sizeof(struct scratch));
	return *ret_state != NULL ? 0 : -ENOMEM;
}

static void
thread_cleanup(unsigned thread, void *state)
{
	struct scratch *s = state;

	(void)thread;
	free(s->primes);
	free(s);
}

/* The number behind "name": in a flat object; a real module has a parser. */
static int
number_of(const char *json, const char *name, uint64_t *ret)
{
	char quoted[64];
	const char *at;
	char *end;

	snprintf(quoted, sizeof quoted, "\"%s\"", name);
	at = strstr(json, quoted);
	if (at == NULL)
		return -ENOENT;
	at += strlen(quoted);
	at += strspn(at, " \t\r\n:");
	if (*at < '0' || *at > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(at, &end, 10);
	return errno != 0 ? -ERANGE : 0;
}

static int
keep_prime(struct scratch *s, uint32_t prime)
{
	if (s->count == s->room) {
		size_t room = s->room > 0 ? 2 * s->room : 1024;
		uint32_t *more = realloc(s->primes, room * sizeof *more);

		if (more == NULL)
			return -ENOMEM;
		s->primes = more;
		s->room = room;
	}
	s->primes[s->count++] = prime;
	return 0;
}

/* All primes whose square is below the limit, by trial. */
static int
small_primes(struct scratch *s, uint64_t limit)
{
	s->count = 0;
	for (uint64_t n = 2; n * n < limit; n++) {
		size_t i = 0;

		while (i < s->count &&
		       (uint64_t)s->primes[i] * s->primes[i] <= n &&
		       n % s->primes[i] != 0)
			i++;
		if (i < s->count && (uint64_t)s->primes[i] * s->primes[i] <= n)
			continue;
		if (keep_prime(s, (uint32_t)n) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* How many primes there are in [from, to), at most SEGMENT numbers. */
static uint64_t
count_segment(struct scratch *s, uint64_t from, uint64_t to)
{
	uint64_t found = 0;

	memset(s->composite, 0, sizeof s->composite);
	for (size_t i = 0; i < s->count; i++) {
		uint64_t p = s->primes[i], n = (from + p - 1) / p * p;

		for (n = n > p * p ? n : p * p; n < to; n += p)
			s->composite[n - from] = 1;
	}
	for (uint64_t n = from > 2 ? from : 2; n < to; n++)
		found += !s->composite[n - from];
	return found;
}

/* {"below": n} -> {"below": n, "primes": how many} */
static void
primes(struct sv_task *task)
{
	struct scratch *s = task->thread;
	uint64_t below, found = 0;
	char text[96];

	if (number_of(task->payload, "below", &below) < 0 || below > MOST) {
		sv_fail_for_good(
		    task, "asks for {\"below\": a number up to %llu}", MOST);
		return;
	}
	if (small_primes(s, below) < 0) {
		sv_fail(task, "no memory");
		return;
	}
	for (uint64_t at = 0; at < below; at += SEGMENT) {
		uint64_t to = at + SEGMENT < below ? at + SEGMENT : below;

		if (sv_cancelled(task)) {
			sv_fail(task, "cancelled at %" PRIu64, at);
			return;
		}
		found += count_segment(s, at, to);
		if (at % (SEGMENT * 16ULL) == 0) {
			snprintf(
			    text, sizeof text, "%" PRIu64 " primes", found);
			sv_progress(task, (double)to / (double)below, text);
		}
	}
	snprintf(text, sizeof text,
	    "{\"below\": %" PRIu64 ", \"primes\": %" PRIu64 "}", below, found);
	sv_result_json(task, text);
}

/* Bytes -> their FNV-1a hash, as 16 hexadecimal digits in a JSON string. */
static void
hash(struct sv_task *task)
{
	const unsigned char *bytes = task->payload;
	uint64_t h = 0xcbf29ce484222325ULL;
	char text[32];

	for (size_t i = 0; i < task->size; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ULL;
	snprintf(text, sizeof text, "\"%016" PRIx64 "\"", h);
	sv_result_json(task, text);
}

static const struct sv_handler handlers[] = {
	{ "primes", SV_JSON, primes },
	{ "hash", SV_BYTES, hash },
	{ NULL, SV_JSON, NULL },
};

const struct sv_module supervisor_module = {
	.abi = SV_ABI,
	.name = "cpu",
	.thread_init = thread_init,
	.thread_cleanup = thread_cleanup,
	.handlers = handlers,
};
