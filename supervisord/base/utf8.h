#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/*
 * Length of the well-formed UTF-8 sequence that s begins with (RFC 3629
 * section 4: no surrogates, no overlong forms), or 0. left > 0 bytes are there.
 */
size_t utf8_length(const unsigned char *s, size_t left);

/* U+FFFD, what stands for a byte that is not UTF-8. */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

#endif
