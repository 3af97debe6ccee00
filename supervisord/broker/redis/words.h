#ifndef BROKER_REDIS_WORDS_H
#define BROKER_REDIS_WORDS_H

#include <stddef.h>

/* What an answer or a connection's end says, for people: what is to be done
 * about it, if that is known, behind it; no full stop. */
void words_of_redis(const char *text, char *ret, size_t size);

#endif
