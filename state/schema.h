#ifndef STATE_SCHEMA_H
#define STATE_SCHEMA_H

/*
 * The tables, as steps from one version of the schema to the next; described
 * for people in SCHEMA.md. A change of the schema is one more step: a step that
 * was released is never edited.
 */

#include <sqlite3.h>

#define SCHEMA_APPLICATION 0x73767264 /* "svrd" */
#define SCHEMA_VERSION     2

/* schema_steps[n] brings version n to version n + 1. */
extern const char *const schema_steps[SCHEMA_VERSION];

/* What only a store in memory has: what to do again on the file later. */
extern const char schema_memory[];

enum schema_verdict {
	SCHEMA_OURS,    /* of this version or an older one */
	SCHEMA_EMPTY,   /* nothing in it yet */
	SCHEMA_NEWER,   /* of a newer supervisord */
	SCHEMA_FOREIGN, /* of another program */
};

/* Looks, without writing. Returns an SQLite result code. */
int schema_look(sqlite3 *db, enum schema_verdict *ret, int *ret_version);

/* Brings a database at `version` to SCHEMA_VERSION, a transaction each step. */
int schema_migrate(sqlite3 *db, int version);

#endif
