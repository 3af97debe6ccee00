#ifndef MASTER_CREW_H
#define MASTER_CREW_H

/*
 * The instances there are, in teams (one a worker). Found by name, by the
 * launch's cookie and by the guardian's slot in constant time.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/list.h"
#include "supervisord/master/memory.h"

#undef uthash_fatal
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define CREW_SLOTS 65536

struct master;
struct rules;
struct worker;

struct instance {
	struct memory_row *row; /* its name, its life, its last exit */
	struct team *team;
	uint32_t id;         /* the cookie of its launches */
	bool doomed;         /* to be freed once it is down */
	ev_timer timer;      /* row->life.deadline */
	struct list queue;   /* of those that wait for their turn to start */
	struct list waiters; /* job items, see jobs.h */
	bool heard;          /* its process is in the guardian's table */
	bool moved;          /* this master has taken a step of its life */

	/* Its process is replaced though it is well (recycle.h). */
	bool hard;            /* by SIGKILL at once */
	unsigned quick_kills; /* in a row, of processes that had just begun */
	ev_timer age;         /* recycle.max_age */
	int64_t memory_limit; /* recycle.max_memory, as drawn for the process */
	char *due;            /* why it waits for its turn to be replaced */
	char *note; /* why the process note_pid is, or was, replaced */
	int note_pid;
	int drains_pid; /* takes no more tasks, to be replaced; 0 (relief.h) */

	/* What its process cpu_pid, and those below it, had used at the last
	 * look (autoscale.h). */
	int64_t cpu_used;
	int cpu_pid;
};

struct team {
	const struct worker *worker; /* of the present fleet */
	uint64_t spec;               /* its place in the book */
	uint64_t scaler_spec;        /* that of autoscale.command */
	struct instance **instances; /* by index; NULL: none with this index */
	unsigned room;
	unsigned wanted;            /* how many there shall be */
	bool scaled;                /* by a user, not by the config */
	bool doomed;                /* not in the config any more */
	struct retired *retired;    /* the fleet a doomed one's worker is of */
	unsigned members;           /* instances there are */
	unsigned due;               /* of them wait to be replaced */
	struct instance *recycling; /* the one that is just being replaced */
	unsigned draining;          /* drains_pid is set in so many */
	struct relief *relief;      /* for those that are replaced, or NULL */
	struct scaler *scaler;      /* autoscale by cpu or command, or NULL */
	char *scale_why;            /* what autoscale did last, or NULL */
	int64_t scale_at;           /* when, monotonic ns */
	size_t order;               /* its place in the config */
	UT_hash_handle hh;
	char name[PROTO_NAME];
};

struct crew {
	struct team *teams; /* hash by name, in the order of the config */
	struct instance **ids;
	uint32_t *free_ids;
	uint32_t ids_used, ids_room, free_ids_count;
	struct instance **slots; /* CREW_SLOTS, by guardian slot */
	unsigned count;          /* instances */
	unsigned starting;       /* in STARTING */
	unsigned down;     /* with no process, and none to come by itself */
	struct list queue; /* instances in WAITING, first come first served */
};

bool crew_init(struct crew *crew);

struct team *crew_team(const struct crew *crew, const char *name);
struct team *crew_add_team(
    struct crew *crew, const char *name, const struct worker *worker);
void crew_remove_team(struct crew *crew, struct team *team);

/* "web:12" into "web" and 12; false: not a name we give. */
bool crew_split(const char *name, char worker[PROTO_NAME], unsigned *ret_index);

/* The instance of that name ("web:0"), or NULL. */
struct instance *crew_find(const struct crew *crew, const char *name);
/* A new instance on the given row, or on a row of its own (NULL). NULL: no
 * memory. */
struct instance *crew_add(struct master *m, struct team *team, unsigned index,
    struct memory_row *row);
/* It must be down. */
void crew_remove(struct master *m, struct instance *it);

struct instance *crew_by_id(const struct crew *crew, uint32_t id);
struct instance *crew_by_slot(
    const struct crew *crew, uint32_t slot, uint32_t gen);
void crew_set_slot(
    struct crew *crew, struct instance *it, uint32_t slot, uint32_t gen);

const struct rules *instance_rules(const struct instance *it);

/* Every instance, in the order of the config; it may be removed inside. */
#define CREW_FOREACH(crew, team, tmp, i, it)                                   \
	HASH_ITER(hh, (crew)->teams, team, tmp)                                \
	for ((i) = 0; (i) < (team)->room; (i)++)                               \
		if (((it) = (team)->instances[i]) != NULL)

#endif
