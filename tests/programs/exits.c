/* exits CODE [MS]: ends with the status, after MS milliseconds. */
#include <poll.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
	if (argc > 2)
		poll(NULL, 0, atoi(argv[2]));
	return argc > 1 ? atoi(argv[1]) : 0;
}
