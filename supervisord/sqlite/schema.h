#ifndef SQLITE_SCHEMA_H
#define SQLITE_SCHEMA_H

/*
 * Tables as steps from one version of a schema to the next. A change is one
 * more step: a step that was released is never edited.
 */

#include <sqlite3.h>

struct schema {
	int application; /* SQLite's application_id: whose file it is */
	int version;     /* how many steps there are */
	const char *const *steps; /* steps[n] brings version n to n + 1 */
};

enum schema_verdict {
	SCHEMA_OURS,    /* of this version or an older one */
	SCHEMA_EMPTY,   /* nothing in it yet */
	SCHEMA_NEWER,   /* of a newer supervisord */
	SCHEMA_FOREIGN, /* of another program */
};

/* Looks, without writing. Returns an SQLite result code. */
int schema_look(sqlite3 *sql, const struct schema *s, enum schema_verdict *ret,
    int *ret_version);

/* Brings a database at `version` to the newest, a transaction each step. */
int schema_migrate(sqlite3 *sql, const struct schema *s, int version);

#endif
