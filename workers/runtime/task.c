#include "workers/runtime/task.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json_check.h"
#include "supervisord/base/log.h"
#include "supervisord/base/utf8.h"
#include "supervisord/base/util.h"

#define LINE_MAX_SIZE 2048
#define PROGRESS_TEXT 1000

_Static_assert(SV_RESULT_MAX == WIRE_RESULT_MAX, "one limit");

static __thread struct thread *self;

void
task_thread(struct thread *t)
{
	self = t;
}

void
task_begin(struct thread *t, const struct job *job)
{
	t->task = (struct sv_task){
		.id = job->id,
		.attempt = job->attempt,
		.is_json = job->is_json,
		.func = job->data + job->size + 1,
		.payload = job->data,
		.size = job->size,
		.thread = t->task.thread,
	};
	t->answer = 0;
	t->answer_flags = 0;
	t->small_size = 0;
	t->missed = job->missed;
	t->deadline =
	    job->timeout_ms > 0 ? t->began + job->timeout_ms * NS_PER_MS : 0;
	__atomic_store_n(&t->in_task, true, __ATOMIC_RELEASE);
}

void
task_end(struct thread *t)
{
	if (t->answer == 0 && task_cancelled(t))
		(void)sv_fail(&t->task, "cancelled");
	else if (t->answer == 0 && t->job->handler != NULL &&
		 t->job->handler->form == SV_JSON)
		(void)sv_result_json(&t->task, "null");
	else if (t->answer == 0)
		(void)sv_result(&t->task, "", 0);
	__atomic_store_n(&t->in_task, false, __ATOMIC_RELEASE);
}

/* The thread behind a task that is one, being executed. */
static struct thread *
thread_of(const struct sv_task *task)
{
	uintptr_t at = (uintptr_t)task, base = (uintptr_t)the_link.threads;
	struct thread *t;

	if (task == NULL || base == 0 || at < base ||
	    at >= base + the_link.count * sizeof *t ||
	    (at - base) % sizeof *t != offsetof(struct thread, task) ||
	    link_in_child())
		return NULL;
	t = &the_link.threads[(at - base) / sizeof *t];
	return __atomic_load_n(&t->in_task, __ATOMIC_ACQUIRE) ? t : NULL;
}

/* The calling thread, if the task is its own. */
static struct thread *
own_thread(const struct sv_task *task)
{
	struct thread *t = thread_of(task);

	if (t != NULL && t == self)
		return t;
	if (!link_in_child())
		log_warn("an answer was refused: the task given is none that "
			 "the calling thread is executing");
	return NULL;
}

static int
put(struct thread *t, uint8_t type, uint8_t flags, const void *body,
    size_t size)
{
	t->answer_flags = flags;
	if (size <= sizeof t->small) {
		if (size > 0)
			memcpy(t->small, body, size);
		t->small_size = size;
	} else {
		t->letter = letter_new(
		    type, flags, (uint16_t)t->index, t->task.id, body, size);
		if (t->letter == NULL) {
			(void)sv_fail(&t->task,
			    "no memory for a result of %zu bytes", size);
			return -ENOMEM;
		}
	}
	t->answer = type;
	return 0;
}

static int
put_result(struct thread *t, uint8_t flags, const void *body, size_t size)
{
	if (t->answer != 0)
		return -EALREADY;
	if (size <= WIRE_RESULT_MAX)
		return put(t, WIRE_DONE, flags, body, size);
	(void)sv_fail_for_good(&t->task,
	    "result too large: %zu bytes, %u are the most", size,
	    WIRE_RESULT_MAX);
	return -EMSGSIZE;
}

int
sv_result(struct sv_task *task, const void *bytes, size_t size)
{
	struct thread *t = own_thread(task);

	if (t == NULL || (bytes == NULL && size > 0))
		return -EINVAL;
	return put_result(t, 0, bytes, size);
}

/*
 * Makes a valid JSON text fit on one line, in place: where newlines can stand,
 * blanks can. Returns its size without the blanks at its end.
 */
static size_t
one_line(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\n' || text[i] == '\r')
			text[i] = ' ';
	}
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		size--;
	return size;
}

