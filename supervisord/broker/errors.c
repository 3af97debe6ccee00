#include "supervisord/broker/task.h"

static const struct {
	const char *name;
	int code;
	const char *words;
} errors[QERRS] = {

#define QERR(NAME, name, code, words) [QERR_##NAME] = { name, code, words },
#include "supervisord/broker/errors.def"
#undef QERR
};

const char *
queue_error_name(enum queue_error e)
{
	return errors[e].name;
}

const char *
queue_error_words(enum queue_error e)
{
	return errors[e].words;
}

int
queue_error_code(enum queue_error e)
{
	return errors[e].code;
}
