#include "supervisord/ctl/bulk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisord/ctl/ask.h"
#include "supervisord/ctl/term.h"
#include "supervisord/ctl/wait.h"

#define READ_SIZE (64U << 10)
#define LINE_MAX  (1U << 20) /* as the broker has it */

struct ctl_bulk_slot {
	size_t line;
	bool answered; /* before an older one was */
	enum ctl_msg_kind kind;
	struct buf body;
};

int
ctl_bulk_begin(struct ctl_bulk *b, struct ctl *ctl)
{
	int r = ctl_connect(ctl);

	b->ctl = ctl;
	buf_init(&b->in);
	if (r != 0)
		return r;
	b->first_id = ctl->conn.last_id + 1;
	b->ring = calloc(b->ahead, sizeof *b->ring);
	if (b->ring == NULL)
		return ctl_fail(ctl, CTL_FAILED, "out of memory");
	if (b->list && ctl->json)
		putchar('[');
	return 0;
}

/* --- answers -------------------------------------------------------------- */

void
ctl_bulk_element(struct ctl_bulk *b)
{
	if (b->list && b->ctl->json && b->told++ > 0)
		putchar(',');
}

/* How often the same was said, once something else is. */
static void
sum_up(struct ctl_bulk *b)
{
	if (b->again == 1)
		ctl_note(b->ctl, "line %zu: the same", b->again_line);
	else if (b->again > 1)
		ctl_note(b->ctl, "the same for %zu more lines, up to line %zu",
		    b->again, b->again_line);
	b->again = 0;
}

static void
say_refused(struct ctl_bulk *b, size_t line, const char *words)
{
	if (line == 0) {
		ctl_note(b->ctl, "%s", words);
		return;
	}
	if (b->refusal != NULL && strcmp(b->refusal, words) == 0) {
		b->again++;
		b->again_line = line;
		return;
	}
	sum_up(b);
	ctl_note(b->ctl, "line %zu: %s", line, words);
	free(b->refusal);
	b->refusal = strdup(words);
}

static int
tell_refused(struct ctl_bulk *b, size_t line, struct ctl_span error)
{
	json_t *tree = ctl_tree(b->ctl, error);

	if (tree == NULL)
		return CTL_NO_ANSWER;
	b->refused++;
	b->status = ctl_error_status(tree);
	say_refused(b, line, ctl_text(tree, "message"));
	if (b->ctl->json) {
		printf("{\"error\":%.*s", (int)error.n, error.s);
		if (line > 0)
			printf(",\"line\":%zu", line);
		putchar('}');
	}
	json_decref(tree);
	return 0;
}

static int
tell(struct ctl_bulk *b, size_t line, enum ctl_msg_kind kind,
    struct ctl_span body)
{
	json_t *tree;
	int r = 0;

	ctl_bulk_element(b);
	if (kind == CTL_MSG_ERROR) {
		r = tell_refused(b, line, body);
	} else {
		b->accepted++;
		if (b->ctl->json) {
			fwrite(body.s, 1, body.n, stdout);
		} else {
			tree = ctl_tree(b->ctl, body);
			if (tree == NULL)
				return CTL_NO_ANSWER;
			b->accept(b, tree);
			json_decref(tree);
		}
	}
	if (b->ctl->json && !b->list)
		putchar('\n');
	return r;
}

/* Said by us, as one more element. */
static int
broken(struct ctl_bulk *b, int r)
{
	ctl_bulk_element(b);
	return ctl_broken(b->ctl, r);
}

/* What came before its turn, and has it now. */
static int
tell_kept(struct ctl_bulk *b)
{
	int r = 0;

	while (r == 0 && b->head < b->next) {
		struct ctl_bulk_slot *slot = &b->ring[b->head % b->ahead];

		if (!slot->answered)
			break;
		r = slot->body.failed
			? ctl_fail(b->ctl, CTL_FAILED, "out of memory")
			: tell(b, slot->line, slot->kind,
			      (struct ctl_span){
				  slot->body.data, slot->body.size });
		buf_done(&slot->body);
		b->head++;
	}
	return r;
}

