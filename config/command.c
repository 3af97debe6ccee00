/* What a worker runs and where its output goes. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/load_int.h"
#include "supervisord/base/buf.h"

#define WORD_LONGEST                                                           \
	(128 * 1024 - 64) /* the kernel's MAX_ARG_STRLEN, holes filled */
#define FILE_LONGEST 3800

/* --- command
 * ---------------------------------------------------------------------- */

/* NAME= in front of a command: only a shell makes a variable of it. */
static bool
is_assignment(const char *word)
{
	size_t n = strspn(word,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

	return n > 0 && word[n] == '=' && (word[0] < '0' || word[0] > '9');
}

/* One word, still with its variables, into argv[i]. */
static int
put_word(struct reader *r, const config_setting_t *s, const char *raw,
    bool index, char **argv, size_t i)
{
	const char *text = text_expand(r, s, raw, index);

	if (text == NULL)
		return -EINVAL;
	if (strlen(text) > WORD_LONGEST)
		return fail(
		    r->l, s, "a word is longer than %d bytes", WORD_LONGEST);
	if (i == 0 && *text == '\0')
		return fail(r->l, s, "the program's name is empty");
	/* A program with a slash is a path as any other. */
	if (i == 0 && strchr(text, '/') != NULL)
		text = path_of(r->l, s, text);
	if (text != NULL)
		argv[i] = loading_keep(r->l, text);
	return text != NULL ? 0 : -ENOMEM;
}

static char **
new_argv(struct reader *r, size_t n)
{
	char **argv = arena_alloc(&r->l->own->arena, (n + 1) * sizeof *argv);

	if (argv == NULL)
		r->l->nomem = true;
	return argv;
}

/* The words of a line, each with a NUL behind it. */
static int
put_words(struct reader *r, const config_setting_t *s, const char *word,
    size_t n, bool index, char ***ret)
{
	char **argv;
	int err = 0;

	if (n == 0)
		return fail(r->l, s, "the command is empty");
	if (is_assignment(word))
		return fail(r->l, s,
		    "\"%s\" is no program: no shell is run, set variables in "
		    "environment { }",
		    word);
	argv = new_argv(r, n);
	if (argv == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n && err == 0; i++) {
		err = put_word(r, s, word, index, argv, i);
		word += strlen(word) + 1;
	}
	*ret = argv;
	return err;
}

static int
read_line(struct reader *r, const config_setting_t *s, bool index, char ***ret)
{
	struct buf words, why;
	size_t n = 0;
	int err;

	buf_init(&words);
	buf_init(&why);
	err = split_words(config_setting_get_string(s), &words, &n, &why);
	if (words.failed || why.failed) {
		r->l->nomem = true;
		err = -ENOMEM;
	} else if (err < 0) {
		fail(r->l, s, "%s", buf_text(&why));
	} else {
		err = put_words(r, s, words.data, n, index, ret);
	}
	buf_done(&words);
	buf_done(&why);
	return err;
}

static int
read_command(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	int n = strings_count(r, s, row->type->words), err = 0;
	bool index = (row->flags & SETTING_INDEX) != 0;
	char **argv;

	if (n < 0)
		return n;
	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		return read_line(r, s, index, field);
	if (n == 0)
		return fail(r->l, s, "the command is empty");
	argv = new_argv(r, (size_t)n);
	if (argv == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < (unsigned)n && err == 0; i++) {
		const config_setting_t *e = strings_at(s, i);

		err = put_word(
		    r, e, config_setting_get_string(e), index, argv, i);
	}
	if (err == 0)
		*(char ***)field = argv;
	return err;
}

/* --- processes, umask
 * ----------------------------------------------------------------- */

unsigned
cores_count(struct loading *l)
{
	int64_t n;

	if (source_number(&l->source, "cores", &n) < 0 || n < 1 ||
	    n > FLEET_INSTANCES)
		return 1;
	return (unsigned)n;
}

/* "cores", "cores*2", "cores/2" */
static int
read_processes(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	const char *text, *p;
	long n = 1, cores;
	char *end;

	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return type_int.read(r, s, row, field);
	text = text_of(r, s, false);
	if (text == NULL)
		return -EINVAL;
	if (strncmp(text, "cores", 5) != 0)
		return type_int.read(r, s, row, field);
	p = text + 5 + strspn(text + 5, " ");
	if (*p == '*' || *p == '/') {
		n = strtol(p + 1 + strspn(p + 1, " "), &end, 10);
		if (p[1] == '\0' || *end != '\0' || n < 1 ||
		    n > FLEET_INSTANCES)
			return fail(r->l, s,
			    "\"%s\" is not a number of cores (\"cores\", "
			    "\"cores*2\", \"cores/2\")",
			    text);
	} else if (*p != '\0') {
		return fail(r->l, s,
		    "\"%s\" is not a number of cores (\"cores\", \"cores*2\", "
		    "\"cores/2\")",
		    text);
	}
	cores = (long)cores_count(r->l);
	cores = *p == '/' ? MAX_OF(cores / n, 1) : cores * n;
	if (cores > row->max)
		return fail(r->l, s, "%ld is not within %lld to %lld", cores,
		    (long long)row->min, (long long)row->max);
	*(unsigned *)field = (unsigned)cores;
	return 0;
}

static bool
same_unsigned(const void *a, const void *b)
{
	return *(const unsigned *)a == *(const unsigned *)b;
}

static int
read_umask(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return type_mode.read(r, s, row, field);
}

/* --- output
 * ------------------------------------------------------------------------- */

static int
read_file(struct reader *r, const config_setting_t *s, struct output *out)
{
	const char *text = text_of(r, s, true);

	if (text == NULL)
		return -EINVAL;
	if (*text == '\0')
		return fail(r->l, s, "an empty path");
	text = path_of(r->l, s, text);
	if (text == NULL)
		return -ENOMEM;
	if (strlen(text) > FILE_LONGEST)
		return fail(r->l, s, "the path is too long");
	if (text[strlen(text) - 1] == '/')
		return fail(r->l, s, "\"%s\" is a folder, not a file", text);
	out->file = loading_keep(r->l, text);
	return 0;
}

static int
kind_of_word(const char *word, bool is_stderr)
{
	if (strcmp(word, "inherit") == 0)
		return OUTPUT_INHERIT;
	if (strcmp(word, "null") == 0)
		return OUTPUT_NULL;
	if (strcmp(word, "syslog") == 0)
		return OUTPUT_SYSLOG;
	if (strcmp(word, "stdout") == 0 && is_stderr)
		return OUTPUT_STDOUT;
	return -1;
}

/* The presets of the group's members, for what is no group. */
static int
preset_members(struct reader *r, const struct setting *row, struct output *out)
{
	const config_setting_t *s = config_root_setting(&r->l->presets->config);

	s = config_setting_get_member(s, "members");
	return members_read(
	    r, config_setting_get_member(s, row->key), row, out);
}

static int
read_either_output(struct reader *r, const config_setting_t *s,
    const struct setting *row, struct output *out, bool is_stderr)
{
	const config_setting_t *file;
	const char *word;
	int kind, err;

	*out = (struct output){ .kind = OUTPUT_FILE };
	if (config_setting_is_group(s)) {
		err = members_read(r, s, row, out);
		file = config_setting_get_member(s, "file");
		if (file == NULL)
			return err;
		word = config_setting_get_string(file);
		if (word != NULL && kind_of_word(word, true) >= 0)
			return fail(r->l, file,
			    "\"%s\" is not a file: write %s = \"%s\" (a file "
			    "of that name is \"./%s\")",
			    word, row->key, word, word);
		return read_file(r, file, out) < 0 ? -EINVAL : err;
	}
	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return fail_type(r, s, row->type->words);
	err = preset_members(r, row, out);
	word = text_of(r, s, true);
	if (word == NULL)
		return -EINVAL;
	if (strcmp(word, "stderr") == 0 ||
	    (strcmp(word, "stdout") == 0 && !is_stderr))
		return fail(r->l, s,
		    "\"%s\" is not known here (supervisord's own is "
		    "\"inherit\"; a file of that name is \"./%s\")",
		    word, word);
	kind = kind_of_word(word, is_stderr);
	if (kind < 0)
		return read_file(r, s, out);
	out->kind = (enum output_kind)kind;
	return err;
}

static int
read_output(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return read_either_output(r, s, row, field, false);
}

static int
read_stderr(struct reader *r, const config_setting_t *s,
    const struct setting *row, void *field)
{
	return read_either_output(r, s, row, field, true);
}

static bool
same_output(const void *a, const void *b)
{
	const struct output *x = a, *y = b;

	return x->kind == y->kind && type_path.same(&x->file, &y->file) &&
	       x->max_size == y->max_size && x->keep == y->keep &&
	       x->compress == y->compress && x->timestamps == y->timestamps;
}

/* A module's path stands in argv, too: one name is enough for its change. */
static bool
same_command(const void *a, const void *b)
{
	const size_t at = offsetof(struct worker, argv);
	const struct worker *x = (const void *)((const char *)a - at);
	const struct worker *y = (const void *)((const char *)b - at);

	return (x->module != NULL && y->module != NULL) || same_strings(a, b);
}

const struct type type_command = { "a string or an array of strings",
	read_command, same_command };
const struct type type_argv = { "a string or an array of strings", read_command,
	same_strings };
const struct type type_processes = {
	"a number or \"cores\", \"cores*2\", \"cores/2\"", read_processes,
	same_unsigned
};
const struct type type_umask = { "octal digits in quotes", read_umask,
	same_unsigned };
const struct type type_output = {
	"\"inherit\", \"null\", \"syslog\", a path or a group { }", read_output,
	same_output
};
const struct type type_stderr = {
	"\"stdout\", \"inherit\", \"null\", \"syslog\", a path or a group { }",
	read_stderr, same_output
};
