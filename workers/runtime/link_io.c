#include "workers/runtime/link_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "supervisord/base/log.h"

/* --- writing --- */

static void
watch_room_locked(bool room)
{
	struct epoll_event e = {
		.events = EPOLLIN | (room ? EPOLLOUT : 0),
		.data.u32 = WATCHED_SOCKET,
	};

	the_link.blocked = room;
	(void)epoll_ctl(the_link.poller, EPOLL_CTL_MOD, the_link.fd, &e);
	if (room && the_link.leader == LEAD_WATCHER)
		link_kick_locked();
}

/* What a module closed may be somebody else's by now: never write there. */
static void
check_socket(void)
{
	struct stat st;

	if (fstat(the_link.fd, &st) == 0 && st.st_ino == the_link.fd_ino &&
	    st.st_dev == the_link.fd_dev)
		return;
	link_closed(the_link.fd, "the task socket");
}

static ssize_t
send_piece(const uint8_t *piece, size_t size)
{
	ssize_t n;

	check_socket();
	do {
		n = send(the_link.fd, piece, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void
io_flush_locked(void)
{
	const uint8_t *piece;
	size_t size;

	if (the_link.flushing || the_link.blocked)
		return;
	the_link.flushing = true;
	while (!the_link.lost &&
	       (piece = outbox_next(&the_link.out, &size)) != NULL) {
		ssize_t n;

		pthread_mutex_unlock(&the_link.mutex);
		n = send_piece(piece, size);
		pthread_mutex_lock(&the_link.mutex);
		if (n >= 0) {
			outbox_took(&the_link.out, (size_t)n);
		} else if (n == -EAGAIN) {
			watch_room_locked(true);
			break;
		} else if (n != -ENOBUFS && n != -ENOMEM) {
			link_lost_locked();
		}
	}
	the_link.flushing = false;
	if (the_link.lost)
		outbox_clear(&the_link.out);
}

void
io_writable(void)
{
	pthread_mutex_lock(&the_link.mutex);
	if (the_link.blocked) {
		watch_room_locked(false);
		io_flush_locked();
	}
	pthread_mutex_unlock(&the_link.mutex);
}

/* --- reading --- */

struct batch {
	struct job *first, *last;
	unsigned count;
};

static struct job *
job_new(const struct frame_task *t)
{
	struct job *j = malloc(sizeof *j + t->size + 1 + t->func_size + 1);
	char *func;

	if (j == NULL)
		link_die(
		    EXIT_MEMORY, "no memory for a task's %zu bytes", t->size);
	*j = (struct job){
		.id = t->id,
		.attempt = t->attempt,
		.timeout_ms = t->timeout_ms,
		.missed = t->missed,
		.is_json = t->is_json,
		.size = t->size,
		.func_size = t->func_size,
	};
	memcpy(j->data, t->payload, t->size);
	j->data[t->size] = '\0';
	func = j->data + t->size + 1;
	memcpy(func, t->func, t->func_size);
	func[t->func_size] = '\0';
	return j;
}

static void
refuse(uint64_t id, const char *why)
{
	pthread_mutex_lock(&the_link.mutex);
	if (!outbox_frame(&the_link.out, WIRE_FAILED, WIRE_FOR_GOOD, 0, id, why,
		strlen(why)))
		link_die(EXIT_MEMORY, "no memory for an answer");
	pthread_mutex_unlock(&the_link.mutex);
}

static void
take_task(const struct frame *frame, struct batch *b)
{
	const struct sv_handler *handler = NULL;
	struct frame_task t;
	struct job *j;
	char why[WIRE_FUNC_MAX + 64];

	if (frames_task(frame, &t) < 0) {
		refuse(frame->head.id, "the task came damaged");
		return;
	}
	if (!the_link.engine->find(t.func, t.func_size, &handler)) {
		snprintf(why, sizeof why, "there is no function \"%.*s\"",
		    (int)t.func_size, t.func);
		refuse(t.id, why);
		return;
	}
	if (handler != NULL && handler->form == SV_JSON && !t.is_json &&
	    t.size > 0) {
		snprintf(why, sizeof why, "function \"%.*s\" takes JSON only",
		    (int)t.func_size, t.func);
		refuse(t.id, why);
		return;
	}
	j = job_new(&t);
	j->handler = handler;
	if (b->last != NULL)
		b->last->next = j;
	else
		b->first = j;
	b->last = j;
	b->count++;
}

/* All that has been received and has no answer in the outbox. */
static void
sync_locked(uint64_t id)
{
	size_t n = 0;
	uint64_t *held = calloc(the_link.queued + the_link.count, sizeof *held);
	struct letter *l = NULL;

	outbox_again(&the_link.out);
	if (held != NULL) {
		for (unsigned i = 0; i < the_link.count; i++) {
			if (the_link.threads[i].job != NULL)
				held[n++] = the_link.threads[i].job->id;
		}
		for (struct job *j = the_link.first; j != NULL; j = j->next)
			held[n++] = j->id;
		l = letter_new(WIRE_SYNC, 0, 0, id, held, n * sizeof *held);
	}
	if (l == NULL)
		link_die(EXIT_MEMORY, "no memory to answer the broker");
	free(held);
	outbox_add(&the_link.out, l);
}

static void
cancel_locked(uint64_t id)
{
	struct job *j;

	for (unsigned i = 0; i < the_link.count; i++) {
		struct thread *t = &the_link.threads[i];

		if (t->job == NULL || t->job->id != id)
			continue;
		__atomic_store_n(&t->cancelled, true, __ATOMIC_RELEASE);
		if (the_link.engine->cancel != NULL)
			the_link.engine->cancel(t);
		return;
	}
	j = link_unqueue_locked(id);
	if (j == NULL)
		return;
	link_answer_locked(WIRE_RETURNED, 0, id, NULL, 0);
	free(j);
}

static void
take_other_locked(const struct frame *frame)
{
	struct job *j;

	switch (frame->head.type) {
	case WIRE_SYNC:
		sync_locked(frame->head.id);
		break;
	case WIRE_CANCEL:
		cancel_locked(frame->head.id);
		break;
	case WIRE_RECALL:
		j = link_unqueue_locked(frame->head.id);
		if (j != NULL)
			link_answer_locked(WIRE_RETURNED, 0, j->id, NULL, 0);
		free(j);
		break;
	case WIRE_DRAIN:
		link_drain_locked(false);
		break;
	default:
		log_debug(
		    "a message of type %u is not known here", frame->head.type);
	}
}

static void
take_frames(void)
{
	struct batch b = { NULL, NULL, 0 };
	struct frame frame;
	int r;

	while ((r = frames_next(&the_link.in, &frame)) > 0) {
		if (frame.head.type == WIRE_TASK) {
			take_task(&frame, &b);
			continue;
		}
		pthread_mutex_lock(&the_link.mutex);
		link_take_locked(b.first, b.last, b.count);
		b = (struct batch){ NULL, NULL, 0 };
		take_other_locked(&frame);
		pthread_mutex_unlock(&the_link.mutex);
	}
	pthread_mutex_lock(&the_link.mutex);
	link_take_locked(b.first, b.last, b.count);
	if (r == -ENOMEM)
		link_die(EXIT_MEMORY, "no memory for a task in pieces");
	if (r < 0) {
		log_error("what comes on the task socket is no frame of the "
			  "protocol; ending when what runs has ended");
		the_link.status = EXIT_BROKEN;
		link_lost_locked();
	}
	pthread_mutex_unlock(&the_link.mutex);
}

void
io_read(void)
{
	size_t room;
	void *to = frames_room(&the_link.in, &room);
	ssize_t n;

	n = recv(the_link.fd, to, room, MSG_DONTWAIT);
	if (n > 0) {
		frames_fill(&the_link.in, (size_t)n);
		take_frames();
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	check_socket();
	pthread_mutex_lock(&the_link.mutex);
	if (!the_link.lost)
		log_info("supervisord is gone: ending when what runs has "
			 "ended");
	link_lost_locked();
	pthread_mutex_unlock(&the_link.mutex);
}
