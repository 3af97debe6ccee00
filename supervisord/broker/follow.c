#include "supervisord/broker/follow.h"

#include <string.h>

#include "supervisord/base/buf.h"
#include "supervisord/base/json.h"
#include "supervisord/base/log.h"
#include "supervisord/broker/base64.h"
#include "supervisord/broker/submission.h"
#include "supervisord/proto/wire.h"

/* Bytes around the arguments, and those of a member without its result. */
#define AROUND 160
#define MEMBER 96
#define END    32 /* of the list and the object */

bool
follow_fits(const char *then, size_t members)
{
	size_t room = WIRE_PAYLOAD_MAX - AROUND, size = strlen(then);

	return size <= room && members <= (room - size) / MEMBER;
}

/* As JSON: what is JSON as it is, bytes as {"base64":"..."}, nothing as null.
 */
static void
put_bytes(struct buf *b, const void *data, size_t size, bool json)
{
	if (data == NULL) {
		jw_null(b);
	} else if (json) {
		buf_add(b, data, size);
	} else {
		buf_str(b, "{\"base64\":\"");
		base64_put(b, data, size);
		buf_str(b, "\"}");
	}
}

static void
put_body(struct buf *b, const struct body *body, bool json)
{
	put_bytes(b, body != NULL ? body->data : NULL,
	    body != NULL ? body->size : 0, json);
}

/* after: bytes that have to follow. */
static bool
fits(const struct buf *b, size_t size, bool json, size_t after)
{
	size_t room = json ? size : size / 3 * 4 + 32;

	return b->size + room + after + 64 <= WIRE_PAYLOAD_MAX;
}

/* "result":..., or that it is left out where it does not fit. */
static void
put_result(struct buf *b, const void *data, size_t size, bool json,
    bool omitted, size_t after)
{
	buf_str(b, "\"result\":");
	if (omitted || !fits(b, size, json, after))
		buf_str(b, "null,\"omitted\":true");
	else
		put_bytes(b, data, size, json);
}

/* Consumes the submission's payload and the buffer. */
static bool
set_args(struct submission *sub, struct buf *b)
{
	struct body *args = b->failed ? NULL : body_new(buf_text(b), b->size);

	buf_done(b);
	if (args == NULL)
		return false;
	body_release(sub->payload);
	sub->payload = args;
	sub->json = true;
	return true;
}

struct submission *
follow_parse(uint64_t task, const char *then)
{
	struct submission *sub = NULL;
	char why[256] = "";
	int r = submission_parse(then, strlen(then), &sub, why, sizeof why);

	if (r != 0) {
		log_warn("task %llu: its `then` can't be submitted: %s",
		    (unsigned long long)task, why);
		return NULL;
	}
	return sub;
}

bool
follow_task(
    struct submission *sub, uint64_t task, const struct body *result, bool json)
{
	struct buf b;

	buf_init(&b);
	buf_str(&b, "{\"args\":");
	put_body(&b, sub->payload, sub->json);
	buf_fmt(&b, ",\"task\":%llu,", (unsigned long long)task);
	put_result(&b, result != NULL ? result->data : NULL,
	    result != NULL ? result->size : 0, json, false, 0);
	buf_char(&b, '}');
	return set_args(sub, &b);
}

void
follow_group_begin(struct follow_group *g, const struct submission *sub,
    uint64_t group, size_t members)
{
	*g = (struct follow_group){ .left = members, .first = true };
	buf_init(&g->text);
	buf_str(&g->text, "{\"args\":");
	put_body(&g->text, sub->payload, sub->json);
	buf_fmt(&g->text, ",\"group\":%llu,\"results\":[",
	    (unsigned long long)group);
}

bool
follow_group_fits(const struct follow_group *g, size_t size, bool json)
{
	return fits(&g->text, size, json, g->left * MEMBER + END);
}

void
follow_group_member(struct follow_group *g, uint64_t id, uint8_t state,
    const void *data, size_t size, bool json, bool omitted)
{
	struct buf *b = &g->text;

	if (g->left > 0)
		g->left--;
	if (b->size + MEMBER + END > WIRE_PAYLOAD_MAX) {
		g->skipped = true;
		return;
	}
	buf_fmt(b, "%s{\"id\":%llu,\"state\":", g->first ? "" : ",",
	    (unsigned long long)id);
	jw_string(b, state < TASK_STATES ? task_state_names[state] : NULL);
	buf_char(b, ',');
	put_result(b, data, size, json, omitted, g->left * MEMBER + END);
	buf_char(b, '}');
	g->first = false;
}

bool
follow_group_end(struct submission *sub, struct follow_group *g)
{
	buf_str(&g->text, g->skipped ? "],\"omitted\":true}" : "]}");
	return set_args(sub, &g->text);
}
