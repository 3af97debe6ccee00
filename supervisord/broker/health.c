/* What is wrong with the stores, in words. */

#include <stdio.h>

#include "supervisord/broker/broker.h"

bool
broker_health(const struct broker *b, char *words, size_t size)
{
	bool far = b->shared != NULL && b->shared_words[0] != '\0';
	int n =
	    snprintf(words, size, "%s", b->store_well ? "" : b->store_words);

	if (far && n >= 0 && (size_t)n < size)
		snprintf(words + n, size - (size_t)n,
		    "%sthe shared store %s now: %s: %s", n > 0 ? "; " : "",
		    b->shared_well ? "takes no new tasks" : "can't be used",
		    b->shared_name, b->shared_words);
	return b->store_well && !far;
}
