/*
 * envdump [ARG...]: writes its directory, umask, arguments and environment to
 * stdout, then waits for a signal.
 */
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char directory[PATH_MAX];
	mode_t mask = umask(0);

	umask(mask);
	printf("pid=%d ppid=%d sid=%d pgid=%d\n", (int)getpid(), (int)getppid(),
	    (int)getsid(0), (int)getpgrp());
	printf("cwd=%s\n", getcwd(directory, sizeof(directory)));
	printf("umask=%04o\n", (unsigned)mask);
	for (int i = 0; i < argc; i++)
		printf("argv[%d]=%s\n", i, argv[i]);
	for (char **e = environ; *e != NULL; e++)
		printf("env %s\n", *e);
	printf("end\n");
	fflush(stdout);
	for (;;)
		pause();
}
