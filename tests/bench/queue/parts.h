#ifndef BENCH_QUEUE_PARTS_H
#define BENCH_QUEUE_PARTS_H

/* What the measurements are put together from. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD 100
#define MOST    (1U << 20) /* tasks that are under way */

/* Submits over fd, depth tasks at once, and prints the figures. */
void load(int fd, const char *worker, const char *func, size_t total,
    size_t depth, bool await);
void report(size_t total, int64_t us);
/* A worker at the other end of fd: answers each task; does not return. */
void work(int fd) __attribute__((noreturn));
/* The prototype's client, server and worker. */
void bare(const char *db, size_t total, size_t depth);

#endif
