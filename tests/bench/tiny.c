/*
 * The smallest worker: its first instruction reads the clock, it writes
 * {monotonic ns, pid} to the FIFO named in BENCH_FIFO, and waits to be killed.
 * With an argument it is the smallest command of a task instead: it writes what
 * it reads, up to 4 KiB, and ends.
 * Linked without libc's start-up code (the Makefile says -nostartfiles), so
 * that what is measured is the supervisor and not the program.
 */

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct record {
	int64_t mono;
	int32_t pid;
	int32_t pad;
};

void begin(long *stack) __attribute__((noreturn, used));

#if defined(__x86_64__)
__asm__(
    ".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");

static long
call(long n, long a, long b, long c, long d)
{
	long ret;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl begin\n");

static long
call(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
			 : "memory");
	return x0;
}
#else
#error "tiny.c needs this machine's _start and system call"
#endif

static const char *
variable(char **envp, const char *name, size_t size)
{
	for (; *envp; envp++) {
		size_t i = 0;

		while (i < size && (*envp)[i] == name[i])
			i++;
		if (i == size)
			return *envp + size;
	}
	return NULL;
}

static void
copy(void)
{
	char bytes[4096];
	long n = call(SYS_read, 0, (long)bytes, sizeof bytes, 0);

	if (n > 0)
		call(SYS_write, 1, (long)bytes, n, 0);
	for (;;)
		call(SYS_exit_group, 0, 0, 0, 0);
}

void
begin(long *stack)
{
	struct timespec now;
	struct record r = { 0 };
	const char *fifo;
	long fd;

	if (stack[0] > 1)
		copy();
	call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0);
	r.mono = now.tv_sec * 1000000000L + now.tv_nsec;
	r.pid = (int32_t)call(SYS_getpid, 0, 0, 0, 0);
	fifo = variable((char **)(stack + stack[0] + 2), "BENCH_FIFO=", 11);
	if (fifo) {
		fd = call(
		    SYS_openat, AT_FDCWD, (long)fifo, O_WRONLY | O_CLOEXEC, 0);
		if (fd >= 0) {
			call(SYS_write, fd, (long)&r, sizeof(r), 0);
			call(SYS_close, fd, 0, 0, 0);
		}
	}
	for (;;)
		call(SYS_ppoll, 0, 0, 0, 0); /* no timeout: for ever */
}
