/*
 * What supervisorctl reads from its socket: a message, and its body as the
 * compact and the long form of status. Anything may come; nothing may be read
 * beyond its end, and a walk has to end where jansson says the value does.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "supervisord/ctl/conn.h"
#include "supervisord/ctl/status.h"
#include "supervisord/ctl/term.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every document that jansson takes, the walk takes as well, to its end. */
static void
compare(const char *text, size_t size)
{
	json_t *tree =
	    json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	struct ctl_scan s;

	if (tree == NULL)
		return;
	json_decref(tree);
	/* jansson 2.14 passes over a NUL byte behind a number. */
	if (memchr(text, '\0', size) != NULL)
		return;
	ctl_scan_init(&s, text, size);
	/* Deeper than 512 is ours to refuse. */
	if (!ctl_scan_value(&s, NULL) || !ctl_scan_at_end(&s)) {
		size_t opened = 0;

		for (size_t i = 0; i < size; i++)
			opened += text[i] == '[' || text[i] == '{';
		if (opened < 512)
			abort();
	}
}

/* Nothing harmful is left in what goes to a terminal. */
static void
check_safe(const struct buf *out)
{
	for (size_t i = 0; i < out->size; i++) {
		unsigned char c = (unsigned char)out->data[i];

		if (c == 0x7f || (c < 0x20 && c != '\n' && c != '\t'))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct ctl_msg msg;
	struct buf out;

	compare(text, size);
	buf_init(&out);
	ctl_escape(&out, text, size, true);
	check_safe(&out);
	if (ctl_msg_parse(text, size, &msg) == 0 && msg.body.s != NULL) {
		buf_clear(&out);
		ctl_status_draw(&out, msg.body, false);
		check_safe(&out);
		ctl_status_judge(msg.body);
		buf_clear(&out);
		ctl_put_time(&out, "", false);
	}
	buf_clear(&out);
	ctl_scan_unescape(&out, (struct ctl_span){ text, size });
	buf_done(&out);
	return 0;
}
