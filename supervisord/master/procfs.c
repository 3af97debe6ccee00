#include "supervisord/master/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
