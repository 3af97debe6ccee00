/* The options of the three names; each keeps the habits of its namesake. */

#include "supervisord/guardian/init_int.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/units.h"
#include "supervisord/base/util.h"

static const char own_help[] =
    "usage: supervisord --init [options] [--] COMMAND [ARG...]\n"
    "Runs COMMAND as a container's init: forwards signals, reaps orphans, ends\n"
    "with COMMAND's exit status (128+N when signal N killed it).\n"
    "  -g            signals go to COMMAND's whole process group\n"
    "  -s            adopt orphans when not PID 1 (subreaper)\n"
    "  -p SIG        get SIG when the parent dies\n"
    "  -e CODE       exit 0 in place of CODE (may be repeated)\n"
    "  -r SIG:SIG    forward another signal; 0 drops it (may be repeated)\n"
    "  -w            warn of each orphan that is reaped\n"
    "  -v            say more (may be repeated)\n"
    "  -h, --help    this text\n"
    "  --version     the version\n";

static const char tini_help[] =
    "usage: tini [options] COMMAND -- [ARG...] | --version\n"
    "supervisord's init with the options of tini.\n"
    "  -s            adopt orphans when not PID 1 (subreaper)\n"
    "  -p SIGNAL     get SIGNAL when the parent dies\n"
    "  -v            say more (up to three times)\n"
    "  -w            warn of each orphan that is reaped\n"
    "  -g            signals go to COMMAND's whole process group\n"
    "  -e CODE       exit 0 in place of CODE (may be repeated)\n"
    "  -l            the license\n"
    "  -h            this text\n"
    "  --version     the version\n"
    "Environment: TINI_SUBREAPER (as -s), TINI_VERBOSITY (a number, 1 being\n"
    "the default), TINI_KILL_PROCESS_GROUP (as -g).\n";

static const char dumb_help[] =
    "usage: dumb-init [options] COMMAND [ARG...]\n"
    "supervisord's init with the options of dumb-init: COMMAND runs in a\n"
    "session of its own, and signals go to its whole process group.\n"
    "  -c, --single-child   no session, signals go to COMMAND alone\n"
    "  -r, --rewrite S:R    forward signal R in place of S, both 1 to 31;\n"
    "                       R = 0 drops it (may be repeated)\n"
    "  -v, --verbose        say what happens\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "Environment: DUMB_INIT_SETSID=0 (as -c), DUMB_INIT_DEBUG=1 (as -v).\n";

static const char license[] =
    "supervisord is free software under the 2-clause BSD license; the text is\n"
    "in the file LICENSE of its source and in its folder of share/doc.\n";

static const struct habits {
	const char *name;
	const char *help;
	const char *options; /* getopt; '+': stop at the command */
	int usage_status;
	int verbosity;
} habits[] = {
	[INIT_OWN] = { "supervisord", own_help, "+ghsp:e:r:wvV", 2, 1 },
	[INIT_TINI] = { "tini", tini_help, "+ghlsp:e:wv", 1, 1 },
	[INIT_DUMB] = { "dumb-init", dumb_help, "+chr:vV", 1, 1 },
};

static const struct option own_long[] = {
	{ "init", no_argument, NULL, 'i' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
}, tini_long[] = {
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
}, dumb_long[] = {
	{ "single-child", no_argument, NULL, 'c' },
	{ "rewrite", required_argument, NULL, 'r' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
}, *const long_options[] = {
	[INIT_OWN] = own_long,
	[INIT_TINI] = tini_long,
	[INIT_DUMB] = dumb_long,
};

bool
init_is_fault(int signo)
{
	switch (signo) {
	case SIGFPE:
	case SIGILL:
	case SIGSEGV:
	case SIGBUS:
	case SIGABRT:
	case SIGTRAP:
	case SIGSYS:
		return true;
	default:
		return false;
	}
}

static int __attribute__((format(printf, 2, 3)))
refuse(const struct init *o, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", o->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see %s%s -h\n", o->name,
	    o->flavour == INIT_OWN ? " --init" : "");
	return habits[o->flavour].usage_status;
}

static int
take_exit_code(struct init *o, const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 3 || text[digits] != '\0' ||
	    atoi(text) > 255)
		return refuse(o, "-e %s: an exit status is 0 to 255", text);
	o->to_zero[atoi(text)] = true;
	return INIT_GO_ON;
}

static int
take_parent_death(struct init *o, const char *text)
{
	int signo = units_signal(text);

	if (signo < 0)
		return refuse(o, "-p %s: no such signal", text);
	o->parent_death = signo;
	return INIT_GO_ON;
}

