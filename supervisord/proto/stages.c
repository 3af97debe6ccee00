#include "supervisord/proto/stages.h"

static const char *const words[] = {
#define STAGE(NAME, text) [STAGE_##NAME] = text,
#include "supervisord/proto/stages.def"
#undef STAGE
};

const char *
stage_words(int stage)
{
	return stage >= 0 && stage < STAGE_COUNT ? words[stage] : "?";
}
