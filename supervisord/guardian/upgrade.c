#include "supervisord/guardian/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/log.h"
#include "supervisord/base/util.h"
#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/helpers.h"
#include "supervisord/guardian/hybrid.h"
#include "supervisord/guardian/keep.h"
#include "supervisord/guardian/loop.h"
#include "supervisord/guardian/news.h"
#include "supervisord/guardian/spawn.h"
#include "supervisord/guardian/table.h"
#include "supervisord/guardian/tree.h"

#define MAGIC     0x64726175675f7075ULL
#define ENV_NAME  "SUPERVISORD_RESUME"
#define ENV_MOST  4096
#define TRY_AGAIN NS_PER_MS
#define TRIES     1000

/*
 * The memfd: a head, then so many children, then so many keeps. Each kind of
 * record says its size, fields are only ever added at the end, and what a
 * record lacks is zero: so programs of different age understand each other.
 */
struct saved_head {
	uint64_t magic;
	uint32_t head_size, child_size, kept_size;
	uint32_t children, kept;
	int32_t report_fd;
	int32_t master_pid, master_channel;
	int32_t logger_pid, logger_channel;
	uint32_t master_starts, logger_starts;
	int32_t ready_fd;
	uint32_t ready;
	uint32_t log_level, log_json;
	uint64_t run;
	uint64_t last_pipe_id;
	int64_t started_wall_ms;
	uint64_t nofile_cur, nofile_max;
	struct news_saved news;
	int32_t broker_pid;
	int32_t broker_channel; /* 0: none, as an older program leaves it */
	uint32_t broker_starts, broker_wanted;
};

struct saved_child {
	struct msg_child child;
	int32_t pidfd;
	uint32_t acked;
	uint32_t tree_watched;
	uint32_t tree_sign;
	uint32_t threads; /* 0: none of the two that follow */
	int32_t task_fd, memory_fd;
	uint32_t pad;
};

struct saved_kept {
	char name[PROTO_NAME];
	uint64_t id;
	int32_t fd, write_fd;
	uint32_t flags;
	uint32_t pad;
};

static unsigned tries;
static int resume_fd = -1;
static struct saved_head head;

bool
upgrade_under_way(void)
{
	return tries > 0;
}

static int
put(int fd, const void *record, size_t size)
{
	ssize_t n = write(fd, record, size);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOSPC;
}

static int
put_children(int fd)
{
	int error = 0;

	for (uint32_t i = 0; error == 0 && i < table_used(); i++) {
		const struct slot *s = &table_slots[i];
		struct saved_child c = { .child = s->child,
			.pidfd = s->pidfd,
			.acked = s->acked,
			.tree_watched = s->tree != 0,
			.tree_sign = s->tree_sign,
			.threads = s->threads,
			.task_fd = s->task_fd,
			.memory_fd = s->memory_fd };

		c.child.slot = i;
		error = put(fd, &c, sizeof c);
	}
	return error;
}

static int
put_keeps(int fd)
{
	const struct kept *k;
	int error = 0;

	for (uint32_t i = 0; error == 0 && (k = keep_next(i)) != NULL;
	     i = keep_index(k) + 1) {
		struct saved_kept out = { .id = k->id,
			.fd = k->fd,
			.write_fd = k->write_fd,
			.flags = k->flags };

		memcpy(out.name, k->name, sizeof out.name);
		error = put(fd, &out, sizeof out);
	}
	return error;
}

static uint32_t
count_keeps(void)
{
	const struct kept *k;
	uint32_t n = 0;

	for (uint32_t i = 0; (k = keep_next(i)) != NULL; i = keep_index(k) + 1)
		n++;
	return n;
}

