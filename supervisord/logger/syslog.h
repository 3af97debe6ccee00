#ifndef LOGGER_SYSLOG_H
#define LOGGER_SYSLOG_H

/*
 * Each line is a datagram to /dev/log as RFC 3164 has it and syslog(3) sends
 * it: "<30>Jan  2 03:04:05 web:0: text". Nothing waits for syslog: a line
 * it does not take is dropped and counted.
 */

void syslog_path(const char *path); /* borrowed */
void syslog_last_lines(void);       /* from now on, also those without an end */

#endif
