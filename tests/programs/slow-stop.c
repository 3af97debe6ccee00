/* slow-stop MS: on TERM takes MS milliseconds to end, with status 0. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready\n");
	fflush(stdout);
	sigwait(&set, &signo);
	printf("stopping\n");
	fflush(stdout);
	poll(NULL, 0, argc > 1 ? atoi(argv[1]) : 1000);
	return 0;
}
