/* The members of a group, each brought together with its row. */

#include <errno.h>
#include <string.h>

#include "config/lex.h"
#include "config/load_int.h"

/* What a member without a usable row is. */
static void
fail_unknown(struct loading *l, const config_setting_t *s,
    const struct setting *rows, const struct setting *row)
{
	const char *key = config_setting_name(s), *nearest;

	if (row != NULL) {
		fail(l, s, "not supported yet");
		return;
	}
	nearest = schema_nearest(rows, key);
	if (nearest != NULL)
		fail(l, s, "unknown setting (did you mean \"%s\"?)", nearest);
	else
		fail(l, s, "unknown setting");
}

int
slots_fill(struct loading *l, const config_setting_t *group,
    const struct setting *rows, struct slots *slots)
{
	int n = config_setting_length(group), err = 0;

	for (unsigned i = 0; i < (unsigned)n; i++) {
		const config_setting_t *s = config_setting_get_elem(group, i);
		const char *key = config_setting_name(s);
		const struct setting *row;
		const config_setting_t **slot;

		/* Made up by the lexer: a worker's name, or a setting whose
		 * second place has been reported. */
		if (strchr(key, LEX_NAME[0]) != NULL)
			continue;
		row = schema_find(rows, key);
		if (row == NULL || row->flags & SETTING_ABSENT) {
			fail_unknown(l, s, rows, row);
			err = -EINVAL;
			continue;
		}
		slot = &slots->of[row - rows];
		if (*slot != NULL)
			err = fail(
			    l, s, "set twice, first at %s", place_of(l, *slot));
		else
			*slot = s;
	}
	return err;
}

int
slots_read(struct reader *r, const struct slots *slots,
    const config_setting_t *presets, const struct setting *rows, void *base)
{
	int err = 0;

	for (const struct setting *row = rows; row->key != NULL; row++) {
		const config_setting_t *s = slots->of[row - rows];

		if (row->type == NULL || row->flags & SETTING_LATER)
			continue;
		if (s == NULL && row->preset != NULL)
			s = config_setting_get_member(presets, row->key);
		if (s != NULL &&
		    row->type->read(r, s, row, (char *)base + row->offset) < 0)
			err = -EINVAL;
	}
	return err;
}

int
members_read(struct reader *r, const config_setting_t *group,
    const struct setting *row, void *base)
{
	const config_setting_t *presets =
	    config_root_setting(&r->l->presets->config);
	struct slots slots = { 0 };
	int err;

	if (!config_setting_is_group(group))
		return fail_type(r, group, "a group { }");
	presets = config_setting_get_member(presets, "members");
	presets = config_setting_get_member(
	    presets, row->group != NULL ? row->group : row->key);
	err = slots_fill(r->l, group, row->members, &slots);
	if (slots_read(r, &slots, presets, row->members, base) < 0)
		err = -EINVAL;
	return err;
}
