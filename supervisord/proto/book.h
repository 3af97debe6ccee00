#ifndef PROTO_BOOK_H
#define PROTO_BOOK_H

/*
 * The book: one sealed memfd with a launch spec for each worker. The master
 * writes it (master/book.c), the guardian maps it and never reads it, the
 * child between fork and exec does (workers/launch).
 *
 *     struct book_head
 *     strings, each NUL-terminated, shared between specs where they are equal
 *     struct book_spec, 8-byte aligned, followed by its two arrays:
 *         uint32_t argv[argc]   string references
 *         uint32_t envp[envc]   string references, "NAME=value"
 *
 * A string reference is the string's offset from the start of the book. With
 * BOOK_HOLES set in it, each byte BOOK_HOLE of the string stands for the
 * instance's index in decimal, and is filled in by the child; that is how one
 * spec serves all instances of a worker.
 */

#include <stdint.h>

#define BOOK_MAGIC 0x626f6f6bU
#define BOOK_HOLES 0x80000000U
#define BOOK_HOLE  '\x01'

struct book_head {
	uint32_t magic;
	uint32_t version; /* PROTO_VERSION */
	uint64_t size;    /* of the whole book */
};

#define BOOK_NO_UMASK 0xffffffffU

struct book_spec {
	uint32_t argc; /* at least 1 */
	uint32_t envc;
	uint32_t directory; /* string reference; 0: stay */
	uint32_t umask;     /* or BOOK_NO_UMASK */
	uint32_t
	    path; /* PATH to search argv[0] in, when it has no slash; 0: none */
	uint32_t scratch; /* bytes that suffice for both pointer arrays and all
			   * strings with their holes filled */
			  /* uint32_t argv[argc], envp[envc] */
};

#endif
