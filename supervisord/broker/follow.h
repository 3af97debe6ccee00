#ifndef BROKER_FOLLOW_H
#define BROKER_FOLLOW_H

/*
 * What a task is told that follows another, or a group: its arguments become
 * {"args":...,"task":ID,"result":...} or {"args":...,"group":ID,"results":[
 * {"id":...,"state":...,"result":...},...]}. Bytes are {"base64":"..."}; what
 * does not fit is null, with "omitted":true. Pure; any thread may call it.
 */

#include "supervisord/broker/task.h"

/* A `then` that can't be submitted is said in the log; NULL. */
struct submission *follow_parse(uint64_t task, const char *then);

/* false: no memory. */
bool follow_task(struct submission *sub, uint64_t task,
    const struct body *result, bool json);

/* One after another: begin, each member, end. */
struct buf;
void follow_group_begin(
    struct buf *b, const struct submission *sub, uint64_t group);
/* data NULL: no result; omitted: it was left out. */
void follow_group_member(struct buf *b, uint64_t id, uint8_t state,
    const void *data, size_t size, bool json, bool omitted);
/* Takes what is in the buffer; false: no memory. */
bool follow_group_end(struct submission *sub, struct buf *b);

#endif
