#ifndef CTL_TREE_H
#define CTL_TREE_H

/*
 * jansson, beside supervisord/base/json.h: four of its constructors have the
 * names of our writer's functions. We only read trees, so they are put out of
 * the way; json_pack("[]") makes an array where one is needed.
 */

#define json_object jansson_object
#define json_array  jansson_array
#define json_string jansson_string
#define json_null   jansson_null
#include <jansson.h>
#undef json_object
#undef json_array
#undef json_string
#undef json_null

#endif
