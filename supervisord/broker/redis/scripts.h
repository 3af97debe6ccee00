#ifndef BROKER_REDIS_SCRIPTS_H
#define BROKER_REDIS_SCRIPTS_H

/* The Lua scripts, as they are in the files beside this one. */

#include <stdbool.h>

#include "supervisord/base/buf.h"

enum script {
#define SCRIPT(NAME, name, parts) SCRIPT_##NAME,
#define SAME(NAME, name, parts)   SCRIPT_##NAME,
#include "supervisord/broker/redis/scripts.def"
#undef SCRIPT
#undef SAME
	SCRIPTS
};

const char *script_name(enum script which);
/* Its text, with lib.lua and the parts it needs in front; false: no memory. */
bool script_text(enum script which, struct buf *ret);

#endif
