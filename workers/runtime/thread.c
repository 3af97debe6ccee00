#include "workers/runtime/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "workers/runtime/connection.h"
#include "workers/runtime/link.h"
#include "workers/runtime/task.h"

#define STACK_SIZE (1U << 20)
/* Wide enough for a frame of some size to end in it. */
#define GUARD_SIZE (64U << 10)

static sem_t begun; /* threads whose thread_begin has succeeded */

/* A handler that forked and returned in the child has ended that child. */
static void
end_child(void)
{
	if (!link_in_child())
		return;
	log_error("a handler returned in a process it had forked; a child must "
		  "exec or _exit");
	_exit(1);
}

static void
do_task(struct thread *t, const struct job *job)
{
	task_begin(t, job);
	t->engine->run(t, job);
	end_child();
	task_end(t);
	link_finish(t);
}

static void
do_connection(struct thread *t, const struct work *work)
{
	char peer[PEER_TEXT];
	struct sv_connection c = {
		.fd = work->connection,
		.socket = connection_socket(work->listener),
		.peer = peer,
		.thread = t->task.thread,
	};

	connection_peer(c.fd, peer);
	slot_connection(t->slot, clock_mono());
	t->engine->serve(t, &c);
	end_child();
	link_served(t);
}

/* pthread_exit in a handler or in thread_init, or the thread was cancelled:
 * what it has would never be answered. The slot still says what that is. */
static void
left(void *arg)
{
	const struct thread *t = arg;

	end_child();
	link_die(
	    EXIT_THREAD, "thread %u: the module ended its thread", t->index);
}

static void *
thread_main(void *arg)
{
	struct thread *t = arg;
	char name[16];
	struct work work;
	int r;

	snprintf(name, sizeof name, "thread:%u", t->index);
	(void)pthread_setname_np(pthread_self(), name);
	slot_hello(t->slot);
	task_thread(t);
	pthread_cleanup_push(left, t);
	r = t->engine->thread_begin(t);
	if (r != 0)
		link_die(r, "thread %u cannot begin", t->index);
	sem_post(&begun);
	while (link_next(t, &work)) {
		if (work.job != NULL)
			do_task(t, work.job);
		else
			do_connection(t, &work);
	}
	pthread_cleanup_pop(0);
	t->engine->thread_end(t);
	return NULL;
}

/* One that can't begin ends the process. */
static void
await_all(void)
{
	for (unsigned i = 0; i < the_link.count; i++) {
		while (sem_wait(&begun) < 0 && errno == EINTR)
			;
	}
}

int
threads_start(void)
{
	pthread_attr_t attr;
	int r;

	if (sem_init(&begun, 0, 0) < 0) {
		log_error("cannot start: %s", strerror(errno));
		return EXIT_MEMORY;
	}
	r = pthread_attr_init(&attr);
	if (r == 0)
		r = pthread_attr_setstacksize(&attr, STACK_SIZE + GUARD_SIZE);
	if (r == 0)
		r = pthread_attr_setguardsize(&attr, GUARD_SIZE);
	for (unsigned i = 0; r == 0 && i < the_link.count; i++) {
		struct thread *t = &the_link.threads[i];

		r = pthread_create(&t->pthread, &attr, thread_main, t);
	}
	if (r == 0) {
		pthread_attr_destroy(&attr);
		await_all();
		return 0;
	}
	log_error("cannot make %u threads: %s", the_link.count, strerror(r));
	return EXIT_MEMORY;
}

void
threads_join(void)
{
	for (unsigned i = 0; i < the_link.count; i++)
		pthread_join(the_link.threads[i].pthread, NULL);
}