/* One answer. */
static int
take_answer(struct ctl_bulk *b)
{
	struct ctl_bulk_slot *slot;
	struct ctl_msg msg;
	size_t n;
	int r;

	do {
		r = ctl_conn_next(&b->ctl->conn, CTL_QUIET_MS, &msg);
		if (r < 0)
			return broken(b, r);
	} while (msg.kind == CTL_MSG_NOTIFY);
	n = (size_t)(msg.id - b->first_id);
	slot = &b->ring[n % b->ahead];
	if (n < b->head || n >= b->next || slot->answered)
		return msg.kind == CTL_MSG_ERROR
			   ? ctl_refused(b->ctl, msg.body)
			   : ctl_malformed(b->ctl, "nobody asked for it");
	if (n == b->head) {
		r = tell(b, slot->line, msg.kind, msg.body);
		b->head++;
		return r != 0 ? r : tell_kept(b);
	}
	slot->answered = true;
	slot->kind = msg.kind;
	buf_add(&slot->body, msg.body.s, msg.body.n);
	return 0;
}

/* Sends, and waits until there are no more than so many on their way. */
static int
make_room(struct ctl_bulk *b, size_t most)
{
	int r = b->next > b->head ? ctl_flush(b->ctl) : 0;

	while (r == 0 && b->next - b->head > most)
		r = take_answer(b);
	return r;
}

int
ctl_bulk_settle(struct ctl_bulk *b)
{
	int r = make_room(b, 0);

	fflush(stdout);
	return r;
}

/* --- requests ------------------------------------------------------------- */

int
ctl_bulk_ask(struct ctl_bulk *b, const char *method, struct buf *params)
{
	struct ctl_bulk_slot *slot;
	int64_t id;
	int r = b->next - b->head == b->ahead ? make_room(b, b->ahead / 2) : 0;

	if (r != 0) {
		buf_done(params);
		return r;
	}
	id = ctl_queue(b->ctl, method, params);
	if (id < 0)
		return broken(b, (int)id);
	slot = &b->ring[b->next++ % b->ahead];
	slot->line = b->line;
	slot->answered = false;
	return 0;
}

/* More of stdin; *ret_end at its end. What has been asked is settled before it
 * is waited for. */
static int
read_more(struct ctl_bulk *b, bool *ret_end)
{
	int r = ctl_wait(STDIN_FILENO, POLLIN, 0);
	ssize_t n;

	buf_consume(&b->in, b->taken);
	b->taken = 0;
	if (r == -ETIMEDOUT) {
		r = ctl_bulk_settle(b);
		if (r != 0)
			return r;
		r = ctl_wait(STDIN_FILENO, POLLIN, -1);
	}
	if (r < 0)
		return broken(b, r);
	if (b->in.size > LINE_MAX) {
		b->line++;
		return broken(b, -E2BIG);
	}
	if (!buf_reserve(&b->in, READ_SIZE))
		return ctl_fail(b->ctl, CTL_FAILED, "out of memory");
	n = read(STDIN_FILENO, b->in.data + b->in.size, READ_SIZE);
	if (n < 0)
		return ctl_fail(b->ctl, CTL_FAILED, "cannot read stdin: %s",
		    strerror(errno));
	b->in.size += (size_t)n;
	*ret_end = n == 0;
	return 0;
}

static bool
is_blank(const char *line)
{
	return line[strspn(line, " \t\r")] == '\0';
}

int
ctl_bulk_line(struct ctl_bulk *b, char **ret)
{
	bool end = false;

	*ret = NULL;
	for (;;) {
		char *line = b->in.data + b->taken, *newline = NULL;
		size_t left = b->in.size - b->taken;
		int r;

		if (left > 0)
			newline = memchr(line, '\n', left);
		if (newline == NULL && !end) {
			r = read_more(b, &end);
			if (r != 0)
				return r;
			continue;
		}
		if (left == 0)
			return 0;
		b->line++;
		b->taken +=
		    newline != NULL ? (size_t)(newline - line) + 1 : left;
		line[newline != NULL ? (size_t)(newline - line) : left] = '\0';
		if (is_blank(line))
			continue;
		*ret = line;
		return 0;
	}
}

int
ctl_bulk_end(struct ctl_bulk *b, int r)
{
	bool open = b->ctl->conn.fd >= 0 && b->ring != NULL;
	int later = open ? ctl_bulk_settle(b) : 0;

	r = r != 0 ? r : later;
	sum_up(b);
	if (b->list && b->ctl->json && b->ring != NULL)
		puts("]");
	if (b->line > 0 && (r != 0 || b->refused > 0))
		ctl_note(b->ctl, "%zu accepted, %zu refused%s", b->accepted,
		    b->refused, r != 0 ? ", then given up" : "");
	for (size_t i = 0; b->ring != NULL && i < b->ahead; i++)
		buf_done(&b->ring[i].body);
	free(b->ring);
	free(b->refusal);
	buf_done(&b->in);
	return r != 0 ? r : b->status;
}
