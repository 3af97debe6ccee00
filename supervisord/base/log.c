#include "supervisord/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/utf8.h"
#include "supervisord/base/util.h"

#define LINE_SIZE 2048

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static struct {
	const char *ident;
	enum log_level level;
	bool json;
	int fd;
	uint64_t dropped;
} logger = { "supervisord", LOG_LEVEL_INFO, false, STDERR_FILENO, 0 };

void
log_init(const char *ident)
{
	logger.ident = ident;
}

void
log_setup(enum log_level level, bool json, int fd)
{
	logger.level = level;
	logger.json = json;
	if (fd >= 0)
		logger.fd = fd;
}

int
log_level_of(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(level_names); i++) {
		if (strcmp(level_names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

/*
 * Copies as much of the message as fits, never half a character. A message may
 * quote what a worker or a client sent: control characters can't end the line
 * or reach a terminal, and a JSON string stays valid UTF-8.
 */
static void
copy_message(char *out, size_t size, const char *in)
{
	const unsigned char *c = (const unsigned char *)in;
	size_t left = strlen(in), used = 0;

	while (left > 0 && used + 7 < size) {
		size_t n = utf8_length(c, left);

		if (n == 0) {
			used += (size_t)snprintf(
			    out + used, size - used, "%s", UTF8_REPLACEMENT);
			n = 1;
		} else if (*c < 0x20 || *c == 0x7f) {
			used += (size_t)snprintf(
			    out + used, size - used, "\\u%04x", *c);
		} else {
			if (logger.json && (*c == '"' || *c == '\\'))
				out[used++] = '\\';
			memcpy(out + used, c, n);
			used += n;
		}
		c += n;
		left -= n;
	}
	out[used] = '\0';
}

static size_t
format_line(char *line, size_t size, enum log_level level, const char *text)
{
	const char *end = logger.json ? "\"}\n" : "\n";
	char when[CLOCK_TEXT];
	size_t n;

	clock_format(clock_wall_ms(), when, sizeof when);
	if (logger.json)
		snprintf(line, size - 4,
		    "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\","
		    "\"message\":\"",
		    when, level_names[level], logger.ident);
	else
		snprintf(line, size - 4, "%s %s %s: ", when, logger.ident,
		    level_names[level]);
	n = strlen(line);
	copy_message(line + n, size - n - strlen(end), text);
	n = strlen(line);
	memcpy(line + n, end, strlen(end) + 1);
	return n + strlen(end);
}

static bool
put(const char *line, size_t size)
{
	struct pollfd p = { .fd = logger.fd, .events = POLLOUT };

	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
		return false;
	return write(logger.fd, line, size) == (ssize_t)size;
}

static void
emit(enum log_level level, const char *fmt, va_list ap)
{
	char text[LINE_SIZE - 256], line[LINE_SIZE];
	int saved = errno;
	size_t n;

	if (level > logger.level)
		return;
	if (logger.dropped > 0) {
		snprintf(text, sizeof text,
		    "%llu log lines were lost: the log could not take them",
		    (unsigned long long)logger.dropped);
		n = format_line(line, sizeof line, LOG_LEVEL_WARN, text);
		if (put(line, n))
			logger.dropped = 0;
	}
	vsnprintf(text, sizeof text, fmt, ap);
	n = format_line(line, sizeof line, level, text);
	if (!put(line, n))
		logger.dropped++;
	errno = saved;
}

#define LOG_FUNCTION(name, level)                                              \
	void name(const char *fmt, ...)                                        \
	{                                                                      \
		va_list ap;                                                    \
		va_start(ap, fmt);                                             \
		emit(level, fmt, ap);                                          \
		va_end(ap);                                                    \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
