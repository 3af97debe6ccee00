#ifndef PROTO_BOOK_H
#define PROTO_BOOK_H

/*
 * The book: one sealed memfd with a launch spec for each worker. The master
 * writes it (master/book.c), the guardian maps it, the child between fork and
 * exec reads it (workers/launch); the guardian itself looks up the sockets'
 * names only.
 *
 *     struct book_head
 *     strings, each NUL-terminated, shared between specs where they are equal
 *     struct book_spec, 8-byte aligned, followed by its three arrays:
 *         uint32_t argv[argc]   string references
 *         uint32_t envp[envc]   string references, "NAME=value"
 *         uint32_t sockets[sockets]  string references, "NAME"
 *
 * A string reference is the string's offset from the start of the book. With
 * BOOK_HOLES set in it, each byte BOOK_HOLE of the string stands for the
 * instance's index in decimal, and is filled in by the child; that is how one
 * spec serves all instances of a worker. With BOOK_PIDS set, each byte BOOK_PID
 * stands for the process's own pid in the same way ("LISTEN_PID=\x02").
 *
 * The sockets are descriptors that are kept as "socket/NAME". The process has
 * them as 3, 4... in the order of the array, and behind them, if its LAUNCH
 * says threads, its task socket and the memory of its threads' slots.
 */

#include <stdint.h>

#define BOOK_MAGIC 0x626f6f6bU
#define BOOK_HOLES 0x80000000U
#define BOOK_PIDS  0x40000000U /* a book is smaller than this */
#define BOOK_HOLE  '\x01'
#define BOOK_PID   '\x02'

#define BOOK_SOCKETS  64 /* most in one spec */
#define BOOK_FIRST_FD 3  /* the first socket's place */

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
	uint32_t sockets; /* how many listening sockets */
	uint32_t pad;
	/* uint32_t argv[argc], envp[envc], sockets[sockets] */
};

#endif
