/*
 * The story of a container init. Every signal is blocked before the command
 * exists and taken with sigwaitinfo(2), so none is lost however early it comes;
 * vfork(2) returns only once the command has been exec'ed, so none reaches a
 * half-made child. The command itself gets mask and dispositions back as they
 * were.
 */

#include "supervisord/guardian/init.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/log.h"
#include "supervisord/base/units.h"
#include "supervisord/base/util.h"
#include "supervisord/guardian/init_int.h"

struct running {
	const struct init *o;
	struct init_terminal terminal;
	sigset_t taken;    /* the signals sigwaitinfo waits for */
	sigset_t old_mask; /* for the command */
	struct sigaction old_chld;
	pid_t pid;          /* the command's */
	volatile int error; /* written by the vfork'ed child: why no exec */
	const char *volatile failed; /* ... and what it could not do */
};

static void
hold_signals(struct running *r)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };

	/* A fault stays what it is: the end of the one who gets it. */
	sigfillset(&r->taken);
	for (int signo = 1; signo < INIT_SIGNALS; signo++) {
		if (r->o->flavour != INIT_DUMB && init_is_fault(signo))
			sigdelset(&r->taken, signo);
	}
	sigprocmask(SIG_SETMASK, &r->taken, &r->old_mask);
	/* Ignored, as some parents leave it, children would reap themselves. */
	sigaction(SIGCHLD, &plain, &r->old_chld);
}

static bool
cannot(const struct init *o, const char *what)
{
	fprintf(stderr, "%s: cannot %s: %s\n", o->name, what, strerror(errno));
	return false;
}

