/*
 * What a worker reads from its task socket: frames of any kind, cut at any
 * place. The first byte of the input says how large the reads are. Nothing may
 * be read beyond what came; what a series gives must be as long as its pieces,
 * and nothing is kept of a series that was voided.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/runtime/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sum;

static void
look_at(const struct frame *f)
{
	struct frame_task t;

	for (size_t i = 0; i < f->head.size; i++)
		sum += f->body[i];
	if (f->head.type != WIRE_TASK || frames_task(f, &t) < 0)
		return;
	if (t.func_size > WIRE_FUNC_MAX || t.size > WIRE_PAYLOAD_MAX ||
	    sizeof(struct wire_task) + t.func_size + t.size != f->head.size)
		abort();
	for (size_t i = 0; i < t.func_size; i++)
		sum += (unsigned char)t.func[i];
	for (size_t i = 0; i < t.size; i++)
		sum += t.payload[i];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frames in;
	struct frame f;
	size_t step;
	int r = 0;

	if (size < 1 || frames_init(&in) < 0)
		return 0;
	step = data[0] == 0 ? SIZE_MAX : data[0];
	data++;
	size--;
	while (size > 0 && r >= 0) {
		size_t room, n = size < step ? size : step;
		void *to = frames_room(&in, &room);

		if (room == 0)
			abort();
		n = n < room ? n : room;
		memcpy(to, data, n);
		frames_fill(&in, n);
		data += n;
		size -= n;
		while ((r = frames_next(&in, &f)) > 0)
			look_at(&f);
	}
	frames_done(&in);
	return 0;
}
