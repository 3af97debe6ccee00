#include "supervisord/master/cmd/cmd.h"

#include <string.h>

#include "supervisord/base/util.h"

static const struct command *const commands[] = {
#define COMMAND(name) &cmd_##name,
#include "supervisord/master/cmd/commands.def"
#undef COMMAND
};

const struct command *
command_find(const char *method)
{
	for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
		if (strcmp(commands[i]->method, method) == 0)
			return commands[i];
	}
	return NULL;
}
