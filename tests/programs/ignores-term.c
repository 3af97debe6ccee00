/*
 * ignores-term [SIGNO...]: lives on through TERM, or through the signals
 * named, and says on stdout which came.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
	sigset_t set;
	int signo;

	sigemptyset(&set);
	if (argc < 2)
		sigaddset(&set, SIGTERM);
	for (int i = 1; i < argc; i++)
		sigaddset(&set, atoi(argv[i]));
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		if (sigwait(&set, &signo) != 0)
			continue;
		printf("ignored %d\n", signo);
		fflush(stdout);
	}
}
