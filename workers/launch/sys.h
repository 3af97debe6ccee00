#ifndef LAUNCH_SYS_H
#define LAUNCH_SYS_H

/*
 * System calls as bare instructions: the code between clone and exec shares
 * the guardian's memory, and libc's wrappers would write the guardian's errno.
 * Each returns what the kernel does: a result, or -errno.
 */

#include <stdint.h>
#include <sys/syscall.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||     \
    __has_feature(memory_sanitizer)
#define LAUNCH_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||           \
    defined(LAUNCH_SANITIZED)
#define LAUNCH_CAN_SHARE 0 /* sanitizers keep books on stacks and threads */
#elif defined(__x86_64__) || defined(__aarch64__)
#define LAUNCH_CAN_SHARE 1
#else
#define LAUNCH_CAN_SHARE 0
#endif

#if defined(__x86_64__)

static inline long
sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile(
	    "syscall"
	    : "=a"(ret)
	    : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	    : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

static inline long
sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else /* never shares memory here: a fork's own errno may be written */

#include <errno.h>
#include <unistd.h>

static inline long
sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret = syscall(nr, a, b, c, d, e, f);

	return ret < 0 ? -errno : ret;
}

#endif

#define SYS_ARG(x)        (long)(intptr_t)(x)
#define sys0(nr)          sys6(nr, 0, 0, 0, 0, 0, 0)
#define sys1(nr, a)       sys6(nr, SYS_ARG(a), 0, 0, 0, 0, 0)
#define sys2(nr, a, b)    sys6(nr, SYS_ARG(a), SYS_ARG(b), 0, 0, 0, 0)
#define sys3(nr, a, b, c) sys6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), 0, 0, 0)
#define sys4(nr, a, b, c, d)                                                   \
	sys6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), 0, 0)

#endif
