#include "workers/runtime/slots.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisord/base/log.h"

#define STORE(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)

static bool
map_shared(struct slots *s, int fd, unsigned threads)
{
	const struct wire_slots *head;
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)s->size) {
		log_warn("the slots' memory is not as large as it should be; "
			 "going without");
		return false;
	}
	p = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		log_warn("cannot map the slots' memory: %s; going without",
		    strerror(errno));
		return false;
	}
	head = p;
	if (head->magic != WIRE_SLOTS_MAGIC || head->threads != threads) {
		log_warn("the slots' memory is for %u threads, not for %u; "
			 "going without",
		    head->threads, threads);
		munmap(p, s->size);
		return false;
	}
	s->memory = p;
	s->shared = true;
	return true;
}

int
slots_open(struct slots *s, int fd, unsigned threads)
{
	memset(s, 0, sizeof *s);
	s->size = wire_slots_size(threads);
	if (fd < 0 || !map_shared(s, fd, threads)) {
		s->memory = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (s->memory == MAP_FAILED)
			return -ENOMEM;
	}
	s->slot = (void *)((char *)s->memory + sizeof(struct wire_slots));
	return 0;
}

void
slots_disown(struct slots *s)
{
	void *p;

	if (!s->shared)
		return;
	p = mmap(s->memory, s->size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		_exit(127);
}

void
slot_hello(struct wire_slot *slot)
{
	STORE(slot->share, WIRE_NO_SHARE);
	STORE(slot->tid, (uint32_t)gettid());
}

void
slot_task(struct wire_slot *slot, uint64_t id, uint32_t attempt, int64_t now)
{
	STORE(slot->attempt, attempt);
	STORE(slot->share, WIRE_NO_SHARE);
	STORE(slot->since, now);
	STORE(slot->busy, (uint32_t)SLOT_TASK);
	__atomic_store_n(&slot->task, id, __ATOMIC_RELEASE);
}

void
slot_connection(struct wire_slot *slot, int64_t now)
{
	STORE(slot->connections, slot->connections + 1);
	STORE(slot->since, now);
	STORE(slot->busy, (uint32_t)SLOT_CONNECTION);
}

void
slot_idle(struct wire_slot *slot, int64_t now)
{
	STORE(slot->task, (uint64_t)0);
	STORE(slot->since, now);
	__atomic_store_n(&slot->busy, (uint32_t)SLOT_IDLE, __ATOMIC_RELEASE);
}

void
slot_share(struct wire_slot *slot, uint32_t share)
{
	STORE(slot->share, share);
}

bool
slot_cancelled(const struct wire_slot *slot, uint64_t id)
{
	return __atomic_load_n(&slot->cancel, __ATOMIC_ACQUIRE) == id;
}
