#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stddef.h>

/* Number of elements of an array; a pointer does not compile. */
#define N_ELEMENTS(a)                                                          \
	(sizeof(a) / sizeof((a)[0]) + 0 * sizeof(struct {                      \
		_Static_assert(!__builtin_types_compatible_p(                  \
				   __typeof__(a), __typeof__(&(a)[0])),        \
		    "not an array");                                           \
		int dummy;                                                     \
	}))

#define CONTAINER_OF(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

#endif
