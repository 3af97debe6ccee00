/* threads: what each thread of the instances is doing. */

#include <string.h>

#include "supervisord/base/clock.h"
#include "supervisord/base/json.h"
#include "supervisord/broker/cmd/cmd.h"
#include "supervisord/broker/hands.h"

struct list_of_threads {
	struct broker *b;
	const json_t *targets; /* NULL: all */
	const struct hand *hand;
	struct buf out;
};

static void
put_thread(const struct thread_info *info, void *arg)
{
	static const char *const states[] = { "idle", "task", "connection" };
	struct list_of_threads *l = arg;
	struct buf *b = &l->out;
	const struct task *t =
	    info->task != 0 ? core_find(l->b, info->task) : NULL;

	jw_object(b);
	jw_kv_string(b, "instance", l->hand->name);
	jw_kv_int(b, "thread", info->thread);
	jw_kv_string(b, "state", info->busy < 3 ? states[info->busy] : "task");
	if (info->task != 0)
		jw_kv_int(b, "task", (int64_t)info->task);
	else
		jw_kv_null(b, "task");
	jw_kv_string(b, "func", t != NULL ? t->row.func : NULL);
	jw_kv_seconds(b, "for", info->for_ns);
	if (info->task != 0 && info->share != WIRE_NO_SHARE)
		jw_kv_seconds(b, "share", (int64_t)info->share * NS_PER_MS);
	else
		jw_kv_null(b, "share");
	jw_kv_bool(b, "stuck", info->stuck);
	jw_object_end(b);
}

/* "web" is all of web:0, web:1... */
static bool
is_meant(const json_t *targets, const char *name)
{
	size_t n = json_is_array(targets) ? json_array_size(targets) : 1;

	if (targets == NULL || json_is_null(targets) || n == 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		const char *target = json_string_value(
		    json_is_array(targets) ? json_array_get(targets, i)
					   : targets);
		size_t length = target != NULL ? strlen(target) : 0;

		if (target != NULL && strncmp(name, target, length) == 0 &&
		    (name[length] == '\0' || name[length] == ':'))
			return true;
	}
	return false;
}

static void
put_hand(struct hand *h, void *arg)
{
	struct list_of_threads *l = arg;

	if (!is_meant(l->targets, h->name))
		return;
	l->hand = h;
	hands_threads(h, put_thread, l);
}

static void
run(struct call *c)
{
	struct list_of_threads l = { .b = c->b,
		.targets = json_object_get(c->params, "targets") };

	buf_init(&l.out);
	jw_array(&l.out);
	hands_each(c->b, put_hand, &l);
	jw_array_end(&l.out);
	call_reply(c, &l.out);
}

const struct method method_threads = { "threads", true, run };
