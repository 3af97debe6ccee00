#include "supervisord/proto/wire.h"

#include <endian.h>
#include <string.h>

_Static_assert(sizeof(struct wire_slots) == 64, "one cache line");
_Static_assert(sizeof(struct wire_slot) == 64, "one cache line");
_Static_assert(sizeof(struct wire_task) == 16, "no padding");
_Static_assert(sizeof(struct wire_submit) == 24, "no padding");
_Static_assert(sizeof(struct wire_result) == 8, "no padding");
_Static_assert(sizeof(struct wire_head) == WIRE_HEAD, "no padding");

void
wire_put_head(void *out, const struct wire_head *head)
{
	struct wire_head le = { htole32(head->size), head->type, head->flags,
		htole16(head->slot), htole64(head->id) };

	memcpy(out, &le, sizeof le);
}

void
wire_get_head(const void *in, struct wire_head *ret)
{
	struct wire_head le;

	memcpy(&le, in, sizeof le);
	*ret = (struct wire_head){ le32toh(le.size), le.type, le.flags,
		le16toh(le.slot), le64toh(le.id) };
}

size_t
wire_slots_size(uint32_t threads)
{
	return sizeof(struct wire_slots) + threads * sizeof(struct wire_slot);
}
