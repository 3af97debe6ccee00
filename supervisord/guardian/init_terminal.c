/*
 * Job control as a shell does it, for one job. The terminal is handed to the
 * command's group only while it is ours to give (we are in the foreground),
 * and taken back when the command stops or ends, so that the shell or script
 * that started us can go on reading. All of this relies on TTOU and TTIN being
 * blocked: then tcsetpgrp(3) works from the background as well.
 */

#include "supervisord/guardian/init_int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "supervisord/base/log.h"

/* Not only stdin: a pager at the end of a pipe reads /dev/tty. */
void
init_terminal_find(struct init_terminal *t)
{
	t->given = false;
	t->own = getpgrp();
	for (t->fd = 0; t->fd <= STDERR_FILENO; t->fd++) {
		if (tcgetpgrp(t->fd) >= 0)
			return;
	}
	t->fd = -1;
}

void
init_terminal_give(struct init_terminal *t, pid_t group)
{
	/*
	 * Both are 0 in a new pid namespace whose shell is outside of it; the
	 * terminal may be given then, though it can't be taken back.
	 */
	if (t->fd < 0 || t->given || tcgetpgrp(t->fd) != t->own)
		return;
	t->given = tcsetpgrp(t->fd, group) == 0;
}

void
init_terminal_take(struct init_terminal *t)
{
	if (!t->given)
		return;
	t->given = false;
	if (tcsetpgrp(t->fd, t->own) < 0 && t->own != 0)
		log_debug("cannot take the terminal back: %s", strerror(errno));
}

static void
stop_self(void)
{
	sigset_t tstp;

	/*
	 * TSTP, not STOP: in a group that no shell could ever continue the
	 * kernel discards it, and the command goes on at once, as it would
	 * have without us.
	 */
	sigemptyset(&tstp);
	sigaddset(&tstp, SIGTSTP);
	kill(0, SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &tstp, NULL);
	sigprocmask(SIG_BLOCK, &tstp, NULL);
}

void
init_terminal_stopped(struct init_terminal *t, pid_t group, int signo)
{
	/* With nobody above us, who stopped it shall continue it. */
	if (t->fd < 0 || getpid() == 1 || getsid(0) == getpid())
		return;
	/* It wanted the terminal, and a shell has put us in front meanwhile. */
	if ((signo == SIGTTIN || signo == SIGTTOU) && !t->given)
		init_terminal_give(t, group);
	else
		init_terminal_take(t);
	if (!t->given) {
		stop_self();
		init_terminal_give(t, group);
	}
	kill(-group, SIGCONT);
}

void
init_terminal_leave(void)
{
	static const struct timespec now;
	sigset_t mine, before;
	bool leader = getsid(0) == getpid();

	sigpending(&before);
	if (ioctl(STDIN_FILENO, TIOCNOTTY) < 0) {
		log_debug("no terminal to detach from: %s", strerror(errno));
		return;
	}
	if (!leader)
		return;
	/*
	 * The kernel tells the group of a leader that detaches with HUP and
	 * CONT. These are no news for the command: taken off, unless somebody
	 * had sent one before.
	 */
	sigemptyset(&mine);
	if (!sigismember(&before, SIGHUP))
		sigaddset(&mine, SIGHUP);
	if (!sigismember(&before, SIGCONT))
		sigaddset(&mine, SIGCONT);
	while (sigtimedwait(&mine, NULL, &now) > 0)
		;
	log_debug("detached from the terminal");
}
