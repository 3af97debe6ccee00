#ifndef BROKER_CMD_H
#define BROKER_CMD_H

/* One file a method, around one const entry; methods.def lists them. */

#include "supervisord/broker/calls.h"

struct method {
	const char *name;
	bool look; /* viewers may use it, too */
	/* Answers the call, now or later (calls.h). */
	void (*run)(struct call *c);
};

/* NULL: no such method. */
const struct method *method_find(const char *name);

#define METHOD(name) extern const struct method method_##name;
#include "supervisord/broker/cmd/methods.def"
#undef METHOD

#endif
