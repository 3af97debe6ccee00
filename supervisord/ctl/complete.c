/* Completion: commands, their options, and the targets supervisord knows. */

#include <stdlib.h>
#include <string.h>

#include "supervisord/base/json.h"
#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/edit.h"
#include "supervisord/ctl/status.h"

struct matches {
	const char *text;
	char **all;
	size_t n, room;
};

static void
offer(struct matches *m, const char *word, size_t size)
{
	size_t len = strlen(m->text);

	if (size < len || memcmp(word, m->text, len) != 0)
		return;
	for (size_t i = m->n > 8 ? m->n - 8 : 0; i < m->n; i++) {
		if (strlen(m->all[i]) == size &&
		    memcmp(m->all[i], word, size) == 0)
			return;
	}
	if (m->n + 2 > m->room) {
		size_t room = m->room > 0 ? 2 * m->room : 16;
		char **all = realloc(m->all, room * sizeof *all);

		if (all == NULL)
			return;
		m->all = all;
		m->room = room;
	}
	m->all[m->n] = strndup(word, size);
	if (m->all[m->n] != NULL)
		m->n++;
	m->all[m->n] = NULL;
}

static void
offer_commands(struct matches *m, bool all)
{
	size_t n;
	const struct ctl_cmd *const *cmds = ctl_commands(&n);

	for (size_t i = 0; i < n; i++) {
		if (cmds[i]->run != NULL)
			offer(m, cmds[i]->name, strlen(cmds[i]->name));
	}
	if (all) {
		offer(m, "quit", 4);
		offer(m, "exit", 4);
	}
}

static void
offer_options(struct matches *m, const struct ctl_cmd *cmd)
{
	char text[64];

	for (size_t i = 0; i < CTL_MAX_OPTS && cmd->opts[i].name != NULL; i++) {
		if (cmd->opts[i].later)
			continue;
		text[0] = text[1] = '-';
		strncpy(text + 2, cmd->opts[i].name, sizeof text - 3);
		text[sizeof text - 1] = '\0';
		offer(m, text, strlen(text));
	}
	offer(m, "--json", 6);
}

/* Workers ("web") and instances ("web:0"), from the compact status. */
static void
offer_rows(struct matches *m, struct ctl_span body)
{
	struct ctl_status_row row;
	struct ctl_scan s;
	bool first = true;

	ctl_scan_init(&s, body.s, body.n);
	ctl_scan_open(&s, '[');
	while (ctl_status_next(&s, &first, &row)) {
		const char *colon = memrchr(row.name.s, ':', row.name.n);

		if (memchr(row.name.s, '\\', row.name.n) != NULL)
			continue;
		if (colon != NULL)
			offer(m, row.name.s, (size_t)(colon - row.name.s));
		/* Instances once the worker is chosen: 10,000 names help
		 * nobody. */
		if (strchr(m->text, ':') != NULL || colon == NULL)
			offer(m, row.name.s, row.name.n);
	}
}

/* Completion says nothing about trouble; the command itself will. */
static void
offer_targets(struct ctl *ctl, struct matches *m)
{
	struct ctl_msg msg;
	struct buf params;
	int64_t id;

	offer(m, "all", 3);
	if (ctl->path == NULL || (ctl->conn.fd < 0 && ctl_conn_open(&ctl->conn,
							  ctl->path, 1000) < 0))
		return;
	buf_init(&params);
	jw_object(&params);
	jw_kv_bool(&params, "columns", true);
	id = ctl_queue(ctl, "status", &params);
	if (id < 0 || ctl_conn_flush(&ctl->conn, 1000) < 0) {
		ctl_conn_close(&ctl->conn);
		return;
	}
	do {
		if (ctl_conn_next(&ctl->conn, 2000, &msg) < 0) {
			ctl_conn_close(&ctl->conn);
			return;
		}
	} while (msg.id != id);
	if (msg.kind == CTL_MSG_RESULT)
		offer_rows(m, msg.body);
}

char **
ctl_complete(struct ctl *ctl, const char *line, size_t start, const char *text)
{
	struct matches m = { .text = text };
	const struct ctl_cmd *cmd;
	size_t skip = strspn(line, " \t");
	char name[32];
	size_t n;

	if (start <= skip) {
		offer_commands(&m, true);
		return m.all;
	}
	n = strcspn(line + skip, " \t");
	if (n >= sizeof name)
		return NULL;
	memcpy(name, line + skip, n);
	name[n] = '\0';
	cmd = ctl_find_command(name);
	if (cmd == NULL)
		return NULL;
	if (text[0] == '-') {
		offer_options(&m, cmd);
		return m.all;
	}
	switch (cmd->words) {
	case CTL_WORDS_TARGETS:
	case CTL_WORDS_SIGNAL:
		offer_targets(ctl, &m);
		break;
	case CTL_WORDS_COMMANDS:
		offer_commands(&m, false);
		break;
	case CTL_WORDS_NONE:
	case CTL_WORDS_FILES:
		break;
	}
	return m.all;
}
