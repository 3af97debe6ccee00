/* abort [MS]: dies of SIGABRT. */
#include <poll.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
	if (argc > 1)
		poll(NULL, 0, atoi(argv[1]));
	abort();
}