static void
fill_head(void)
{
	head = (struct saved_head){ .magic = MAGIC,
		.head_size = sizeof head,
		.child_size = sizeof(struct saved_child),
		.kept_size = sizeof(struct saved_kept),
		.children = table_used(),
		.kept = count_keeps(),
		.report_fd = spawn_report_fd(),
		.master_pid = master.pid,
		.master_channel = master.channel,
		.logger_pid = logger.pid,
		.logger_channel = logger.channel,
		.master_starts = master.starts,
		.logger_starts = logger.starts,
		.broker_pid = broker.pid,
		.broker_channel = MAX_OF(broker.channel, 0),
		.broker_starts = broker.starts,
		.broker_wanted = broker.wanted,
		.ready_fd = guardian.ready_fd,
		.ready = guardian.ready,
		.log_level = guardian.log_level,
		.log_json = guardian.log_json,
		.run = guardian.run,
		.last_pipe_id = keep_last_id(),
		.started_wall_ms = guardian.started_wall_ms,
		.nofile_cur = guardian.nofile.rlim_cur,
		.nofile_max = guardian.nofile.rlim_max };
	news_save(&head.news);
}

static int
save(void)
{
	int fd = loop_move_up(memfd_create("supervisord", MFD_CLOEXEC));
	int error;

	if (fd < 0)
		return fd;
	fill_head();
	error = put(fd, &head, sizeof head);
	if (error == 0)
		error = put_children(fd);
	if (error == 0)
		error = put_keeps(fd);
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

static void
set_cloexec(int fd, bool on)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0);
}

/* Every descriptor that goes over. */
static void
set_all_cloexec(const struct saved_head *h, bool on)
{
	const struct kept *k;

	set_cloexec(h->report_fd, on);
	set_cloexec(h->master_channel, on);
	set_cloexec(h->logger_channel, on);
	if (h->broker_channel > 0)
		set_cloexec(h->broker_channel, on);
	set_cloexec(h->ready_fd, on);
	for (uint32_t i = 0; (k = keep_next(i)) != NULL;
	     i = keep_index(k) + 1) {
		set_cloexec(k->fd, on);
		set_cloexec(k->write_fd, on);
	}
	for (uint32_t i = 0; i < table_used(); i++) {
		set_cloexec(table_slots[i].pidfd, on);
		set_cloexec(table_slots[i].task_fd, on);
		set_cloexec(table_slots[i].memory_fd, on);
	}
}

static int
become_new(int fd)
{
	static char resume[sizeof ENV_NAME + 16];
	static char *env[ENV_MOST];
	size_t n = 0;

	for (char **e = environ; *e != NULL; e++) {
		if (n + 2 >= ENV_MOST)
			return -E2BIG;
		env[n++] = *e;
	}
	snprintf(resume, sizeof resume, ENV_NAME "=%d", fd);
	env[n++] = resume;
	env[n] = NULL;
	set_cloexec(fd, false);
	set_all_cloexec(&head, false);
	execve(guardian.exe, guardian.argv, env);
	return -errno;
}

/* All that can be seen to be wrong beforehand. */
static int
check(void)
{
	static char folder[PATH_MAX];

	if (access(guardian.exe, X_OK) < 0)
		return -errno;
	return guardian_find_helpers(guardian.exe, folder, sizeof folder);
}

static void
upgrade_now(void)
{
	int error = check(), fd = -1;

	tries = 0;
	if (error == 0) {
		fd = save();
		error = fd < 0 ? fd : 0;
	}
	if (error == 0) {
		log_info("becoming %s", guardian.exe);
		error = become_new(fd);
		set_all_cloexec(&head, true);
	}
	if (fd >= 0)
		close(fd);
	log_error(
	    "cannot become %s: %s", guardian.exe, strerrordesc_np(-error));
	news_not_upgraded(error);
}

void
upgrade_again(void)
{
	/* A launch still shares the descriptors: it won't for long. */
	if (spawn_tidy() && tries++ < TRIES)
		loop_timer(TIMER_UPGRADE, clock_mono() + TRY_AGAIN);
	else
		upgrade_now();
}

void
upgrade(void)
{
	tries = 1;
	upgrade_again();
}

