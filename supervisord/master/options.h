#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

/* The command line, as the guardian passes it on. */

#include "supervisord/master/master.h"

/* 0; or 2 with words on stderr: a usage error. */
int options_parse(struct options *o, int argc, char **argv);

/* The config's absolute path. 0, or 2 with words on stderr. */
int options_config_path(const struct options *o, char *out, size_t size);

#endif
