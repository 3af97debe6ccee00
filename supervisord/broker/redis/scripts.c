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
#define SCRIPT(NAME, name) EMBED(name)
#include "supervisord/broker/redis/scripts.def"
#undef SCRIPT

static const struct {
	const char *name, *text;
} scripts[SCRIPTS] = {
#define SCRIPT(NAME, name) [SCRIPT_##NAME] = { #name, lua_##name },
#include "supervisord/broker/redis/scripts.def"
#undef SCRIPT
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
	buf_init(ret);
	buf_str(ret, lua_lib);
	buf_str(ret, scripts[which].text);
	return !ret->failed;
}
