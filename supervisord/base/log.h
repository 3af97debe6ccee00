#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * supervisord's own log. One line, one write(2), no allocation: the guardian
 * uses it too. A line for which the descriptor has no room at the moment (a
 * stopped terminal, a full pipe) is dropped and counted, never waited for; the
 * next line that fits says how many were lost.
 */

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/*
 * ident is borrowed for ever ("guardian"). Until log_setup the level is info,
 * the format text and the descriptor 2.
 */
void log_init(const char *ident);

/* Level, format (JSON lines or text) and descriptor; fd -1 keeps the old one.
 */
void log_setup(enum log_level level, bool json, int fd);

/* The level of that name ("error", "warn", "info", "debug"), or -1. */
int log_level_of(const char *name);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
