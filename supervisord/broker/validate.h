#ifndef BROKER_VALIDATE_H
#define BROKER_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#define VALIDATE_DEPTH 512

/*
 * Whether this is one JSON value (RFC 8259; UTF-8; nested at most 512 deep) and
 * nothing behind it. Builds nothing: a task's arguments and its result are
 * handed on as they are.
 */
bool json_valid(const char *text, size_t size);

#endif
