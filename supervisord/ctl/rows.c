#include "supervisord/ctl/rows.h"

#include <assert.h>
#include <stdio.h>

#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"

int
ctl_rows_print(struct ctl *ctl, const struct ctl_rows *rows, const json_t *list)
{
	struct buf cells[CTL_COLUMNS_MAX];
	struct ctl_table table;
	json_t *row;
	size_t i;

	assert(rows->columns <= CTL_COLUMNS_MAX);
	if (!json_is_array(list))
		return ctl_malformed(ctl, "no list");
	if (json_array_size(list) == 0) {
		ctl_note(ctl, "%s", rows->none);
		return CTL_DONE;
	}
	ctl_table_init(&table, rows->columns);
	for (i = 0; i < rows->columns; i++)
		ctl_table_cell(&table, rows->heads[i]);
	json_array_foreach(list, i, row)
	{
		for (size_t k = 0; k < rows->columns; k++)
			buf_init(&cells[k]);
		rows->put(cells, row);
		ctl_table_row(&table, cells);
	}
	ctl_table_print(&table, stdout);
	return CTL_DONE;
}
