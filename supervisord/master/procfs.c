#include "supervisord/master/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/clock.h"

/* What is looked at: processes of an instance, threads of each that may have
 * forked some. */
#define CPU_PROCESSES 256
#define CPU_THREADS   16

static ssize_t
read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t at = 0;

	if (fd < 0)
		return -1;
	while (at + 1 < size) {
		ssize_t n = read(fd, out + at, size - 1 - at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	close(fd);
	out[at] = '\0';
	return (ssize_t)at;
}

uint64_t
procfs_start_ticks(int pid)
{
	char path[64], stat[1024], *s;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (read_file(path, stat, sizeof stat) <= 0)
		return 0;
	/* The second field is a name in parentheses that may hold anything. */
	s = strrchr(stat, ')');
	for (int field = 2; s != NULL && field < 22; field++)
		s = strchr(s + 1, ' ');
	return s != NULL ? strtoull(s + 1, NULL, 10) : 0;
}

int64_t
procfs_resident(int pid)
{
	char path[64], statm[128], *s;

	snprintf(path, sizeof path, "/proc/%d/statm", pid);
	if (read_file(path, statm, sizeof statm) <= 0)
		return 0;
	s = strchr(statm, ' ');
	return s != NULL ? strtoll(s + 1, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

/* Fields 14 to 17: its own and its waited-for children's, in clock ticks. */
static int64_t
cpu_ticks(int pid)
{
	char path[64], stat[1024], *s;
	int64_t sum = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (read_file(path, stat, sizeof stat) <= 0)
		return 0;
	s = strrchr(stat, ')');
	for (int field = 2; s != NULL && field < 17; field++) {
		s = strchr(s + 1, ' ');
		if (s != NULL && field >= 13)
			sum += strtoll(s + 1, NULL, 10);
	}
	return sum;
}

/* Those the thread has forked, behind the `count` there are. */
static unsigned
add_forked(int pid, const char *thread, int pids[CPU_PROCESSES], unsigned count)
{
	char path[64], list[CPU_PROCESSES * 8], *s = list, *end;

	snprintf(
	    path, sizeof path, "/proc/%d/task/%.16s/children", pid, thread);
	if (read_file(path, list, sizeof list) <= 0)
		return count;
	while (count < CPU_PROCESSES) {
		long child = strtol(s, &end, 10);

		if (end == s || child <= 0)
			break;
		pids[count++] = (int)child;
		s = end;
	}
	return count;
}

static unsigned
add_children(int pid, int pids[CPU_PROCESSES], unsigned count)
{
	char path[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	dir = opendir(path);
	if (dir == NULL)
		return count;
	for (unsigned i = 0; i < CPU_THREADS && (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		count = add_forked(pid, e->d_name, pids, count);
		i++;
	}
	closedir(dir);
	return count;
}

int64_t
procfs_cpu(int pid)
{
	int pids[CPU_PROCESSES] = { pid };
	unsigned count = 1;
	int64_t sum = 0;

	for (unsigned i = 0; i < count; i++) {
		sum += cpu_ticks(pids[i]);
		count = add_children(pids[i], pids, count);
	}
	return sum * (NS_PER_SEC / sysconf(_SC_CLK_TCK));
}

void
procfs_boot_id(char *out, size_t size)
{
	if (read_file("/proc/sys/kernel/random/boot_id", out, size) < 0)
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

bool
procfs_environ(int pid, const char *name, char *out, size_t size)
{
	size_t room = 256 << 10, length = strlen(name);
	char path[64], *env = malloc(room);
	bool found = false;
	ssize_t n;

	if (env == NULL)
		return false;
	snprintf(path, sizeof path, "/proc/%d/environ", pid);
	n = read_file(path, env, room);
	for (char *s = env; n > 0 && s < env + n; s += strlen(s) + 1) {
		if (strncmp(s, name, length) == 0 && s[length] == '=') {
			snprintf(out, size, "%s", s + length + 1);
			found = true;
			break;
		}
	}
	free(env);
	return found;
}

bool
procfs_is_session_leader(int pid)
{
	return getsid(pid) == pid;
}

bool
procfs_is_ours(int pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d", pid);
	return stat(path, &st) == 0 && st.st_uid == geteuid();
}

int
procfs_self(void)
{
	return (int)getpid();
}

void
procfs_each(void (*each)(int pid, void *arg), void *arg)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		int pid = atoi(e->d_name);

		if (pid > 0)
			each(pid, arg);
	}
	closedir(dir);
}
