#include "supervisord/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/base/clock.h"
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

/* JSON string escapes, in place of a whole writer: the guardian links this. */
static size_t
escape(char *out, size_t size, const char *in)
{
	size_t n = 0;

	for (; *in != '\0' && n + 7 < size; in++) {
		unsigned char c = (unsigned char)*in;

		if (c == '"' || c == '\\')
			out[n++] = '\\';
		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
		else
			out[n++] = (char)c;
	}
	out[n] = '\0';
	return n;
}

static size_t
format_line(char *line, size_t size, enum log_level level, const char *text)
{
	char when[CLOCK_TEXT], escaped[LINE_SIZE];
	int n;

	clock_format(clock_wall_ms(), when, sizeof when);
	if (logger.json) {
		escape(escaped, sizeof escaped, text);
		n = snprintf(line, size,
		    "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\","
		    "\"message\":\"%s\"}\n",
		    when, level_names[level], logger.ident, escaped);
	} else {
		n = snprintf(line, size, "%s %s %s: %s\n", when, logger.ident,
		    level_names[level], text);
	}
	if (n < 0)
		return 0;
	if ((size_t)n >= size) {
		line[size - 2] = '\n';
		return size - 1;
	}
	return (size_t)n;
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
