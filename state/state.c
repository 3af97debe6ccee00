/*
 * The caller's side: opening, appending rows, asking, hearing what came of it.
 * Nothing here but state_open touches a disk.
 */

#include "state/state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "state/answer.h"
#include "state/state_int.h"
#include "supervisord/base/clock.h"
#include "supervisord/base/thread.h"
#include "supervisord/base/util.h"

#define DEFAULT_WAITING 50000
#define KICK_EVERY      4096 /* rows, should nobody call state_flush */
#define STACK_BYTES     ((size_t)256 << 10)
#define HEAP_BYTES      ((int64_t)64 << 20) /* the most SQLite may take */
#define HUNG_NS         (5 * NS_PER_SEC)

static struct state *
state_new(const struct state_options *options)
{
	struct state *s = calloc(1, sizeof *s);
	pthread_condattr_t monotonic;

	if (s == NULL)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &monotonic);
	pthread_cond_init(&s->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	queue_init(&s->queue);
	queue_init(&s->batch);
	list_init(&s->questions);
	list_init(&s->answers);
	s->most_waiting = options->memory_rows > 0
			      ? (size_t)options->memory_rows
			      : DEFAULT_WAITING;
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s;
}

void
state_free(struct state *s)
{
	struct list *l, *tmp;

	LIST_FOREACH(l, tmp, &s->questions)
		question_free(LIST_ENTRY(l, struct question, link));
	LIST_FOREACH(l, tmp, &s->answers)
		question_free(LIST_ENTRY(l, struct question, link));
	queue_free_rows(&s->queue);
	queue_free_rows(&s->batch);
	saved_free(&s->saved);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->done);
	pthread_mutex_destroy(&s->lock);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

