#ifndef MASTER_CMD_H
#define MASTER_CMD_H

/* One file a command, around one const entry; commands.def lists them. */

#include "supervisord/master/rpc.h"

enum permission {
	MAY_LOOK,
	MAY_CHANGE
};

struct command {
	const char *method;
	enum permission permission;
	/* Answers the request, now or later (rpc.h). */
	void (*run)(struct request *r);
};

/* NULL: no such method. */
const struct command *command_find(const char *method);

#define COMMAND(name) extern const struct command cmd_##name;
#include "supervisord/master/cmd/commands.def"
#undef COMMAND

#endif
