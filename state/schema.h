#ifndef STATE_SCHEMA_H
#define STATE_SCHEMA_H

/* The tables of state.db; described for people in SCHEMA.md. */

#include "supervisord/sqlite/schema.h"

#define SCHEMA_APPLICATION 0x73767264 /* "svrd" */
#define SCHEMA_VERSION     2

extern const struct schema state_schema;

/* What only a store in memory has: what to do again on the file later. */
extern const char schema_memory[];

#endif
