/*
 * Preloaded into a program: its allocations fail when the file named by
 * NOMEMORY_FILE says so (struct control, mapped), in the program named by
 * NOMEMORY_PROGRAM alone. A test says how many go well first and how many fail
 * then, and sees whether it came to that. With NOMEMORY_TRACE in the
 * environment the place of each goes to standard error, and that of a crash.
 *
 * libconfig is spared: it can't do without (config/read.c).
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

struct control {
	int64_t well;   /* so many more; below 0: all */
	int64_t fail;   /* so many behind them; then all go well */
	int64_t failed; /* so many have */
};

static struct control *control;
static __thread int spared;
static int traced;

static void
tell_place(void)
{
	void *places[16];

	backtrace_symbols_fd(places, backtrace(places, 16), 2);
}

static void
crashed(int signo)
{
	tell_place();
	signal(signo, SIG_DFL);
	raise(signo);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("NOMEMORY_FILE");
	const char *program = getenv("NOMEMORY_PROGRAM");
	void *at;
	int fd;

	if (path == NULL || program == NULL ||
	    strcmp(program_invocation_short_name, program) != 0)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	at = mmap(
	    NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	traced = getenv("NOMEMORY_TRACE") != NULL;
	if (traced) {
		void *first;

		(void)backtrace(&first, 1); /* it loads what it needs now */
		signal(SIGSEGV, crashed);
		signal(SIGABRT, crashed);
	}
	if (at != MAP_FAILED)
		control = at;
}

static int
fails(void)
{
	struct control *c = control;

	if (c == NULL || spared > 0 ||
	    __atomic_load_n(&c->well, __ATOMIC_ACQUIRE) < 0)
		return 0;
	if (__atomic_fetch_sub(&c->well, 1, __ATOMIC_ACQ_REL) > 0)
		return 0;
	if (__atomic_sub_fetch(&c->fail, 1, __ATOMIC_ACQ_REL) > 0)
		__atomic_store_n(&c->well, 0, __ATOMIC_RELEASE);
	__atomic_add_fetch(&c->failed, 1, __ATOMIC_ACQ_REL);
	if (traced)
		tell_place();
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}

void
config_init(void *config)
{
	void (*real)(void *) = dlsym(RTLD_NEXT, "config_init");

	spared++;
	real(config);
	spared--;
}

int
config_read_string(void *config, const char *text)
{
	int (*real)(void *, const char *) =
	    dlsym(RTLD_NEXT, "config_read_string");
	int r;

	spared++;
	r = real(config, text);
	spared--;
	return r;
}
