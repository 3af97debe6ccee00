#include "supervisord/broker/redis/scripts.h"

/* The assembler takes the files in, the Makefile knows that they are needed. */
/* clang-format off */
#define EMBED(name)                                                            \
	__asm__(".section .rodata\n"                                           \
		".global lua_" #name "\n"                                      \
		"lua_" #name ":\n"                                             \
		".incbin \"supervisord/broker/redis/" #name ".lua\"\n"         \
		".byte 0\n"                                                    \
		".previous\n");                                                \
	extern const char lua_##name[];

EMBED(lib)
EMBED(ends)
EMBED(queue)
EMBED(put)
EMBED(slots)
EMBED(back)
#define SCRIPT(NAME, name, parts) EMBED(name)
#define SAME(NAME, name, parts)
#include "supervisord/broker/redis/scripts.def"
#undef SCRIPT
#undef SAME

enum part {
	ENDS = 1,
	QUEUE = 2,
	PUT = 4,
	SLOTS = 8,
	BACK = 16
};

static const struct {
	const char *name, *text;
	unsigned parts;
} scripts[SCRIPTS] = {
#define SCRIPT(NAME, name, parts) [SCRIPT_##NAME] = { #name, lua_##name, parts },
#define SAME SCRIPT
#include "supervisord/broker/redis/scripts.def"
#undef SCRIPT
#undef SAME
};

/* clang-format on */

const char *
script_name(enum script which)
{
	return scripts[which].name;
}

bool
script_text(enum script which, struct buf *ret)
{
	unsigned parts = scripts[which].parts;

	buf_init(ret);
	buf_str(ret, lua_lib);
	if ((parts & ENDS) != 0)
		buf_str(ret, lua_ends);
	if ((parts & QUEUE) != 0)
		buf_str(ret, lua_queue);
	if ((parts & PUT) != 0)
		buf_str(ret, lua_put);
	if ((parts & SLOTS) != 0)
		buf_str(ret, lua_slots);
	if ((parts & BACK) != 0)
		buf_str(ret, lua_back);
	buf_str(ret, scripts[which].text);
	return !ret->failed;
}
