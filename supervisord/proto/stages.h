#ifndef PROTO_STAGES_H
#define PROTO_STAGES_H

/* At which step a launch failed: the master turns it and an errno into words.
 */
enum launch_stage {
#define STAGE(NAME, words) STAGE_##NAME,
#include "supervisord/proto/stages.def"
#undef STAGE
	STAGE_COUNT
};

/* "run its command"; "?" for a number out of range. */
const char *stage_words(int stage);

#endif
