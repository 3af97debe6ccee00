#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

/* What the files of the master share. */

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "supervisord/base/list.h"
#include "supervisord/master/crew.h"
#include "supervisord/proto/peer.h"

struct access;
struct broken_stream;
struct control;
struct fleet;
struct forward;
struct memory;
struct probe;
struct reload;
struct sockets;
struct to_broker;
struct state;

enum phase {
	PHASE_STARTING,
	PHASE_RUNNING,
	PHASE_STOPPING
};

/* Who asked for something; uid -1: nobody, it happened by itself. */
struct actor {
	int64_t uid;
	int64_t pid;
	const char *command; /* borrowed for the call */
};

extern const struct actor nobody;

struct options {
	const char *config; /* absolute, or NULL: looked up */
	bool check, print_run_dir, version;
};

struct master {
	struct ev_loop *loop;
	enum phase phase;

	/* from the guardian's HELLO */
	struct msg_hello hello;
	struct peer guardian;
	struct peer logger;
	int logger_pid;
	bool logger_asked, logger_knows; /* streams_ask_settled */

	char config_path[PATH_MAX];
	char libexec[PATH_MAX]; /* the folder of supervisord's own programs */
	struct fleet *fleet;
	struct access *access;
	uint32_t book; /* number of the newest book */
	struct crew crew;
	struct memory *memory;

	struct state *state;
	ev_io state_io;
	struct list acks; /* exits whose commit is awaited, in order */
	uint64_t incarnation;
	char boot_id[40];

	struct control *control;
	struct reload *reload;
	struct sockets *sockets;
	ev_timer memory_timer; /* recycle.max_memory */
	struct probe *probes;  /* commands that run for an answer (probe.h) */
	uint32_t probes_run;

	/* the task queue */
	struct to_broker *broker;
	struct forward *forward;
	int broker_pid;      /* 0: there is none */
	char *broker_config; /* as it was kept last, or NULL */
	bool broker_said;    /* the guardian has been told whether ... */
	bool broker_wanted;  /* ... there is to be one */
	bool broker_unsure;  /* what an earlier master told it may be wrong */

	ev_timer amend; /* amend.h */

	char upgrade_error[256]; /* of the last try; "": none */

	/* shutdown */
	ev_timer shutdown_timer; /* shutdown_timeout */
	ev_timer finish_timer;   /* all are down, the logger is awaited */
	bool finishing;          /* all are down */
	int exit_status;
	bool at_once;

	/* streams whose file can't be written at the moment: name -> words */
	struct broken_stream *broken;
};

#endif
