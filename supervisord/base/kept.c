#include "supervisord/base/kept.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/log.h"

static void *
map(int fd, size_t size)
{
	int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *p = mmap(
	    NULL, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void *
map_usable(int fd, size_t size, bool (*usable)(const void *p))
{
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != (off_t)size)
		return NULL;
	p = map(fd, size);
	if (p != NULL && !usable(p)) {
		munmap(p, size);
		p = NULL;
	}
	return p;
}

static int
make(const char *name, size_t size, const char *lost)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)size) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		fd = -1;
	}
	if (fd < 0)
		log_warn("no shared memory (%s): %s", strerror(errno), lost);
	return fd;
}

void *
kept_open(const char *name, size_t size, int fd, bool (*usable)(const void *p),
    const char *lost, int *ret_fd, bool *ret_fresh)
{
	void *p = map_usable(fd, size, usable);

	*ret_fd = -1;
	*ret_fresh = p == NULL;
	if (p != NULL)
		return p;
	*ret_fd = make(name, size, lost);
	p = map(*ret_fd, size);
	if (p == NULL && *ret_fd >= 0) {
		close(*ret_fd);
		*ret_fd = -1;
	}
	return p;
}
