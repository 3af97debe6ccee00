#include "state/schema.h"

/*
 * events and exits are numbered densely by id, so that "how many" is the last
 * id less the first and pruning needs no count. Long text comes last, so that
 * a scan over the short columns reads no overflow pages.
 */
static const char step_tables[] =
    "CREATE TABLE instances ("
    " name TEXT NOT NULL PRIMARY KEY, worker TEXT, idx INTEGER,"
    " wanted_up INTEGER, wanted_by_user INTEGER, state TEXT, pid INTEGER,"
    " start_ticks INTEGER, boot_id TEXT, started_ms INTEGER,"
    " restarts INTEGER, reason TEXT, changed_ms INTEGER"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE events ("
    " id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " name TEXT, kind TEXT, from_state TEXT, to_state TEXT, reason TEXT,"
    " actor_uid INTEGER, actor_pid INTEGER, actor_command TEXT"
    ") STRICT;"
    "CREATE TABLE exits ("
    " id INTEGER PRIMARY KEY, key INTEGER UNIQUE, name TEXT NOT NULL,"
    " pid INTEGER, started_ms INTEGER, ended_ms INTEGER NOT NULL,"
    " duration_ms INTEGER, code INTEGER, signal INTEGER, core INTEGER,"
    " cause TEXT, user_us INTEGER, system_us INTEGER, maxrss_kb INTEGER,"
    " last_lines TEXT"
    ") STRICT;"
    "CREATE INDEX exits_name ON exits (name);"
    "CREATE TABLE incarnations ("
    " id INTEGER PRIMARY KEY, run INTEGER, master_pid INTEGER, version TEXT,"
    " boot_id TEXT, began_ms INTEGER, ended_ms INTEGER, in_order INTEGER,"
    " why TEXT"
    ") STRICT;"
    "CREATE TABLE facts ("
    " key TEXT NOT NULL PRIMARY KEY, value TEXT, changed_ms INTEGER"
    ") STRICT, WITHOUT ROWID;";

#define WHEN(column)                                                           \
	"strftime('%Y-%m-%dT%H:%M:%fZ', " column " / 1000.0, 'unixepoch')"

static const char step_views[] = "CREATE VIEW recent_events AS SELECT id, " WHEN(
    "at_ms") " AS at, name,"
	     " kind, from_state, to_state, reason, actor_uid, actor_pid, actor_command"
	     " FROM events ORDER BY id DESC;"
	     "CREATE VIEW history AS SELECT id, name, pid, " WHEN("started_ms") " AS started_at, " WHEN(
		 "ended_ms") " AS ended_at,"
			     " duration_ms / 1000.0 AS seconds, cause, code, signal, core,"
			     " user_us / 1e6 AS user, system_us / 1e6 AS system, maxrss_kb,"
			     " last_lines FROM exits ORDER BY id DESC;";

static const char *const steps[SCHEMA_VERSION] = { step_tables, step_views };

const struct schema state_schema = { SCHEMA_APPLICATION, SCHEMA_VERSION,
	steps };

const char schema_memory[] =
    "CREATE TABLE later (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
    " a ANY, b ANY, c ANY, d ANY, e ANY) STRICT;";
