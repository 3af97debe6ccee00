#include "supervisord/guardian/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAG_BYTE 0x2a

static struct {
	uint64_t prefix;  /* of our tags: all but slot and generation */
	bool no_children; /* the kernel has no list of children */
} proc;

void
tag_init(uint64_t run)
{
	struct rlimit64 limit;
	uint64_t byte = TAG_BYTE;

	/* Under another supervisord only a lower limit can be had. */
	if (prlimit64(0, RLIMIT_RTTIME, NULL, &limit) == 0 &&
	    limit.rlim_max != RLIM64_INFINITY &&
	    limit.rlim_max >> 56 <= TAG_BYTE && limit.rlim_max >> 56 > 1)
		byte = (limit.rlim_max >> 56) - 1;
	proc.prefix = byte << 56 | (run & 0xffff) << 40;
}

uint64_t
tag_of(uint32_t slot, uint32_t gen)
{
	return proc.prefix | (uint64_t)(slot & 0xffff) << 24 | (gen & 0xffffff);
}

bool
tag_read(uint64_t tag, uint32_t *ret_slot, uint32_t *ret_gen)
{
	if ((tag & ~((1ULL << 40) - 1)) != proc.prefix)
		return false;
	*ret_slot = (uint32_t)(tag >> 24) & 0xffff;
	*ret_gen = (uint32_t)tag & 0xffffff;
	return true;
}

static ssize_t
read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	else
		buf[n] = '\0';
	close(fd);
	return n;
}

/* Another user's limits can't be asked for, but they can be read. */
static uint64_t
tag_from_text(pid_t pid)
{
	static const char row[] = "Max realtime timeout";
	char path[40], text[2048], *at;

	snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
	if (read_file(path, text, sizeof text) <= 0)
		return 0;
	at = strstr(text, row);
	return at != NULL ? strtoull(at + sizeof row - 1, NULL, 10) : 0;
}

uint64_t
proc_tag(pid_t pid)
{
	struct rlimit64 limit;

	if (prlimit64(pid, RLIMIT_RTTIME, NULL, &limit) == 0) {
		return limit.rlim_cur != RLIM64_INFINITY ? limit.rlim_cur : 0;
	}
	return errno == EPERM ? tag_from_text(pid) : 0;
}

int
proc_start_ticks(pid_t pid, uint64_t *ret)
{
	char path[40], text[1024], *at;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	n = read_file(path, text, sizeof text);
	if (n < 0)
		return (int)n;
	/* Field 2, the name, may hold anything; field 3 follows its last ')'.
	 */
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return -EPROTO;
	*ret = strtoull(at + 1, NULL, 10);
	return 0;
}

bool
proc_mounted(void)
{
	return access("/proc/self/stat", R_OK) == 0;
}

static char buffer[32768];

/* "123 456 ", in pieces that may end within a number. */
static int
each_child(void (*each)(pid_t pid))
{
	char path[64];
	pid_t pid = 0;
	ssize_t n;
	int fd, error = 0;

	snprintf(
	    path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buffer, sizeof buffer)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buffer[i] >= '0' && buffer[i] <= '9') {
				pid = pid * 10 + (buffer[i] - '0');
			} else if (pid > 0) {
				each(pid);
				pid = 0;
			}
		}
	}
	if (n < 0)
		error = -errno;
	else if (pid > 0)
		each(pid);
	close(fd);
	return error;
}

struct dirent_head { /* struct linux_dirent64 of getdents64(2) */
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static int
each_process(void (*each)(pid_t pid))
{
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = 0;
	long n;

	if (fd < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
		for (long at = 0; at < n;) {
			struct dirent_head *d = (void *)(buffer + at);
			long pid = strtol(d->name, NULL, 10);

			if (pid > 0 && pid != getpid())
				each((pid_t)pid);
			at += d->size;
		}
	}
	if (n < 0)
		error = -errno;
	close(fd);
	return error;
}

int
proc_each(bool all, void (*each)(pid_t pid))
{
	if (!all && !proc.no_children) {
		int error = each_child(each);

		if (error != -ENOENT && error != -ENOTDIR)
			return error;
		proc.no_children = true;
	}
	return each_process(each);
}
