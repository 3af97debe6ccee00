/* segv [MS]: writes a last line to stderr, then dies of SIGSEGV. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	static const char words[] = "about to touch what is not mine\n";

	if (argc > 1)
		poll(NULL, 0, atoi(argv[1]));
	if (write(2, words, sizeof(words) - 1) < 0)
		return 1;
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
	return 1;
}
