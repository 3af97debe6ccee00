/*
 * logs: supervisord tells where the files are, the reading is done here; so a
 * reader costs supervision nothing. Lines of several instances are told apart
 * by the name before them.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "supervisord/base/json.h"
#include "supervisord/base/util.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/tail.h"
#include "supervisord/ctl/term.h"

#define DEFAULT_LINES 20

struct printer {
	bool prefix, escape;
	size_t width;
};

/* One line or piece of one, without its newline. */
static void
put_piece(const struct printer *p, const char *s, size_t size)
{
	struct buf safe;

	if (!p->escape) {
		fwrite(s, 1, size, stdout);
		return;
	}
	buf_init(&safe);
	ctl_escape(&safe, s, size, false);
	if (safe.size > 0)
		fwrite(safe.data, 1, safe.size, stdout);
	buf_done(&safe);
}

static void
emit(void *arg, const struct ctl_tail *tail, const char *text, size_t size)
{
	const struct printer *p = arg;
	const char *end = text + size;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline != NULL ? newline : end;

		if (p->prefix)
			printf("%-*s | ", (int)p->width, tail->name);
		put_piece(p, text, (size_t)(stop - text));
		if (newline != NULL || p->prefix)
			putchar('\n');
		text = stop + (newline != NULL);
	}
}

static void
flush(void *arg)
{
	(void)arg;
	fflush(stdout);
}

/* Why there is no file to read, in words. */
static void
explain(struct ctl *ctl, const char *name, const char *stream, const char *kind)
{
	if (strcmp(kind, "inherit") == 0)
		ctl_note(ctl,
		    "%s: its %s is supervisord's own (\"inherit\"): no file to show",
		    name, stream);
	else if (strcmp(kind, "null") == 0)
		ctl_note(
		    ctl, "%s: its %s is thrown away (\"null\")", name, stream);
	else if (strcmp(kind, "syslog") == 0)
		ctl_note(ctl, "%s: its %s goes to syslog: see journalctl", name,
		    stream);
	else
		ctl_note(ctl, "%s: its %s is in no file", name, stream);
}

/* The path of the stream asked for, "" (said why) if there is none. */
static const char *
path_of(struct ctl *ctl, const json_t *one, bool err)
{
	const char *kind = ctl_text(one, err ? "stderr_kind" : "kind");
	const char *path = ctl_text(one, err ? "stderr" : "stdout");

	if (err && strcmp(kind, "stdout") == 0 && path[0] == '\0') {
		path = ctl_text(one, "stdout");
		kind = ctl_text(one, "kind");
	}
	if (path[0] == '\0')
		explain(ctl, ctl_text(one, "name"), err ? "stderr" : "stdout",
		    kind);
	return path;
}

/* 0 with tail->fd -1 where nothing was written yet; else an exit status. */
static int
open_log(struct ctl *ctl, struct ctl_tail *tail)
{
	tail->fd = open(tail->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (tail->fd >= 0)
		return 0;
	if (errno == ENOENT) {
		ctl_note(ctl, "%s: nothing written yet (there is no %s)",
		    tail->name, tail->path);
		return 0;
	}
	return ctl_fail(ctl, CTL_FAILED, "%s: cannot read %s: %s%s", tail->name,
	    tail->path, strerror(errno), errno == EACCES ? ": try sudo" : "");
}

static void
put_json(struct buf *json, const struct ctl_tail *tail, bool err,
    const struct buf *text)
{
	const char *at = text->data, *end = text->data + text->size;

	jw_object(json);
	jw_kv_string(json, "name", tail->name);
	jw_kv_string(json, err ? "stderr" : "stdout", tail->path);
	jw_key(json, "lines");
	jw_array(json);
	while (text->size > 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline != NULL ? newline : end;

		jw_bytes(json, at, (size_t)(stop - at));
		at = stop + 1;
	}
	jw_array_end(json);
	jw_object_end(json);
}

struct logs {
	struct ctl *ctl;
	bool err, follow;
	long lines;
	struct ctl_tail *tails;
	size_t n;
	struct printer printer;
	struct buf json;
};

/* With -f, a line still being written is told apart only when it is whole:
 * it stays with the tail. Returns the size of what is to be shown. */
static size_t
hold_part(struct logs *l, struct ctl_tail *tail, const struct buf *text)
{
	const char *last;
	size_t whole;

	if (!l->follow || !l->printer.prefix)
		return text->size;
	last = memrchr(text->data, '\n', text->size);
	whole = last != NULL ? (size_t)(last + 1 - text->data) : 0;
	buf_add(&tail->part, text->data + whole, text->size - whole);
	return whole;
}

/* The last lines of one. */
static int
show_last(struct logs *l, struct ctl_tail *tail)
{
	struct buf text;
	int r = open_log(l->ctl, tail);

	buf_init(&text);
	if (r == 0 && tail->fd >= 0) {
		int e = ctl_tail_last(tail->fd, l->lines, &text, &tail->offset);

		if (e < 0)
			r = ctl_fail(l->ctl, CTL_FAILED, "%s: reading %s: %s",
			    tail->name, tail->path, strerror(-e));
	}
	if (r == 0 && l->ctl->json)
		put_json(&l->json, tail, l->err, &text);
	else if (r == 0 && text.size > 0)
		emit(&l->printer, tail, text.data, hold_part(l, tail, &text));
	/* A shell's prompt, or the next file, begins on a line of its own. */
	if (r == 0 && !l->follow && !l->ctl->json && !l->printer.prefix &&
	    text.size > 0 && text.data[text.size - 1] != '\n')
		putchar('\n');
	buf_done(&text);
	return r;
}

/* Instances that write into one file are shown once. */
static bool
is_known(const struct logs *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->tails[i].path, path) == 0)
			return true;
	}
	return false;
}

