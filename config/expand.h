#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

/* Variables in strings, and command lines cut into words. */

#include <stdbool.h>
#include <stddef.h>

struct buf;

struct variables {
	char *const *environ; /* NULL-terminated; NULL: empty */
	const char *dir;      /* ${config_dir} */
	const char *worker;   /* ${worker}; NULL: not in a worker */
	bool index;           /* ${index} may stand here */
};

/*
 * Appends text with ${NAME}, ${NAME:-default} and $${ replaced; ${index} is
 * left as FLEET_HOLE. As in a shell, the default is also taken for an empty
 * value. 0, or -EINVAL with a reason in *why.
 */
int expand(const struct variables *v, const char *text, struct buf *out,
    struct buf *why);

/*
 * Cuts a command line as a shell would, by quotes and backslashes, without any
 * of its other doings. Each word is appended with a NUL behind it; variables
 * are not replaced yet (each stays within its word, whatever is put there
 * later). 0, or -EINVAL with a reason in *why.
 */
int split_words(
    const char *text, struct buf *out, size_t *ret_count, struct buf *why);

/* The value of that name (of size bytes), or NULL. */
const char *variable_get(char *const *environ, const char *name, size_t size);

/* The end of the variable that starts at p ("${"), behind its "}", or NULL. */
const char *variable_end(const char *p);

#endif
