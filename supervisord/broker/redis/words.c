/* What Redis says, for people: without what is of our scripts, and with what is
 * to be done about it. */

#include <stdio.h>
#include <string.h>

#include "supervisord/base/util.h"
#include "supervisord/broker/redis/words.h"

static const struct {
	const char *said, *advice;
} advices[] = {
	{ "NOREPLICAS",
	    "it waits for replicas that keep up (min-replicas-to-write)" },
	{ "READONLY", "the URL has to be the primary's" },
	{ "MISCONF", "it can't write to its disk: see its own log" },
	{ "WRONGPASS", "is the password in tasks.store its own?" },
	{ "invalid password", "is the password in tasks.store its own?" },
	{ "without any password", "take the password out of tasks.store" },
	{ "NOAUTH", "tasks.store needs a password: redis://:PASSWORD@HOST" },
	{ "NOPERM", "its ACL gives the user of tasks.store too few rights" },
	{ "DB index is out of range",
	    "the /DB of tasks.store has to be below its setting \"databases\"" },
	{ "Name or service not known",
	    "is the host in tasks.store spelt right, and DNS at hand?" },
	{ "name resolution", "is DNS at hand?" },
	{ "Can't resolve",
	    "is the host in tasks.store spelt right, and DNS at hand?" },
	{ "Connection refused",
	    "is it running, and does it listen there (bind, port)?" },
	{ "No such file or directory",
	    "is it running, with this path as its \"unixsocket\"?" },
	{ "Permission denied",
	    "may supervisord's user write to its socket (unixsocketperm)?" },
	{ "no answer within",
	    "is it stopped, busy, or cut off? What was on the way may or may "
	    "not have been done, and is seen to when it answers" },
};

/* Redis 7 puts it behind what it says, older ones before. */
static void
tidy(const char *text, char *ret, size_t size)
{
	const char *end = strstr(text, " script: "), *p, *q;

	for (p = text; (p = strstr(p, "user_script:")) != NULL; p = q) {
		q = strstr(p + strlen("user_script:"), ": ");
		if (q == NULL)
			break;
		q += 2;
		text = q;
	}
	if (end == NULL || end < text || strstr(end, "user_script") == NULL)
		end = text + strlen(text);
	text += *text == '-';
	while (end > text && end[-1] == '.')
		end--;
	snprintf(ret, size, "%.*s", (int)(end - text), text);
}

void
words_of_redis(const char *text, char *ret, size_t size)
{
	size_t n;

	tidy(text, ret, size);
	n = strlen(ret);
	for (size_t i = 0; i < N_ELEMENTS(advices); i++) {
		if (strstr(ret, advices[i].said) == NULL)
			continue;
		snprintf(ret + n, size - n, "; %s", advices[i].advice);
		return;
	}
}
