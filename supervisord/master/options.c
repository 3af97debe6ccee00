#include "supervisord/master/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/load.h"

enum {
	OPT_CHECK = 256,
	OPT_PRINT_RUN_DIR,
	OPT_DAEMON
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "print-run-dir", no_argument, NULL, OPT_PRINT_RUN_DIR },
	{ "daemon", no_argument, NULL, OPT_DAEMON }, /* the guardian's */
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

int
options_parse(struct options *o, int argc, char **argv)
{
	int c;

	memset(o, 0, sizeof *o);
	opterr = 0;
	while (
	    (c = getopt_long(argc, argv, ":c:V", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case OPT_CHECK:
			o->check = true;
			break;
		case OPT_PRINT_RUN_DIR:
			o->print_run_dir = true;
			break;
		case OPT_DAEMON:
			break;
		case 'V':
			o->version = true;
			break;
		case ':':
			fprintf(stderr, "supervisord: %s needs a value\n",
			    argv[optind - 1]);
			return 2;
		default:
			fprintf(stderr,
			    "supervisord: unknown option %s (supervisord --help "
			    "lists them)\n",
			    argv[optind - 1]);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr,
		    "supervisord: unexpected argument \"%s\" (a command to run "
		    "as container init goes behind --init --)\n",
		    argv[optind]);
		return 2;
	}
	return 0;
}

int
options_config_path(const struct options *o, char *out, size_t size)
{
	char *path;

	if (o->config == NULL) {
		if (load_default_path(out, size) == 0)
			return 0;
		fprintf(stderr,
		    "supervisord: no config: neither ./supervisord.cfg nor "
		    "/etc/supervisord/supervisord.cfg is there; name one with "
		    "-c FILE\n");
		return 2;
	}
	path = realpath(o->config, NULL);
	if (path == NULL || strlen(path) >= size) {
		fprintf(stderr, "supervisord: %s: %s\n", o->config,
		    path == NULL ? strerror(errno) : strerror(ENAMETOOLONG));
		free(path);
		return 2;
	}
	memcpy(out, path, strlen(path) + 1);
	free(path);
	return 0;
}
