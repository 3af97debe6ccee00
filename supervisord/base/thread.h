#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Starts a thread of `stack` bytes that gets no signals: those are the loop's.
 * To be joined by the caller. Returns 0 or -errno.
 */
int thread_start(pthread_t *ret, size_t stack, void *(*fn)(void *), void *arg);

#endif
