#include "supervisord/master/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisord/base/buf.h"

int
memfd_sealed(const char *name, const struct buf *text)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;
	int error;

	if (fd < 0)
		return -errno;
	while (at < text->size) {
		ssize_t n = write(fd, text->data + at, text->size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			goto failed;
		at += (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto failed;
	return fd;
failed:
	error = errno;
	close(fd);
	return -error;
}
