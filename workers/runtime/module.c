#include "workers/runtime/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/base/log.h"

static const struct sv_module *module;
static const struct sv_handler **sorted; /* by name */
static size_t sorted_count;

static int
by_name(const void *a, const void *b)
{
	const struct sv_handler *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int
sort_handlers(const char *path)
{
	const struct sv_handler *h = module->handlers;
	size_t n = 0;

	while (h != NULL && h[n].name != NULL)
		n++;
	sorted = calloc(n + 1, sizeof *sorted);
	if (sorted == NULL)
		return EXIT_MEMORY;
	for (size_t i = 0; i < n; i++) {
		if (h[i].run == NULL || h[i].name[0] == '\0' ||
		    strlen(h[i].name) > WIRE_FUNC_MAX) {
			log_error("%s: handler %zu has no function, or no name "
				  "of 1 to %d bytes",
			    path, i, WIRE_FUNC_MAX);
			return EXIT_NOTHING;
		}
		sorted[i] = &h[i];
	}
	sorted_count = n;
	qsort(sorted, n, sizeof *sorted, by_name);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0) {
			log_error("%s: two handlers are named \"%s\"", path,
			    sorted[i]->name);
			return EXIT_NOTHING;
		}
	}
	return 0;
}

int
module_load(const char *path)
{
	char here[PATH_MAX];
	void *object;
	int r;

	/* A bare name would be looked for among the system's libraries. */
	snprintf(here, sizeof here, "%s%s",
	    strchr(path, '/') == NULL ? "./" : "", path);
	object = dlopen(here, RTLD_NOW | RTLD_LOCAL);
	if (object == NULL) {
		log_error("cannot load the module: %s", dlerror());
		return EXIT_LOAD;
	}
	module = dlsym(object, "supervisor_module");
	if (module == NULL) {
		log_error("%s is no module: it does not define "
			  "supervisor_module",
		    path);
		return EXIT_SYMBOL;
	}
	if (module->abi != SV_ABI) {
		log_error("%s is built for version %u of "
			  "<supervisor/worker.h>, this supervisord has version "
			  "%u: build it anew",
		    path, module->abi, SV_ABI);
		return EXIT_ABI;
	}
	r = sort_handlers(path);
	if (r != 0)
		return r;
	if (module_works() || module_serves())
		return 0;
	log_error("%s has neither handlers nor on_connection", path);
	return EXIT_NOTHING;
}

bool
module_serves(void)
{
	return module->on_connection != NULL;
}

bool
module_works(void)
{
	return sorted_count > 0;
}

int
module_init(unsigned threads)
{
	const char *instance = getenv("SUPERVISOR_INSTANCE");
	struct sv_worker w = {
		.instance = instance != NULL ? instance : "worker",
		.threads = threads,
	};
	int r = module->init != NULL ? module->init(&w) : 0;

	if (r == 0)
		return 0;
	log_error("module \"%s\": its init failed (%d)",
	    module->name != NULL ? module->name : "?", r);
	return EXIT_INIT;
}

void
module_cleanup(void)
{
	if (module->cleanup != NULL)
		module->cleanup();
	free(sorted);
	sorted = NULL;
	sorted_count = 0;
}

void
module_functions(struct buf *out)
{
	jw_object(out);
	for (size_t i = 0; i < sorted_count; i++)
		jw_kv_string(out, sorted[i]->name,
		    sorted[i]->form == SV_JSON ? "json" : "bytes");
	jw_object_end(out);
}

/* --- the engine --- */

static int
thread_begin(struct thread *t)
{
	int r = module->thread_init != NULL
		    ? module->thread_init(t->index, &t->task.thread)
		    : 0;

	if (r == 0)
		return 0;
	log_error("module \"%s\": its thread_init failed (%d)",
	    module->name != NULL ? module->name : "?", r);
	return EXIT_INIT;
}

static void
thread_end(struct thread *t)
{
	if (module->thread_cleanup != NULL)
		module->thread_cleanup(t->index, t->task.thread);
}

static void
run(struct thread *t, const struct job *job)
{
	job->handler->run(&t->task);
}

static void
serve(struct thread *t, struct sv_connection *c)
{
	(void)t;
	module->on_connection(c);
}

static bool
find(const char *func, size_t size, const struct sv_handler **ret_handler)
{
	size_t low = 0, high = sorted_count;

	if (memchr(func, '\0', size) != NULL)
		return false; /* strncmp would stop there */
	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *name = sorted[middle]->name;
		int order = strncmp(name, func, size);

		if (order == 0 && name[size] == '\0') {
			*ret_handler = sorted[middle];
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

const struct engine module_engine = {
	.thread_begin = thread_begin,
	.thread_end = thread_end,
	.run = run,
	.serve = serve,
	.find = find,
};
