#include "supervisord/base/process.h"

#include <signal.h>
#include <sys/resource.h>

#include "supervisord/base/util.h"

void
process_setup(void)
{
	static const int ignored[] = { SIGINT, SIGQUIT, SIGHUP, SIGTSTP,
		SIGPIPE, SIGUSR1, SIGUSR2, SIGTTOU, SIGXFSZ };
	struct rlimit limit;

	for (size_t i = 0; i < N_ELEMENTS(ignored); i++)
		signal(ignored[i], SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
