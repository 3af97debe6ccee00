#ifndef CTL_ROWS_H
#define CTL_ROWS_H

/* A list of objects as a table, an object a line. */

#include <jansson.h>

#include "supervisord/ctl/ctl.h"

#define CTL_COLUMNS_MAX 16

struct ctl_rows {
	const char *const *heads;
	size_t columns;   /* at most CTL_COLUMNS_MAX */
	const char *none; /* said where the list is empty */
	/* Fills a row's cells, one a column. */
	void (*put)(struct buf *cells, const json_t *row);
};

/* Returns the exit status. */
int ctl_rows_print(
    struct ctl *ctl, const struct ctl_rows *rows, const json_t *list);

#endif