/* "TERM:QUIT", "15:3", "HUP:0" */
static int
take_rewrite(struct init *o, const char *text)
{
	const char *colon = strchr(text, ':');
	int last = o->flavour == INIT_DUMB ? 31 : INIT_SIGNALS - 1, from, to;
	char left[16];

	if (colon == NULL || (size_t)(colon - text) >= sizeof left)
		return refuse(o, "-r %s: not of the form SIGNAL:SIGNAL", text);
	memcpy(left, text, (size_t)(colon - text));
	left[colon - text] = '\0';
	from = units_signal(left);
	to = strcmp(colon + 1, "0") == 0 ? 0 : units_signal(colon + 1);
	if (from < 0 || from > last)
		return refuse(o, "-r %s: \"%s\" is no signal from 1 to %d",
		    text, left, last);
	if (to < 0 || to > last)
		return refuse(o,
		    "-r %s: \"%s\" is no signal from 1 to %d, nor 0", text,
		    colon + 1, last);
	if (o->flavour == INIT_OWN &&
	    (from == SIGKILL || from == SIGSTOP || from == SIGCHLD ||
		init_is_fault(from)))
		return refuse(o, "-r %s: %s is never forwarded", text, left);
	o->rewrite[from] = to;
	return INIT_GO_ON;
}

static int
take_option(struct init *o, int option, const char *arg)
{
	switch (option) {
	case 'i':
		return INIT_GO_ON;
	case 'c':
		o->session = o->group = false;
		return INIT_GO_ON;
	case 'g':
		o->group = true;
		return INIT_GO_ON;
	case 's':
		o->subreaper = true;
		return INIT_GO_ON;
	case 'w':
		o->warn_reaped = true;
		return INIT_GO_ON;
	case 'v':
		o->verbosity += o->flavour == INIT_DUMB ? 2 : 1;
		return INIT_GO_ON;
	case 'e':
		return take_exit_code(o, arg);
	case 'p':
		return take_parent_death(o, arg);
	case 'r':
		return take_rewrite(o, arg);
	case 'h':
		fputs(habits[o->flavour].help, stdout);
		return 0;
	case 'l':
		fputs(license, stdout);
		return 0;
	case 'V':
		printf("%s %s%s\n", o->name, VERSION,
		    o->flavour == INIT_OWN ? "" : " (supervisord)");
		return 0;
	default: /* getopt has said what is wrong */
		fputs(habits[o->flavour].help, stderr);
		return habits[o->flavour].usage_status;
	}
}

static bool
env_is(const char *name, const char *value)
{
	const char *set = getenv(name);

	return set != NULL && strcmp(set, value) == 0;
}

static void
take_environment(struct init *o)
{
	const char *verbosity = getenv("TINI_VERBOSITY");

	if (o->flavour == INIT_TINI) {
		o->subreaper |= getenv("TINI_SUBREAPER") != NULL;
		o->group |= getenv("TINI_KILL_PROCESS_GROUP") != NULL;
		if (verbosity != NULL)
			o->verbosity = atoi(verbosity);
	}
	if (o->flavour == INIT_DUMB) {
		if (env_is("DUMB_INIT_SETSID", "0"))
			o->session = o->group = false;
		if (env_is("DUMB_INIT_DEBUG", "1"))
			o->verbosity = 3;
	}
}

static void
start_with_habits(struct init *o, const char *argv0)
{
	const char *base = strrchr(argv0, '/');

	base = base != NULL ? base + 1 : argv0;
	memset(o, 0, sizeof *o);
	if (strcmp(base, "tini") == 0)
		o->flavour = INIT_TINI;
	else if (strcmp(base, "dumb-init") == 0)
		o->flavour = INIT_DUMB;
	o->name = habits[o->flavour].name;
	o->verbosity = habits[o->flavour].verbosity;
	o->session = o->group = o->flavour == INIT_DUMB;
	for (size_t i = 0; i < N_ELEMENTS(o->rewrite); i++)
		o->rewrite[i] = INIT_AS_IS;
}

int
init_options(struct init *o, int argc, char **argv)
{
	static const int terminal_stops[] = { SIGTSTP, SIGTTIN, SIGTTOU };
	int option, status;

	start_with_habits(o, argv[0]);
	while ((option = getopt_long(argc, argv, habits[o->flavour].options,
		    long_options[o->flavour], NULL)) != -1) {
		status = take_option(o, option, optarg);
		if (status != INIT_GO_ON)
			return status;
	}
	take_environment(o);
	if (optind >= argc)
		return refuse(o, "no command given");
	o->command = argv + optind;
	/*
	 * tini's documented form is COMMAND -- ARG. tini itself also looks for
	 * its options behind COMMAND, so that `tini ls -l` shows a license;
	 * that is not followed.
	 */
	if (o->flavour == INIT_TINI && optind + 1 < argc &&
	    strcmp(argv[optind + 1], "--") == 0) {
		argv[optind + 1] = argv[optind];
		o->command++;
	}
	/*
	 * A group without a controlling shell is orphaned: the kernel discards
	 * the stop signals of a terminal for it, so it gets the real thing.
	 */
	for (size_t i = 0; o->session && i < N_ELEMENTS(terminal_stops); i++) {
		if (o->rewrite[terminal_stops[i]] == INIT_AS_IS)
			o->rewrite[terminal_stops[i]] = SIGSTOP;
	}
	return INIT_GO_ON;
}
