#ifndef BROKER_FOLLOW_H
#define BROKER_FOLLOW_H

/*
 * What a task is told that follows another, or a group: its arguments become
 * {"args":...,"task":ID,"result":...} or {"args":...,"group":ID,"results":[
 * {"id":...,"state":...,"result":...},...]}. Bytes are {"base64":"..."}; what
 * does not fit is null, with "omitted":true, for the whole list where members
 * had to be left out (a group from before there was follow_fits). Pure; any
 * thread may call it.
 */

#include "supervisord/base/buf.h"
#include "supervisord/broker/task.h"

/* What one is told is a payload like any other, of at most WIRE_PAYLOAD_MAX
 * bytes: whether the text of a `then` leaves room for so many members with
 * their results left out. 0: it follows one task. */
bool follow_fits(const char *then, size_t members);

/* A `then` that can't be submitted is said in the log; NULL. */
struct submission *follow_parse(uint64_t task, const char *then);

/* false: no memory. */
bool follow_task(struct submission *sub, uint64_t task,
    const struct body *result, bool json);

/* What a group's task is told, member by member: there is room for each. */
struct follow_group {
	struct buf text;
	size_t left; /* members to come */
	bool first, skipped;
};

/* Whether the next member's result fits, of so many bytes: if it does not, it
 * need not be looked up. */
bool follow_group_fits(const struct follow_group *g, size_t size, bool json);

/* One after another: begin, each of so many members, end. */
void follow_group_begin(struct follow_group *g, const struct submission *sub,
    uint64_t group, size_t members);
/* data NULL: no result; omitted: it was left out. */
void follow_group_member(struct follow_group *g, uint64_t id, uint8_t state,
    const void *data, size_t size, bool json, bool omitted);
/* Takes what was gathered; false: no memory. */
bool follow_group_end(struct submission *sub, struct follow_group *g);

#endif
