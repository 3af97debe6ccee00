#ifndef LOGGER_ROTATE_H
#define LOGGER_ROTATE_H

/*
 * The names of rotated files: FILE.1 (or FILE.1.gz) is the youngest. Moving
 * them up works from the first free number downwards, so that a logger killed
 * half way leaves a gap that the next rotation fills, and no file is lost
 * before its time.
 */

#include <stdbool.h>

/* "FILE.3" or "FILE.3.gz". out has ROTATE_PATH bytes. */
#define ROTATE_PATH 4200
char *rotate_name(char *out, const char *path, unsigned index, bool packed);

/*
 * Moves FILE to FILE.1 and the older ones up; beyond keep they are removed.
 * *index, unless 0, follows the file of that number (0 when it is removed).
 * 0 or -errno, and then FILE is where it was.
 */
int rotate_shift(const char *path, unsigned keep, unsigned *index);

/* mkdir -p of the folder the path lies in, 0755. */
int rotate_make_folder(const char *path);

#endif
