/* cppcheck does not see uthash's header: what its macros do to variables. */
#define HASH_ITER(hh, head, el, tmp)                                           \
	for ((el) = (head), (tmp) = (el); (el) != NULL; (el) = (tmp))
#define HASH_FIND(hh, head, key, size, out) ((out) = (head))
#define HASH_FIND_STR(head, key, out)       ((out) = (head))
