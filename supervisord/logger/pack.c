#include "supervisord/logger/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "supervisord/base/log.h"
#include "supervisord/logger/rotate.h"
#include "supervisord/logger/sink.h"

#define IDLE_IO (3 << 13) /* IOPRIO_CLASS_IDLE */

static struct list wanted = { &wanted, &wanted };
static struct sink *running; /* NULL: none, or its sink is gone */
static pid_t child = -1;
static int ended = -1; /* the child holds the other end */

void
pack_want(struct sink *s)
{
	if (!list_linked(&s->pack))
		list_append(&wanted, &s->pack);
}

void
pack_forget(struct sink *s)
{
	list_remove(&s->pack);
	if (running == s)
		running = NULL;
}

int
pack_fd(void)
{
	return ended;
}

static char *
temp_name(const struct sink *s, char *name)
{
	snprintf(name, ROTATE_PATH, "%s.packing", s->key);
	return name;
}

/* --- the child --------------------------------------------------------------
 */

int
pack_file(int from, int to)
{
	static char bytes[128 << 10];
	gzFile z = gzdopen(to, "wb6");
	ssize_t n;

	if (z == NULL)
		return -ENOMEM;
	while ((n = read(from, bytes, sizeof bytes)) > 0) {
		if (gzwrite(z, bytes, (unsigned)n) != (int)n) {
			gzclose(z);
			return -EIO;
		}
	}
	if (n < 0) {
		gzclose(z);
		return -errno;
	}
	return gzclose(z) == Z_OK ? 0 : -EIO;
}

static _Noreturn void
child_main(pid_t parent, int from, int to, int tell)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	/* The pipes' read ends above all: they are not this process's. */
	if (dup2(from, 0) < 0 || dup2(to, 1) < 0 || dup2(tell, 3) < 0)
		_exit(1);
	close_range(4, ~0U, 0);
	(void)setpriority(PRIO_PROCESS, 0, 19);
	(void)syscall(SYS_ioprio_set, 1, 0, IDLE_IO);
	_exit(pack_file(0, 1) == 0 ? 0 : 1);
}

/* --- the logger -------------------------------------------------------------
 */

/* The youngest rotated file that is not compressed; 0: none. */
static unsigned
find(const struct sink *s)
{
	char name[ROTATE_PATH], packed[ROTATE_PATH];
	struct stat st;

	for (unsigned i = 1; i <= s->keep; i++) {
		bool plain, gz;

		rotate_name(name, s->key, i, false);
		rotate_name(packed, s->key, i, true);
		plain = lstat(name, &st) == 0;
		gz = lstat(packed, &st) == 0;
		if (!plain && !gz)
			return 0;
		/* Killed between the rename and this. */
		if (plain && gz)
			(void)unlink(name);
		else if (plain)
			return i;
	}
	return 0;
}

static int
start(struct sink *s, unsigned index)
{
	char name[ROTATE_PATH], temp[ROTATE_PATH];
	int from, to = -1, p[2] = { -1, -1 }, err = 0;
	pid_t self = getpid();

	from =
	    open(rotate_name(name, s->key, index, false), O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return -errno;
	to = open(
	    temp_name(s, temp), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (to < 0 || pipe2(p, O_CLOEXEC) < 0) {
		err = errno;
	} else {
		child = fork();
		if (child == 0)
			child_main(self, from, to, p[1]);
		if (child < 0)
			err = errno;
	}
	close(from);
	if (to >= 0)
		close(to);
	if (p[1] >= 0)
		close(p[1]);
	if (err != 0) {
		if (p[0] >= 0)
			close(p[0]);
		(void)unlink(temp);
		return -err;
	}
	ended = p[0];
	running = s;
	s->pack_index = index;
	return 0;
}

bool
pack_next(void)
{
	char temp[ROTATE_PATH];
	struct sink *s;
	unsigned index;
	int r;

	if (ended >= 0 || list_empty(&wanted))
		return false;
	s = LIST_ENTRY(wanted.next, struct sink, pack);
	list_remove(&s->pack);
	(void)unlink(temp_name(s, temp));
	if ((s->flags & SINK_COMPRESS) == 0)
		return true;
	index = find(s);
	if (index == 0)
		return true;
	r = start(s, index);
	if (r < 0)
		log_warn("%s.%u can't be compressed: %s", s->key, index,
		    strerror(-r));
	return true;
}

void
pack_ended(void)
{
	char name[ROTATE_PATH], packed[ROTATE_PATH], temp[ROTATE_PATH];
	struct sink *s = running;
	int status = 0;

	close(ended);
	ended = -1;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	running = NULL;
	if (s == NULL)
		return; /* FILE.packing goes when the path is used again */
	temp_name(s, temp);
	if (status != 0) {
		log_warn("%s.%u could not be compressed and stays as it is",
		    s->key, s->pack_index);
		(void)unlink(temp);
	} else if (s->pack_index == 0) {
		(void)unlink(temp); /* rotated away meanwhile */
		pack_want(s);
	} else {
		rotate_name(name, s->key, s->pack_index, false);
		rotate_name(packed, s->key, s->pack_index, true);
		if (rename(temp, packed) == 0)
			(void)unlink(name);
		pack_want(s);
	}
	s->pack_index = 0;
}