int
sv_result_json(struct sv_task *task, const char *json)
{
	struct thread *t = own_thread(task);
	size_t size;
	int r;

	if (t == NULL || json == NULL)
		return -EINVAL;
	if (t->answer != 0)
		return -EALREADY;
	size = strlen(json);
	if (size <= WIRE_RESULT_MAX && json_check(json, size, NULL) < 0) {
		(void)sv_fail_for_good(
		    task, "the handler's result is not valid JSON");
		return -EILSEQ;
	}
	if (strpbrk(json, "\r\n") != NULL && size <= WIRE_RESULT_MAX) {
		char *line = strdup(json);

		if (line == NULL) {
			(void)sv_fail(task, "no memory for the result");
			return -ENOMEM;
		}
		size = one_line(line, size);
		r = put_result(t, WIRE_JSON, line, size);
		free(line);
		return r;
	}
	return put_result(t, WIRE_JSON, json, size);
}

int
task_result_either(struct thread *t, char *text, size_t size)
{
	if (json_check(text, size, NULL) < 0)
		return put_result(t, 0, text, size);
	size = one_line(text, size);
	return put_result(t, WIRE_JSON, text, size);
}

/* Text for people: what is no UTF-8 is cut out, and no character is halved. */
static size_t
tidy(char *text)
{
	size_t left = strlen(text), used = 0;
	const char *from = text;

	while (left > 0) {
		size_t n = utf8_length((const unsigned char *)from, left);

		if (n == 0) {
			text[used++] = '?';
			n = 1;
		} else {
			memmove(text + used, from, n);
			used += n;
		}
		from += n;
		left -= n;
	}
	return used;
}

static int
fail(struct sv_task *task, uint8_t flags, const char *fmt, va_list ap)
{
	struct thread *t = own_thread(task);
	char text[ANSWER_SMALL];

	if (t == NULL)
		return -EINVAL;
	if (t->answer != 0)
		return -EALREADY;
	vsnprintf(text, sizeof text, fmt, ap);
	return put(t, WIRE_FAILED, flags, text, tidy(text));
}

int
sv_fail(struct sv_task *task, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(task, 0, fmt, ap);
	va_end(ap);
	return r;
}

int
sv_fail_for_good(struct sv_task *task, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(task, WIRE_FOR_GOOD, fmt, ap);
	va_end(ap);
	return r;
}

bool
task_cancelled(const struct thread *t)
{
	return __atomic_load_n(&t->cancelled, __ATOMIC_ACQUIRE) ||
	       slot_cancelled(t->slot, t->task.id);
}

bool
sv_cancelled(const struct sv_task *task)
{
	const struct thread *t = thread_of(task);

	return t == NULL || task_cancelled(t);
}

double
sv_time_left(const struct sv_task *task)
{
	const struct thread *t = thread_of(task);
	int64_t left;

	if (t == NULL)
		return 0;
	if (t->deadline == 0)
		return INFINITY;
	left = t->deadline - clock_mono();
	return left > 0 ? (double)left / (double)NS_PER_SEC : 0;
}

unsigned
sv_missed(const struct sv_task *task)
{
	const struct thread *t = thread_of(task);

	return t != NULL ? t->missed : 0;
}

void
sv_progress(struct sv_task *task, double share, const char *text)
{
	struct thread *t = thread_of(task);
	uint32_t mille = WIRE_NO_SHARE;
	char copy[PROGRESS_TEXT];

	if (t == NULL)
		return;
	if (share >= 0)
		mille = share < 1 ? (uint32_t)(share * 1000) : 1000;
	slot_share(t->slot, mille);
	snprintf(copy, sizeof copy, "%s", text != NULL ? text : "");
	link_progress(t, mille, copy, tidy(copy));
}

void
sv_log(const struct sv_task *task, const char *fmt, ...)
{
	char line[LINE_MAX_SIZE];
	int n = snprintf(line, sizeof line, "task %llu: ",
	    thread_of(task) != NULL ? (unsigned long long)task->id : 0ULL);
	size_t size;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
	va_end(ap);
	size = strlen(line);
	for (size_t i = 0; i < size; i++) {
		if (line[i] == '\n')
			line[i] = ' ';
	}
	line[size++] = '\n';
	(void)!write(STDERR_FILENO, line, size);
}

bool
sv_stopping(void)
{
	return link_draining();
}

bool
sv_crowded(void)
{
	return link_crowded();
}
