/* help: the commands and their options, for people or as JSON. */

#include <stdio.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ctl.h"

static void
print_option(const struct ctl_opt *opt)
{
	char text[64];
	int n = 0;

	if (opt->letter < 256)
		n = snprintf(text, sizeof text, "-%c, ", opt->letter);
	snprintf(text + n, sizeof text - (size_t)n, "--%s%s%s", opt->name,
	    opt->value != NULL ? "=" : "",
	    opt->value != NULL ? opt->value : "");
	printf("  %-26s %s%s\n", text, opt->help,
	    opt->later ? " (not supported yet)" : "");
}

static void
print_command(const struct ctl_cmd *cmd)
{
	printf("usage: supervisorctl %s%s%s\n%s\n", cmd->name,
	    cmd->usage[0] != '\0' ? " " : "", cmd->usage, cmd->help);
	if (cmd->more != NULL)
		printf("\n%s\n", cmd->more);
	if (cmd->opts[0].name != NULL)
		printf("\noptions:\n");
	for (size_t i = 0; i < CTL_MAX_OPTS && cmd->opts[i].name != NULL; i++)
		print_option(&cmd->opts[i]);
}

static void
print_usage(void)
{
	size_t n_globals, n;
	const struct ctl_opt *globals = ctl_globals(&n_globals);
	const struct ctl_cmd *const *commands = ctl_commands(&n);

	printf("usage: supervisorctl [-c FILE | -s SOCKET] [--json] "
	       "[COMMAND ...]\n"
	       "Without a command: an interactive shell, or one command a line "
	       "from stdin.\n\noptions:\n");
	for (size_t i = 0; i < n_globals; i++)
		print_option(&globals[i]);
	printf("\ncommands (more: supervisorctl help COMMAND):\n");
	for (size_t i = 0; i < n; i++) {
		if (commands[i]->run != NULL)
			printf("  %-10s %s\n", commands[i]->name,
			    commands[i]->help);
	}
	printf("\nA TARGET is a worker (web), an instance (web:0) or all.\n"
	       "Exit status: 0 done, 1 failed, 2 usage, 3 not running, "
	       "4 no such target,\n7 no supervisord answers.\n");
}

/* --- as JSON -------------------------------------------------------------- */

static void
put_text(struct buf *b, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		jw_kv_string(b, key, text);
	else
		jw_kv_null(b, key);
}

static void
put_options(struct buf *b, const struct ctl_opt *opts, size_t n)
{
	char letter[2] = "";

	jw_key(b, "options");
	jw_array(b);
	for (size_t i = 0; i < n && opts[i].name != NULL; i++) {
		if (opts[i].later)
			continue;
		letter[0] = opts[i].letter < 256 ? (char)opts[i].letter : '\0';
		jw_object(b);
		jw_kv_string(b, "name", opts[i].name);
		put_text(b, "letter", letter);
		put_text(b, "value", opts[i].value);
		jw_kv_string(b, "help", opts[i].help);
		jw_object_end(b);
	}
	jw_array_end(b);
}

static void
put_command(struct buf *b, const struct ctl_cmd *cmd)
{
	jw_object(b);
	jw_kv_string(b, "name", cmd->name);
	put_text(b, "usage", cmd->usage);
	jw_kv_string(b, "help", cmd->help);
	put_text(b, "more", cmd->more);
	put_options(b, cmd->opts, CTL_MAX_OPTS);
	jw_object_end(b);
}

static void
put_all(struct buf *b)
{
	size_t n_globals, n;
	const struct ctl_opt *globals = ctl_globals(&n_globals);
	const struct ctl_cmd *const *commands = ctl_commands(&n);

	jw_object(b);
	put_options(b, globals, n_globals);
	jw_key(b, "commands");
	jw_array(b);
	for (size_t i = 0; i < n; i++) {
		if (commands[i]->run != NULL)
			put_command(b, commands[i]);
	}
	jw_array_end(b);
	jw_object_end(b);
}

static void
print_json(struct buf *json)
{
	if (!json->failed)
		puts(buf_text(json));
	buf_done(json);
}

/* --- either --------------------------------------------------------------- */

void
ctl_help_command(const struct ctl *ctl, const struct ctl_cmd *cmd)
{
	struct buf json;

	if (!ctl->json) {
		print_command(cmd);
		return;
	}
	buf_init(&json);
	put_command(&json, cmd);
	print_json(&json);
}

void
ctl_help_all(const struct ctl *ctl)
{
	struct buf json;

	if (!ctl->json) {
		print_usage();
		return;
	}
	buf_init(&json);
	put_all(&json);
	print_json(&json);
}

static int
run_help(struct ctl *ctl, const struct ctl_args *args)
{
	const struct ctl_cmd *cmd;

	if (args->n == 0) {
		ctl_help_all(ctl);
		return CTL_DONE;
	}
	cmd = ctl_find_command(args->words[0]);
	if (cmd == NULL)
		return ctl_fail(ctl, CTL_USAGE,
		    "there is no command \"%s\"; see: supervisorctl help",
		    args->words[0]);
	ctl_help_command(ctl, cmd);
	return CTL_DONE;
}

const struct ctl_cmd ctl_cmd_help = {
	.name = "help",
	.usage = "[COMMAND]",
	.help = "list the commands, or explain one",
	.max = 1,
	.words = CTL_WORDS_COMMANDS,
	.run = run_help,
};
