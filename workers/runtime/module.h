#ifndef RUNTIME_MODULE_H
#define RUNTIME_MODULE_H

#include "supervisord/base/buf.h"
#include "workers/runtime/link.h"

/* Loads and checks it; 0, or an exit status, said in the log. */
int module_load(const char *path);
int module_init(unsigned threads); /* the same */
void module_cleanup(void);

bool module_serves(void); /* has on_connection */
bool module_works(void);  /* has handlers */

/* The functions as HELLO has them: a JSON object. */
void module_functions(struct buf *out);

extern const struct engine module_engine;

#endif
