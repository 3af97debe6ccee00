/*
 * supervisord, the guardian: the parent of every worker. It launches what the
 * master asks for, reaps and reports, keeps descriptors, and starts the master,
 * the logger and the broker again when they end. It decides nothing, parses
 * nothing and allocates nothing, so that it is the one process that need never
 * end.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "supervisord/guardian/guardian.h"
#include "supervisord/guardian/init.h"
#include "supervisord/guardian/run.h"

static const char usage[] =
    "usage: supervisord [-c FILE] [--check] [--daemon]\n"
    "       supervisord --init [OPTION...] -- COMMAND [ARG...]\n"
    "\n"
    "Runs and supervises the fleet of workers that FILE describes.\n"
    "\n"
    "  -c FILE          the config; else ./supervisord.cfg, then\n"
    "                   /etc/supervisord/supervisord.cfg\n"
    "  --check          check the config and exit\n"
    "  --daemon         go to the background once all is set up\n"
    "  --print-run-dir  print the folder of the control socket and exit\n"
    "  --init           be a container's init for one command\n"
    "                   (supervisord --init --help)\n"
    "  -h, --help       this text\n"
    "  -V, --version    the version\n";

static int
has_name(const char *argv0, const char *name)
{
	const char *slash = strrchr(argv0, '/');

	return strcmp(slash != NULL ? slash + 1 : argv0, name) == 0;
}

/* What the master answers alone, without a guardian. */
static int
ask_master(char **argv)
{
	static char path[PATH_MAX];

	snprintf(
	    path, sizeof path, "%.*s/master", PATH_MAX - 32, guardian.helpers);
	execv(path, argv);
	fprintf(
	    stderr, "supervisord: cannot run %s: %s\n", path, strerror(errno));
	return 1;
}

struct options {
	int daemon, ask, help, version;
};

static struct options
parse(int argc, char **argv)
{
	struct options o = { 0, 0, 0, 0 };

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *a = argv[i];

		if (strcmp(a, "-c") == 0)
			i++;
		else if (strcmp(a, "--daemon") == 0)
			o.daemon = 1;
		else if (strcmp(a, "--check") == 0 ||
			 strcmp(a, "--print-run-dir") == 0)
			o.ask = 1;
		else if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0)
			o.help = 1;
		else if (strcmp(a, "-V") == 0 || strcmp(a, "--version") == 0)
			o.version = 1;
	}
	return o;
}

int
main(int argc, char **argv)
{
	struct options options;

	if (argc < 1)
		return 2;
	if (has_name(argv[0], "tini") || has_name(argv[0], "dumb-init") ||
	    (argc > 1 && strcmp(argv[1], "--init") == 0))
		return init_main(argc, argv);
	options = parse(argc, argv);
	if (options.help)
		return fputs(usage, stdout) < 0;
	if (options.version)
		return puts("supervisord " VERSION) < 0;
	if (run_locate(argv) < 0)
		return 1;
	if (options.ask)
		return ask_master(argv);
	if (run_start(options.daemon) < 0)
		return 1;
	run_for_ever();
}
