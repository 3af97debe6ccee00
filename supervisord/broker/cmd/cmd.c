#include "supervisord/broker/cmd/cmd.h"

#include <string.h>

#include "supervisord/base/util.h"

static const struct method *const methods[] = {
#define METHOD(name) &method_##name,
#include "supervisord/broker/cmd/methods.def"
#undef METHOD
};

const struct method *
method_find(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
		if (strcmp(methods[i]->name, name) == 0)
			return methods[i];
	}
	return NULL;
}