/* Who tells us of the parent's death, and who gives us its orphans. */
static bool
tie_to_family(const struct init *o, pid_t parent)
{
	int reaps = 0;

	if (o->parent_death != 0) {
		if (prctl(PR_SET_PDEATHSIG, o->parent_death) < 0)
			return cannot(
			    o, "ask for a signal at its parent's death");
		if (getppid() != parent) /* too late: it is dead already */
			kill(getpid(), o->parent_death);
	}
	if (o->subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return cannot(o, "become a subreaper");
	(void)prctl(PR_GET_CHILD_SUBREAPER, &reaps);
	if (o->flavour != INIT_DUMB && getpid() != 1 && reaps == 0)
		log_warn("neither PID 1 nor a subreaper: orphans will not be "
			 "reaped here; use -s");
	return true;
}

/* Between vfork and exec: system calls only, and *r is the parent's. */
static void
become_command(struct running *r)
{
	const struct init *o = r->o;

	if (o->session) {
		if (setsid() < 0) {
			r->failed = "start a session for the command";
			r->error = errno;
			return;
		}
		(void)ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	} else if (o->flavour != INIT_DUMB) {
		(void)setpgid(0, 0);
		init_terminal_give(&r->terminal, getpgrp());
	}
	sigaction(SIGCHLD, &r->old_chld, NULL);
	sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
	execvp(o->command[0], o->command);
	r->error = errno;
}

/*
 * The file that PATH has for the name, though it could not be run. execvp(3)
 * says EACCES too when a folder of PATH may not be searched, and nothing is
 * there at all.
 */
static bool
found_in_path(const char *name, char *out, size_t size)
{
	const char *at = getenv("PATH"), *end;
	struct stat st;

	for (; at != NULL; at = *end != '\0' ? end + 1 : NULL) {
		end = strchrnul(at, ':');
		snprintf(out, size, "%.*s/%s", (int)(end - at), at, name);
		if (stat(out, &st) == 0 && !S_ISDIR(st.st_mode))
			return true;
	}
	return false;
}

/* Why the command could not be run, and what to do. */
static const char *
reason(int error, const char *name, const char *file)
{
	struct stat st;

	if (name[0] == '\0')
		return "the command is empty";
	if (file == NULL)
		return "it is in no folder of PATH; correct the name, or give "
		       "the full path";
	if (error == ENOENT && stat(file, &st) == 0)
		return "the file is there, but not the interpreter it names "
		       "(its #! line, or its ELF loader)";
	if (error == ENOENT)
		return "no such file; correct the path";
	if (stat(file, &st) == 0 && S_ISDIR(st.st_mode))
		return "it is a folder; name a program in it";
	if (error == EACCES)
		return "not executable; chmod +x it, and check the rights of "
		       "the folders above it";
	return strerror(error);
}

/* Says why the command could not be run. Returns the exit status for it. */
static int
explain(const struct running *r)
{
	const char *name = r->o->command[0], *file = name;
	static char found[4096];
	int error = r->error;

	if (r->failed != NULL) {
		errno = error;
		(void)cannot(r->o, r->failed);
		return 1;
	}
	if (strchr(name, '/') == NULL) {
		file = found_in_path(name, found, sizeof found) ? found : NULL;
		error = file == NULL ? ENOENT : error;
	}
	fprintf(stderr, "%s: cannot run \"%s\": %s\n", r->o->name,
	    file != NULL ? file : name, reason(error, name, file));
	return error == ENOENT || error == ENOTDIR ? 127 : 126;
}

static int
start_command(struct running *r)
{
	/* NOLINTBEGIN(*Vfork,*vfork): to wait for the exec is the point */
	pid_t pid = vfork();

	if (pid == 0) {
		become_command(r);
		_exit(127);
	}
	/* NOLINTEND(*Vfork,*vfork) */
	if (pid < 0) {
		fprintf(stderr, "%s: cannot make a process for \"%s\": %s\n",
		    r->o->name, r->o->command[0], strerror(errno));
		return 1;
	}
	r->pid = pid;
	if (r->error != 0) {
		waitpid(pid, NULL, 0);
		init_terminal_take(&r->terminal);
		return explain(r);
	}
	log_info("started \"%s\" as pid %d", r->o->command[0], (int)r->pid);
	/* So that the folder we were started in can be unmounted. */
	if (chdir("/") < 0)
		log_debug("cannot change to /: %s", strerror(errno));
	return INIT_GO_ON;
}

static void
forward(struct running *r, int signo)
{
	char text[UNITS_TEXT];
	int to =
	    r->o->rewrite[signo] == INIT_AS_IS ? signo : r->o->rewrite[signo];

	units_signal_name(signo, text, sizeof text);
	if (to == 0) {
		log_debug("%s dropped", text);
		return;
	}
	log_debug("%s forwarded as signal %d", text, to);
	if (kill(r->o->group ? -r->pid : r->pid, to) < 0 && errno != ESRCH)
		log_warn("cannot forward %s: %s", text, strerror(errno));
}

static void
take_signal(struct running *r, const siginfo_t *info)
{
	int signo = info->si_signo;
	bool stop = signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;

	/* Made by our own writing into a pipe or terminal nobody reads. */
	if (signo == SIGPIPE && info->si_pid == getpid())
		return;
	if (r->o->flavour != INIT_DUMB &&
	    (signo == SIGTTIN || signo == SIGTTOU))
		return;
	forward(r, signo);
	if (stop && r->o->flavour == INIT_DUMB)
		kill(getpid(), SIGSTOP);
	/* A shell may have put us in front again. */
	if (signo == SIGCONT && r->o->flavour != INIT_DUMB)
		init_terminal_give(&r->terminal, r->pid);
}

/* "exited 3" or "killed by SIGTERM"; returns the exit status a shell gives. */
static int
outcome(int status, char *text, size_t size)
{
	char name[UNITS_TEXT];

	if (WIFEXITED(status)) {
		snprintf(text, size, "exited %d", WEXITSTATUS(status));
		return WEXITSTATUS(status);
	}
	snprintf(text, size, "killed by %s",
	    units_signal_name(WTERMSIG(status), name, sizeof name));
	return (128 + WTERMSIG(status)) & 0xff;
}

/* Reaps all there is. The exit status once the command has ended, else -1. */
static int
reap(struct running *r)
{
	int flags = WNOHANG, status, code, result = INIT_GO_ON;
	char text[64];
	pid_t pid;

	if (r->o->flavour != INIT_DUMB && r->terminal.fd >= 0)
		flags |= WUNTRACED;
	while ((pid = waitpid(-1, &status, flags)) > 0) {
		if (WIFSTOPPED(status)) {
			if (pid == r->pid)
				init_terminal_stopped(
				    &r->terminal, pid, WSTOPSIG(status));
			continue;
		}
		code = outcome(status, text, sizeof text);
		if (pid == r->pid) {
			log_info("pid %d %s", (int)pid, text);
			result = code;
		} else if (r->o->warn_reaped) {
			log_warn("reaped orphan pid %d (%s)", (int)pid, text);
		} else {
			log_debug("reaped pid %d (%s)", (int)pid, text);
		}
	}
	return result;
}

static int
run_until_it_ends(struct running *r)
{
	int status = INIT_GO_ON;
	siginfo_t info;

	while (status == INIT_GO_ON) {
		if (sigwaitinfo(&r->taken, &info) < 0)
			continue; /* EINTR: continued after a stop */
		if (info.si_signo == SIGCHLD)
			status = reap(r);
		else
			take_signal(r, &info);
	}
	init_terminal_take(&r->terminal);
	/* What is left of its group is told, as dumb-init does. */
	if (r->o->flavour == INIT_DUMB && r->o->group)
		forward(r, SIGTERM);
	return r->o->to_zero[status] ? 0 : status;
}

int
init_main(int argc, char **argv)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR,
		LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
	static struct init o;
	static struct running r = { .o = &o, .terminal = { .fd = -1 } };
	pid_t parent = getppid();
	int status;

	status = init_options(&o, argc, argv);
	if (status != INIT_GO_ON)
		return status;
	log_init(o.flavour == INIT_OWN ? "init" : o.name);
	log_setup(levels[MAX_OF(0, MIN_OF(o.verbosity, 3))], false, -1);

	hold_signals(&r);
	if (!tie_to_family(&o, parent))
		return 1;
	if (o.session)
		init_terminal_leave();
	else if (o.flavour != INIT_DUMB)
		init_terminal_find(&r.terminal);
	status = start_command(&r);
	if (status != INIT_GO_ON)
		return status;
	return run_until_it_ends(&r);
}
