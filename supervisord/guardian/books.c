#include "supervisord/guardian/books.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/proto/book.h"
#include "supervisord/proto/messages.h"

#define BOOKS 8
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static struct book books[BOOKS];

static void
unmap_unread(struct book *b)
{
	if (b->data == NULL || !b->dropped || b->readers > 0)
		return;
	munmap((void *)(uintptr_t)b->data, b->size);
	b->data = NULL;
}

static struct book *
free_place(void)
{
	for (int i = 0; i < BOOKS; i++) {
		if (books[i].data == NULL)
			return &books[i];
	}
	return NULL;
}

/* Without the seals a master that dies could shrink it under a reader. */
static int
map(int fd, uint64_t size, const char **ret)
{
	const struct book_head *head;
	struct stat st;
	void *p;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != size || size < sizeof *head ||
	    size >= BOOK_PIDS)
		return -EPROTO;
	p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	head = p;
	if (head->magic != BOOK_MAGIC || head->version != PROTO_VERSION ||
	    head->size != size) {
		munmap(p, size);
		return -EPROTO;
	}
	*ret = p;
	return 0;
}

int
books_add(uint32_t id, int fd, uint64_t size)
{
	struct book *b;
	const char *data = NULL;
	int error;

	books_drop(id);
	b = free_place();
	error = b != NULL ? map(fd, size, &data) : -ENOSPC;
	close(fd);
	if (error < 0)
		return error;
	*b = (struct book){ .data = data, .size = size, .id = id };
	return 0;
}

struct book *
books_get(uint32_t id)
{
	for (int i = 0; i < BOOKS; i++) {
		if (books[i].data != NULL && !books[i].dropped &&
		    books[i].id == id)
			return &books[i];
	}
	return NULL;
}

static void
drop(struct book *b)
{
	b->dropped = 1;
	unmap_unread(b);
}

void
books_drop(uint32_t id)
{
	struct book *b = books_get(id);

	if (b != NULL)
		drop(b);
}

void
books_drop_all(void)
{
	for (int i = 0; i < BOOKS; i++) {
		if (books[i].data != NULL)
			drop(&books[i]);
	}
}

void
books_hold(struct book *b)
{
	b->readers++;
}

void
books_release(struct book *b)
{
	b->readers--;
	unmap_unread(b);
}