static int
collect(struct logs *l, const json_t *list)
{
	size_t i, have = json_array_size(list);
	json_t *one;

	l->n = 0;
	l->tails = calloc(have + 1, sizeof *l->tails);
	if (l->tails == NULL)
		return ctl_fail(l->ctl, CTL_FAILED, "out of memory");
	json_array_foreach(list, i, one)
	{
		const char *name = ctl_text(one, "name");
		const char *path = path_of(l->ctl, one, l->err);

		if (path[0] == '\0' || (have < 1000 && is_known(l, path)))
			continue;
		l->printer.width = MAX_OF(l->printer.width, strlen(name));
		l->tails[l->n++] =
		    (struct ctl_tail){ .fd = -1, .name = name, .path = path };
	}
	l->printer.prefix = l->n > 1;
	return l->n > 0 ? 0 : CTL_FAILED;
}

static int
follow_all(struct logs *l)
{
	struct ctl_tails tails = {
		.all = l->tails,
		.n = l->n,
		.emit = emit,
		.flush = flush,
		.arg = &l->printer,
		.whole = l->printer.prefix,
	};
	int r = ctl_tails_follow(&tails);

	return r < 0 ? ctl_fail(l->ctl, CTL_FAILED, "following the logs: %s",
			   strerror(-r))
		     : CTL_DONE;
}

static void
raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int
show_all(struct logs *l)
{
	int r = 0;

	raise_descriptor_limit();
	if (l->ctl->json)
		jw_array(&l->json);
	for (size_t i = 0; i < l->n; i++) {
		r = show_last(l, &l->tails[i]);
		if (r != 0)
			return r;
		if (!l->follow && l->tails[i].fd >= 0) {
			close(l->tails[i].fd);
			l->tails[i].fd = -1;
		}
	}
	if (l->follow)
		return follow_all(l);
	if (l->ctl->json) {
		jw_array_end(&l->json);
		if (l->json.failed)
			return ctl_fail(l->ctl, CTL_FAILED, "out of memory");
		puts(buf_text(&l->json));
	}
	return r;
}

static int
show_logs(struct logs *l, const json_t *list)
{
	int r = collect(l, list);

	if (r == 0)
		r = show_all(l);
	for (size_t i = 0; i < l->n; i++) {
		if (l->tails[i].fd >= 0)
			close(l->tails[i].fd);
		buf_done(&l->tails[i].part);
	}
	free(l->tails);
	buf_done(&l->json);
	return r;
}

static int
parse_logs(struct ctl *ctl, const struct ctl_args *args, struct logs *l)
{
	const char *lines = ctl_option(args, 'n');

	l->ctl = ctl;
	l->follow = ctl_option(args, 'f') != NULL;
	l->err = ctl_option(args, CTL_OPT_STDERR) != NULL;
	l->lines = DEFAULT_LINES;
	l->printer.escape = ctl->out_tty;
	if (lines != NULL && ctl_count(lines, &l->lines) < 0)
		return ctl_fail(ctl, CTL_USAGE,
		    "-n is a number of lines, not \"%s\"", lines);
	if (l->follow && ctl->json)
		return ctl_fail(
		    ctl, CTL_USAGE, "logs -f has no --json: a log has no end");
	return 0;
}

static int
run_logs(struct ctl *ctl, const struct ctl_args *args)
{
	struct logs l = { .n = 0 };
	struct ctl_msg msg;
	struct buf params;
	json_t *tree;
	int r = parse_logs(ctl, args, &l);

	if (r != 0)
		return r;
	ctl_params(ctl, &params);
	ctl_params_targets(&params, args, 0);
	r = ctl_ask(ctl, "logs", &params, CTL_READ, &msg);
	if (r != 0)
		return r;
	tree = ctl_tree(ctl, msg.body);
	if (tree == NULL)
		return CTL_NO_ANSWER;
	r = show_logs(&l, tree);
	json_decref(tree);
	return r;
}

const struct ctl_cmd ctl_cmd_logs = {
	.name = "logs",
	.usage = "[-f] [-n N] [--stderr] TARGET...",
	.help = "the last lines instances wrote",
	.more = "With several instances each line begins with the name.",
	.opts = { { 'f', "follow", NULL, "go on with what is written", false },
	    { 'n', "lines", "N", "how many lines (20)", false },
	    { CTL_OPT_STDERR, "stderr", NULL,
		"stderr, where it is apart from stdout", false } },
	.min = 1,
	.max = -1,
	.words = CTL_WORDS_TARGETS,
	.run = run_logs,
};
