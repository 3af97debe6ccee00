#ifndef RUNTIME_TASK_H
#define RUNTIME_TASK_H

/* What is behind <supervisor/worker.h>: a thread's task and its answer. */

#include "workers/runtime/link.h"

/* The calling thread is t from now on. */
void task_thread(struct thread *t);

/* Before and after the handler. After: t has an answer, whatever it did. */
void task_begin(struct thread *t, const struct job *job);
void task_end(struct thread *t);

/* JSON if it is, bytes if not; text is changed. What sv_result returns. */
int task_result_either(struct thread *t, char *text, size_t size);

bool task_cancelled(const struct thread *t);

#endif