/* Signals are the loop's business: none is ever delivered to the writer. */
int
state_open(const struct state_options *options, struct state **ret)
{
	struct state *s = state_new(options);
	int r;

	*ret = NULL;
	if (s == NULL)
		return -ENOMEM;
	/* Each connection is used by one thread at a time. Too late, and no
	 * matter, when SQLite has been used before. */
	sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
	sqlite3_hard_heap_limit64(HEAP_BYTES);
	r = s->fd < 0 ? -EAGAIN : keeper_open(&s->keeper, options, &s->saved);
	if (r < 0) {
		state_free(s);
		return r;
	}
	s->sequence = s->committed = s->saved.last_event;
	if (keeper_health(&s->keeper, &s->health)) {
		s->shown = s->health;
		s->news_health = true;
		state_signal(s);
	}
	r = thread_start(&s->thread, STACK_BYTES, writer_main, s);
	if (r < 0) {
		keeper_close(&s->keeper);
		state_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void
state_close(struct state *s, int64_t wait_ms)
{
	int64_t until = clock_mono() + MAX_OF(wait_ms, 0) * NS_PER_MS;
	struct timespec ts = {
		.tv_sec = until / NS_PER_SEC,
		.tv_nsec = until % NS_PER_SEC,
	};
	int r = 0;

	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_signal(&s->wake);
	while (!s->ended && r == 0)
		r = pthread_cond_timedwait(&s->done, &s->lock, &ts);
	if (!s->ended) {
		/* The disk hangs: the thread frees s, should it ever return. */
		s->abandoned = true;
		pthread_detach(s->thread);
		pthread_mutex_unlock(&s->lock);
		return;
	}
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	state_free(s);
}

/* --- hearing -------------------------------------------------------------- */

int
state_fd(const struct state *s)
{
	return s->fd;
}

void
state_signal(struct state *s)
{
	uint64_t one = 1;

	if (!s->signalled && write(s->fd, &one, sizeof one) == sizeof one)
		s->signalled = true;
}

static void
take_answer(struct state *s, struct state_news *ret)
{
	struct question *q = LIST_ENTRY(s->answers.next, struct question, link);

	list_remove(&q->link);
	ret->said = STATE_ANSWER;
	ret->token = q->token;
	ret->error = q->error;
	ret->json = q->json;
	buf_init(&q->json);
	question_free(q);
}

enum state_said
state_poll(struct state *s, struct state_news *ret)
{
	uint64_t count;

	memset(ret, 0, sizeof *ret);
	pthread_mutex_lock(&s->lock);
	s->shown = s->health;
	if (s->news_committed) {
		s->news_committed = false;
		ret->said = STATE_COMMITTED;
	} else if (s->news_health) {
		s->news_health = false;
		ret->said = STATE_HEALTH;
	} else if (!list_empty(&s->answers)) {
		take_answer(s, ret);
	} else if (s->signalled &&
		   read(s->fd, &count, sizeof count) == sizeof count) {
		s->signalled = false;
	}
	ret->committed = s->committed;
	pthread_mutex_unlock(&s->lock);
	return ret->said;
}

const char *
state_health(struct state *s)
{
	int64_t since;

	if (s->shown.broken[0] != '\0' && s->shown.lost > 0) {
		snprintf(s->words, sizeof s->words,
		    "%s; the oldest %lld rows had no room", s->shown.broken,
		    (long long)s->shown.lost);
		return s->words;
	}
	if (s->shown.broken[0] != '\0')
		return s->shown.broken;
	pthread_mutex_lock(&s->lock);
	since = s->busy_since;
	pthread_mutex_unlock(&s->lock);
	since = since != 0 ? clock_mono() - since : 0;
	if (since > HUNG_NS) {
		snprintf(s->words, sizeof s->words,
		    "the disk of state.db has not answered for %lld s",
		    (long long)(since / NS_PER_SEC));
		return s->words;
	}
	if (s->shown.note[0] != '\0' && clock_mono() < s->shown.note_until)
		return s->shown.note;
	return NULL;
}

/* --- asking --------------------------------------------------------------- */

int
state_ask(struct state *s, const struct state_question *q)
{
	struct question *copy;
	int r = question_new(q, &copy);

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	list_append(&s->questions, &copy->link);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* --- appending ------------------------------------------------------------ */

#define INT(number)                                                            \
	{                                                                      \
		.type = VALUE_INT, .as.n = (int64_t)(number)                   \
	}
#define NIL                                                                    \
	{                                                                      \
		.type = VALUE_NULL                                             \
	}
#define TEXT(string) text_value(string)
/* NULL where there is none. */
#define INT_IF(yes, number)                                                    \
	{                                                                      \
		.type = (yes) ? VALUE_INT : VALUE_NULL,                        \
		.as.n = (int64_t)(number)                                      \
	}

static struct value
text_value(const char *text)
{
	return (struct value){
		.type = text != NULL ? VALUE_TEXT : VALUE_NULL,
		.as.text = text,
	};
}

static uint64_t
put(struct state *s, enum row_kind kind, const struct value *v, size_t count)
{
	struct row *row = row_new(kind, v, count);
	uint64_t sequence = 0;

	pthread_mutex_lock(&s->lock);
	if (row == NULL) {
		s->dropped++;
	} else {
		s->dropped +=
		    (int64_t)queue_add(&s->queue, row, s->most_waiting);
		sequence = ++s->sequence;
		if (sequence % KICK_EVERY == 0) {
			s->kicked = true;
			pthread_cond_signal(&s->wake);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return sequence;
}

void
state_flush(struct state *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->kicked && !queue_empty(&s->queue)) {
		s->kicked = true;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
}

uint64_t
state_put_instance(struct state *s, const struct state_instance *row)
{
	const struct value v[] = { TEXT(row->name), TEXT(row->worker),
		INT(row->index), INT(row->wanted_up), INT(row->wanted_by_user),
		TEXT(row->state), INT_IF(row->pid > 0, row->pid),
		INT_IF(row->pid > 0, row->start_ticks), TEXT(row->boot_id),
		INT_IF(row->started_ms != 0, row->started_ms),
		INT(row->restarts), TEXT(row->reason), INT(clock_wall_ms()) };

	return put(s, ROW_INSTANCE, v, N_ELEMENTS(v));
}

uint64_t
state_drop_instance(struct state *s, const char *name)
{
	const struct value v[] = { TEXT(name) };

	return put(s, ROW_INSTANCE_DROP, v, N_ELEMENTS(v));
}

/* The row's own number is one of its values: the caller is the only one who
 * gives numbers, so the next one is known. */
uint64_t
state_put_event(struct state *s, const struct state_event *row)
{
	bool asked = row->actor_uid >= 0;
	const struct value v[] = { INT(s->sequence + 1), INT(row->at_ms),
		TEXT(row->name), TEXT(row->kind), TEXT(row->from),
		TEXT(row->to), TEXT(row->reason), INT_IF(asked, row->actor_uid),
		INT_IF(asked, row->actor_pid),
		TEXT(asked ? row->actor_command : NULL) };

	return put(s, ROW_EVENT, v, N_ELEMENTS(v));
}

/* The end of what was written last, from a whole character on. */
#define LAST_LINES_BYTES 8192

static const char *
tail(const char *text)
{
	size_t size = text != NULL ? strlen(text) : 0;

	if (size <= LAST_LINES_BYTES)
		return text;
	text += size - LAST_LINES_BYTES;
	while ((*text & 0xc0) == 0x80)
		text++;
	return text;
}

uint64_t
state_put_exit(struct state *s, const struct state_exit *row)
{
	const struct value v[] = { INT_IF(row->key != 0, row->key),
		TEXT(row->name), INT(row->pid),
		INT_IF(row->started_ms != 0, row->started_ms),
		INT(row->ended_ms), INT(row->duration_ms),
		INT_IF(row->code >= 0, row->code),
		INT_IF(row->signo > 0, row->signo), INT(row->core),
		TEXT(row->cause), INT(row->user_us), INT(row->system_us),
		INT(row->maxrss_kb), TEXT(tail(row->last_lines)) };

	return put(s, ROW_EXIT, v, N_ELEMENTS(v));
}

uint64_t
state_put_last_lines(
    struct state *s, const char *name, int pid, const char *last_lines)
{
	const struct value v[] = { TEXT(name), INT(pid),
		TEXT(tail(last_lines)) };

	return put(s, ROW_LAST_LINES, v, N_ELEMENTS(v));
}

uint64_t
state_put_fact(struct state *s, const char *key, const char *value)
{
	const struct value v[] = { TEXT(key), TEXT(value),
		INT(clock_wall_ms()) };

	return value != NULL ? put(s, ROW_FACT, v, N_ELEMENTS(v))
			     : put(s, ROW_FACT_DROP, v, 1);
}

uint64_t
state_begin(struct state *s, uint64_t run, int master_pid, const char *version,
    const char *boot_id, bool *ret_clean, uint64_t *ret_incarnation)
{
	const struct saved_run *last = &s->saved.last;
	uint64_t id = s->saved.last_incarnation + 1;
	const struct value v[] = { INT(id), INT(run), INT(master_pid),
		TEXT(version), TEXT(boot_id), INT(clock_wall_ms()), NIL, NIL,
		NIL };

	if (last->known && last->run == run)
		last = &s->saved.before;
	*ret_clean = !last->known || last->in_order;
	*ret_incarnation = id;
	s->run = run;
	s->master_pid = master_pid;
	return put(s, ROW_BEGIN, v, N_ELEMENTS(v));
}

uint64_t
state_end(struct state *s, bool in_order, const char *why)
{
	const struct value v[] = { INT(s->run), INT(s->master_pid),
		INT(clock_wall_ms()), INT(in_order), TEXT(why) };

	return put(s, ROW_END, v, N_ELEMENTS(v));
}

/* --- what was there before ------------------------------------------------ */

bool
state_saved_instance(
    struct state *s, const char *name, const struct state_saved **ret)
{
	*ret = saved_instance(&s->saved, name);
	return *ret != NULL;
}

void
state_each_saved(struct state *s,
    void (*each)(const struct state_saved *row, void *arg), void *arg)
{
	for (size_t i = 0; i < s->saved.instance_count; i++)
		each(&s->saved.instances[i], arg);
}

const char *
state_saved_fact(struct state *s, const char *key)
{
	return saved_fact(&s->saved, key);
}

void
state_forget_saved(struct state *s)
{
	saved_free(&s->saved);
}

uint64_t
state_last_event(const struct state *s)
{
	return s->saved.last_event;
}
