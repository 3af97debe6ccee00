/*
 * fdlist: writes its open descriptors, limits and signal masks to stdout, then
 * waits for a signal.
 */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int
main(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct rlimit limit;
	sigset_t blocked;
	struct sigaction action;

	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		char path[300], target[PATH_MAX];
		ssize_t n;

		if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(dir))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		printf("fd %s %s\n", e->d_name, target);
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	printf("nofile %llu %llu\n", (unsigned long long)limit.rlim_cur,
	    (unsigned long long)limit.rlim_max);
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (int signo = 1; signo < NSIG; signo++) {
		if (sigismember(&blocked, signo) == 1)
			printf("blocked %d\n", signo);
		if (sigaction(signo, NULL, &action) == 0 &&
		    action.sa_handler == SIG_IGN)
			printf("ignored %d\n", signo);
	}
	printf("end\n");
	fflush(stdout);
	for (;;)
		pause();
}
