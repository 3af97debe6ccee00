#include "supervisord/ctl/find.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisord/base/util.h"
#include "supervisord/ctl/term.h"

extern char **environ;

static void
program_path(struct buf *path)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL) {
			slash[1] = '\0';
			buf_fmt(path, "%ssupervisord", self);
			if (access(buf_text(path), X_OK) == 0)
				return;
		}
	}
	buf_clear(path);
	buf_str(path, "supervisord");
}

static void
read_all(int fd, struct buf *out)
{
	ssize_t n;

	while (buf_reserve(out, 4096)) {
		n = read(fd, out->data + out->size, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		out->size += (size_t)n;
		out->data[out->size] = '\0';
	}
}

int
ctl_run_supervisord(char **argv, struct buf *out, bool both)
{
	posix_spawn_file_actions_t actions;
	int pipefd[2] = { -1, -1 }, status, r;
	struct buf path;
	pid_t pid;

	if (out != NULL && pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	buf_init(&path);
	program_path(&path);
	argv[0] = path.data;
	posix_spawn_file_actions_init(&actions);
	if (out != NULL)
		posix_spawn_file_actions_adddup2(&actions, pipefd[1], 1);
	if (out != NULL && both)
		posix_spawn_file_actions_adddup2(&actions, pipefd[1], 2);
	fflush(stdout);
	r = argv[0] == NULL
		? -ENOMEM
		: -posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	buf_done(&path);
	argv[0] = NULL;
	if (pipefd[1] >= 0)
		close(pipefd[1]);
	if (r == 0 && out != NULL)
		read_all(pipefd[0], out);
	if (pipefd[0] >= 0)
		close(pipefd[0]);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A config's text, empty if it is no plain file of a sane size. */
static void
read_config(const char *config, struct buf *text)
{
	int fd = open(config, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < 1 << 20)
		read_all(fd, text);
	if (text->failed)
		buf_clear(text);
	close(fd);
}

/*
 * True if the config cannot name another run_dir: neither the word nor an
 * include is anywhere in it. Spares the common case the start of two programs,
 * and a config broken meanwhile does not hide the supervisord that runs.
 */
static bool
keeps_default_run_dir(const struct buf *text)
{
	return text->size > 0 &&
	       memmem(text->data, text->size, "run_dir", 7) == NULL &&
	       memmem(text->data, text->size, "include", 7) == NULL;
}

/* Behind the comment or string that starts at p, else p. */
static const char *
skip_quiet(const char *p, const char *end)
{
	const char *close;

	if (*p == '#' || (end - p > 1 && p[0] == '/' && p[1] == '/')) {
		close = memchr(p, '\n', (size_t)(end - p));
		return close != NULL ? close + 1 : end;
	}
	if (end - p > 1 && p[0] == '/' && p[1] == '*') {
		close = memmem(p + 2, (size_t)(end - p - 2), "*/", 2);
		return close != NULL ? close + 2 : end;
	}
	if (*p != '"')
		return p;
	for (p++; p < end && *p != '"'; p++)
		p += *p == '\\';
	return p < end ? p + 1 : end;
}

/* The string given to run_dir at p, if p is there, as it is written. */
static bool
read_run_dir(const char *p, const char *end, struct buf *dir)
{
	static const char blank[] = " \t\r\n", name[] = "run_dir";
	const char *close;

	if ((size_t)(end - p) < sizeof name || memcmp(p, name, 7) != 0)
		return false;
	for (p += 7; p < end && strchr(blank, *p) != NULL; p++)
		continue;
	if (p == end || (*p != '=' && *p != ':'))
		return false;
	for (p++; p < end && strchr(blank, *p) != NULL; p++)
		continue;
	close = p < end ? memchr(p + 1, '"', (size_t)(end - p - 1)) : NULL;
	if (close == NULL || *p != '"' || close == p + 1)
		return false;
	buf_add(dir, p + 1, (size_t)(close - p - 1));
	return strpbrk(buf_text(dir), "\\$\n") == NULL;
}

/*
 * Where the supervisord of a config that cannot be read now was told to be: it
 * runs on, and whoever broke the file wants to see it. A guess, so it counts
 * only if there is a socket.
 */
static bool
guess_socket(struct ctl *ctl, const char *config, const struct buf *text)
{
	const char *p = text->data, *end = p + text->size, *behind;
	const char *slash = strrchr(config, '/');
	bool found = false;
	struct buf dir;

	buf_init(&dir);
	while (p != NULL && p < end && !found && dir.size == 0) {
		behind = skip_quiet(p, end);
		found = behind == p && read_run_dir(p, end, &dir);
		p = behind == p ? p + 1 : behind;
	}
	if (found && buf_text(&dir)[0] != '/' && slash != NULL)
		found = asprintf(&ctl->path, "%.*s/%s/control.sock",
			    (int)(slash - config), config, buf_text(&dir)) > 0;
	else if (found)
		found =
		    asprintf(&ctl->path, "%s/control.sock", buf_text(&dir)) > 0;
	if (found && access(ctl->path, F_OK) < 0) {
		free(ctl->path);
		ctl->path = NULL;
		found = false;
	}
	buf_done(&dir);
	return found;
}

static int
default_socket(struct ctl *ctl, bool system_too)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *path = NULL;
	int n;

	if (geteuid() == 0)
		n = asprintf(&path, "/run/supervisord/control.sock");
	else if (runtime != NULL && runtime[0] == '/')
		n = asprintf(&path, "%s/supervisord/control.sock", runtime);
	else
		n = asprintf(&path, "/tmp/supervisord-%u/control.sock",
		    (unsigned)geteuid());
	if (n < 0)
		return ctl_fail(ctl, CTL_FAILED, "out of memory");
	/* Without one of their own, a user means the machine's. */
	if (system_too && access(path, F_OK) < 0 &&
	    access("/run/supervisord/control.sock", F_OK) == 0) {
		free(path);
		path = strdup("/run/supervisord/control.sock");
	}
	ctl->path = path;
	return 0;
}

static int
ask_supervisord(struct ctl *ctl, const char *config, const struct buf *text)
{
	static const char option[] = "--print-run-dir";
	char *argv[5] = { NULL, strdup(option), strdup("-c"), strdup(config),
		NULL };
	struct buf out;
	int r;

	buf_init(&out);
	r = ctl_run_supervisord(argv, &out, true);
	for (size_t i = 1; i < N_ELEMENTS(argv); i++)
		free(argv[i]);
	while (out.size > 0 && out.data[out.size - 1] == '\n')
		out.data[--out.size] = '\0';
	if (r < 0)
		r = ctl_fail(ctl, CTL_FAILED,
		    "cannot run supervisord to read %s: %s; name the socket with -s",
		    config, strerror(-r));
	else if (r > 0 && guess_socket(ctl, config, text))
		r = 0;
	else if (r > 0) {
		ctl_put_line(stderr, "%s", buf_text(&out));
		r = ctl_fail(ctl, r < 128 ? r : CTL_FAILED,
		    "%s does not say where the control socket is: correct it, or name the socket with -s",
		    config);
	} else if (out.size == 0 || out.data[0] != '/' ||
		   asprintf(&ctl->path, "%s/control.sock", out.data) < 0)
		r = ctl_fail(ctl, CTL_FAILED,
		    "supervisord did not name the run_dir of %s; name the socket with -s",
		    config);
	buf_done(&out);
	return r;
}

static int
socket_of_config(struct ctl *ctl, const char *config)
{
	struct buf text;
	int r;

	buf_init(&text);
	read_config(config, &text);
	if (keeps_default_run_dir(&text))
		r = default_socket(ctl, false);
	else
		r = ask_supervisord(ctl, config, &text);
	buf_done(&text);
	return r;
}

int
ctl_find_socket(struct ctl *ctl)
{
	static const char *const configs[] = { "supervisord.cfg",
		"/etc/supervisord/supervisord.cfg" };
	const char *env = getenv("SUPERVISORCTL_SOCKET");

	if (ctl->socket == NULL && ctl->config != NULL)
		return socket_of_config(ctl, ctl->config);
	if (ctl->socket == NULL && env != NULL && env[0] != '\0')
		ctl->socket = env;
	if (ctl->socket != NULL) {
		ctl->path = strdup(ctl->socket);
		return ctl->path != NULL
			   ? 0
			   : ctl_fail(ctl, CTL_FAILED, "out of memory");
	}
	for (size_t i = 0; i < N_ELEMENTS(configs); i++) {
		if (access(configs[i], R_OK) == 0)
			return socket_of_config(ctl, configs[i]);
	}
	return default_socket(ctl, true);
}
