#ifndef GUARDIAN_GUARDIAN_H
#define GUARDIAN_GUARDIAN_H

/* What is known of this run of supervisord from its start on. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

struct guardian {
	char **argv;
	int64_t started_wall_ms;
	uint64_t run;         /* random; kept across upgrades */
	struct rlimit nofile; /* as supervisord got it: what workers get */
	bool pid1;
	bool ready;   /* a master has been READY once */
	int ready_fd; /* --daemon: where the waiting parent listens; -1 */
	uint32_t log_level, log_json;
	char exe[PATH_MAX];     /* our program, as found at the start */
	char helpers[PATH_MAX]; /* folder of the helpers */
};

extern struct guardian guardian;

/* Ends supervisord, and tells --daemon's parent. */
_Noreturn void guardian_exit(int status);

/* The first READY of all: the start is over. */
void guardian_ready(void);
/* supervisord's own log goes where it should go now. */
void guardian_log(void);

/* The folder of the helpers beside `exe`. 0 or -ENOENT. */
int guardian_find_helpers(const char *exe, char *ret, size_t size);

#endif