/* Reads a record of `size` bytes into one that may be of another age. */
static bool
get(void *record, size_t room, uint32_t size)
{
	size_t known = MIN_OF(room, size);

	memset(record, 0, room);
	if (read(resume_fd, record, known) != (ssize_t)known)
		return false;
	return size == known ||
	       lseek(resume_fd, (off_t)(size - known), SEEK_CUR) >= 0;
}

static bool
get_head(void)
{
	uint32_t size;

	if (pread(resume_fd, &size, sizeof size,
		offsetof(struct saved_head, head_size)) != sizeof size)
		return false;
	return get(&head, sizeof head, size) && head.magic == MAGIC;
}

bool
upgrade_resume(int *ret_report_fd)
{
	const char *text = getenv(ENV_NAME);

	if (text == NULL)
		return false;
	resume_fd = atoi(text);
	unsetenv(ENV_NAME);
	if (resume_fd <= 2 || lseek(resume_fd, 0, SEEK_SET) < 0 || !get_head())
		return false;
	set_cloexec(resume_fd, true);
	set_all_cloexec(&head, true);
	guardian.run = head.run;
	guardian.started_wall_ms = head.started_wall_ms;
	guardian.ready = head.ready != 0;
	guardian.ready_fd = head.ready_fd;
	guardian.log_level = head.log_level;
	guardian.log_json = head.log_json != 0;
	guardian.nofile.rlim_cur = head.nofile_cur;
	guardian.nofile.rlim_max = head.nofile_max;
	*ret_report_fd = head.report_fd;
	return true;
}

static void
restore_child(const struct saved_child *c)
{
	struct slot *s = table_restore(&c->child);

	if (s == NULL)
		return;
	s->acked = c->acked != 0;
	if (c->child.state == CHILD_ALIVE &&
	    (c->child.flags & CHILD_ADOPTED) != 0) {
		s->pidfd = c->pidfd;
		set_cloexec(s->pidfd, true);
		(void)loop_watch(
		    s->pidfd, WATCH_ADOPTED, c->child.slot, EPOLLIN);
	}
	if (c->child.state != 0 && c->threads > 0) {
		set_cloexec(c->task_fd, true);
		set_cloexec(c->memory_fd, true);
		hybrid_restore(s, c->threads, c->task_fd, c->memory_fd);
	}
	if (c->child.state != 0 && c->tree_watched) {
		struct msg_tree again = { c->child.slot, c->child.gen,
			(int32_t)c->tree_sign, 0 };

		tree_request(&again);
	} else if (c->child.state != 0) {
		news_free_if_done(s);
	}
}

static bool
restore_kept(void)
{
	struct saved_kept in;
	struct kept k = { .fd = -1 };

	if (!get(&in, sizeof in, head.kept_size))
		return false;
	memcpy(k.name, in.name, sizeof k.name - 1);
	k.id = in.id;
	k.fd = in.fd;
	k.write_fd = in.write_fd;
	k.flags = (uint16_t)in.flags;
	set_cloexec(k.fd, true);
	set_cloexec(k.write_fd, true);
	return keep_restore(&k) == 0;
}

void
upgrade_restore(void)
{
	bool whole = true;

	for (uint32_t i = 0; whole && i < head.children; i++) {
		struct saved_child c;

		whole = get(&c, sizeof c, head.child_size);
		if (whole)
			restore_child(&c);
	}
	table_restored();
	for (uint32_t i = 0; whole && i < head.kept; i++)
		whole = restore_kept();
	if (!whole)
		log_error("what the old program left is not complete");
	close(resume_fd);
	keep_set_last_id(head.last_pipe_id);
	news_restore(&head.news);
	master.starts = head.master_starts;
	logger.starts = head.logger_starts;
	broker.starts = head.broker_starts;
	broker.wanted = head.broker_wanted != 0;
	helper_replace(&master, head.master_pid, head.master_channel);
	helper_replace(&logger, head.logger_pid, head.logger_channel);
	helper_replace(&broker, head.broker_pid,
	    head.broker_channel > 0 ? head.broker_channel : -1);
}
