#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

/* What the files of the broker share. */

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/list.h"
#include "supervisord/broker/task.h"
#include "supervisord/proto/peer.h"
#include "supervisord/rpc/access.h"

#undef uthash_fatal
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct clients;
struct core;
struct flights;
struct hands;
struct limits;
struct schedules;
struct shared;
struct store;

enum durability {
	DURABLE_FULL,    /* survives a power cut */
	DURABLE_PROCESS, /* survives any kill, not a power cut */
	DURABLE_NONE     /* in memory only */
};

/* A worker's settings as the master sends them ("broker/config"). ms, bytes. */
struct pool_config {
	char name[WORKER_NAME_MAX + 1];
	bool exec; /* the command is run once per task */
	uint32_t threads;
	int64_t timeout_ms; /* 0: none */
	int64_t grace_ms;   /* between the cancel flag and the kill */
	int64_t sibling_grace_ms;
	int32_t retries;
	int64_t backoff_initial_ms, backoff_max_ms;
	double backoff_factor, backoff_jitter;
	uint64_t max_queue; /* 0: no limit */
	int64_t result_ttl_ms;
	int64_t aging_ms;
	uint32_t max_crashes; /* then dead */
	enum durability durability;
	uint32_t key_concurrency; /* 0: no cap */
	double key_rate;          /* starts per second and key; 0: no limit */
	uint64_t recycle_tasks;   /* 0: off; per process */
	double recycle_jitter;
	bool autoscale;
	uint32_t scale_min, scale_max; /* instances */
	uint64_t scale_backlog;        /* queued tasks per thread to grow at */
	uint32_t min_spare, max_spare; /* idle threads */
	int64_t scale_cooldown_ms;
	uint32_t instances; /* the config's number */
	bool shared;        /* its queue is in the shared store */
};

enum overlap {
	OVERLAP_SKIP,
	OVERLAP_QUEUE, /* one more may wait */
	OVERLAP_ALLOW
};

enum catch_up {
	CATCH_UP_ONE,
	CATCH_UP_NONE,
	CATCH_UP_ALL
};

struct schedule_config {
	char name[WORKER_NAME_MAX + 1];
	char worker[WORKER_NAME_MAX + 1];
	char *func, *args; /* args: JSON text or NULL */
	char *cron;        /* or NULL */
	int64_t every_ms;  /* or 0 */
	char *timezone;    /* NULL: UTC */
	enum catch_up catch_up;
	uint32_t catch_up_max;
	enum overlap overlap;
	uint8_t priority;
	int64_t timeout_ms; /* -1: the worker's */
};

struct broker {
	struct ev_loop *loop;
	struct peer guardian, master;
	int listen_fd;  /* "broker/listen" of a broker before; -1 (taken) */
	int flights_fd; /* "broker/flights"; the same */
	bool told;      /* all that was kept has come */
	bool running;   /* store, core, clients are there */
	bool finishing; /* FINISH has come */
	bool gone;      /* so is the guardian */
	bool
	    strangers; /* workers are there whose HELLO is not known any more */

	/* From "broker/config" (config.h). What points into an old one is void
	 * when core_configure, clients_configure and schedules_configure have
	 * returned. */
	bool configured;
	int log_level; /* enum log_level */
	bool log_json;
	char tasks_path[PATH_MAX]; /* of tasks.sock */
	char store_path[PATH_MAX]; /* "": in memory */
	char *shared_url;          /* of the shared store; NULL: none is used */
	int64_t lease_ms;          /* of what is claimed there */
	mode_t socket_mode;
	gid_t socket_group; /* (gid_t)-1: none */
	struct access access;
	struct pool_config *pools;
	size_t pools_count;
	struct schedule_config *schedules_config;
	size_t schedules_count;

	struct store *store; /* NULL until the config has come */
	bool store_well;
	bool store_unread; /* what is in its file is not known */
	char store_words[512];
	struct shared *shared; /* NULL: not used */
	bool shared_well;
	char shared_words[512];      /* why it is not, or takes no new tasks */
	char shared_name[320];       /* its URL, without a password */
	char shared_host[160];       /* our name there: host and pid */
	struct shared_as *shared_as; /* how it was opened (start_shared.c) */
	bool shared_leave;           /* what is claimed there is given back */
	struct core *core;           /* the queues (core.h) */
	struct hands *hands;         /* the instances' task sockets (hands.h) */
	struct flights *flights;     /* what is with whom (flights.h) */
	struct clients *clients;     /* tasks.sock (clients.h) */
	struct schedules *schedules; /* (schedule.h) */
	struct limits *limits;       /* one heap of deadlines (limits.h) */
	struct buf events; /* for the history, while there is no master */
	ev_prepare turn;
};

/* The pool's settings, or NULL. */
const struct pool_config *broker_pool(
    const struct broker *b, const char *worker);

/* An event for the history, by way of the master; printf-like. */
void broker_event(struct broker *b, const char *name, const char *kind,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* What is wrong with the stores, for people; true: "", they are well. */
bool broker_health(const struct broker *b, char *words, size_t size);

/* It has changed: the master is told, and the words, where there are any, are
 * logged and kept in the history. */
void broker_health_news(struct broker *b, bool well, const char *words);

/* Asks the master for so many instances of a worker. */
void broker_scale(
    struct broker *b, const char *worker, uint32_t instances, const char *why);

/* The master is there (again): what could not be told is told. */
void broker_master_up(struct broker *b);

#endif
