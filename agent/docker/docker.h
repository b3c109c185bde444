/*
 * Docker in this container: what is there, what would have to change, and the change itself as
 * forward convergence (apt is not transactional: nothing is rolled back, every step may run again,
 * and a second run finishes what a killed one began). Plain blocking code for a worker's child; the
 * wire and the loop are not known here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "agent/docker/dpkg_status.h"
#include "agent/docker/plan.h"
#include "agent/system/init.h"
#include "common/error.h"

#define DOCKER_RUN_DIR "/run/phoenix-agent"

/* apt's repository of the source docker-ce. */
struct docker_repository {
	const char *uri;        /* NULL, "": Docker's own for the distribution */
	const char *suite;      /* NULL, "": the distribution's codename */
	const char *components; /* NULL, "": stable */
	const char *key;        /* ASCII-armoured public key; required */
};

struct docker_wanted {
	const char *source; /* "distribution", "docker-ce", "bundle" or "none"; NULL: distribution */
	const char *version; /* pattern of its package's version: "20.10.*"; NULL, "", "any": any */
	bool hold;           /* keep its packages from being changed by others */
	const char *daemon;  /* JSON object for daemon.json; NULL, "": none */
	bool sets_daemon;             /* daemon is known: what an earlier one has set may go */
	bool daemon_override;         /* it wins over the user's keys */
	const char *const *users;     /* for the group docker */
	size_t user_count;
	struct docker_repository repository; /* of docker-ce */
	const char *bundle;           /* of bundle: the directory that holds it */
	const char *storage_driver; /* "fuse-overlayfs"; NULL: that */
	const char *replaces_driver; /* another one that daemon.json may name and that is to go: the
				      * change was consented to; NULL: none */
	bool plan_only;             /* say what would change, change nothing */
	bool leave_dockerd;         /* docker_observe() does not ask it: it may never answer */
	uint32_t lock_timeout_ms;   /* for other package managers and installs; 0: 5 min */
	uint32_t apt_timeout_ms;    /* for each apt run; 0: 20 min */
	uint32_t start_timeout_ms;  /* until dockerd has to answer; 0: 90 s */
	const char *root;           /* prefix of every path: "" but in tests; NULL: "" */
	const char *path;           /* PATH of every command; NULL: COMMAND_PATH */
};

enum docker_progress_state {
	DOCKER_STEP_STARTED,
	DOCKER_STEP_RUNNING, /* message says what is going on */
	DOCKER_STEP_DONE,
	DOCKER_STEP_UNCHANGED,
	DOCKER_STEP_FAILED, /* error is set */
};

struct docker_progress {
	const char *step;
	enum docker_progress_state state;
	const char *message; /* "" when there is none */
	uint32_t index;      /* 1-based position of the step */
	uint32_t total;
	uint64_t duration_ms;         /* of an ended step */
	const struct ph_error *error; /* of a failed one */
};

/* Everything is borrowed during the call. */
typedef void (*docker_progress_fn)(void *user, const struct docker_progress *progress);

struct docker_result {
	bool changed;              /* something was written, installed or started */
	struct docker_facts facts; /* as they are at the end */
	struct docker_plan plan;   /* what was found to be needed at the beginning */
};

/*
 * Bring Docker to the wanted state. The error names the step, the cause and the remedy; nothing but
 * packages that apt has already unpacked and a complete daemon.json stays behind a failure. An
 * install that runs already is waited for. progress may be NULL. ret_result is filled on success.
 */
int docker_install(const struct docker_wanted *wanted, docker_progress_fn progress, void *user,
		   struct docker_result *ret_result, struct ph_error *error);

/*
 * Find out how things are, without writing anything. Fails only when that cannot be found out
 * (no os-release, an unreadable package database): what is missing or wrong is a fact. A daemon.json
 * that cannot be merged is a fact too (config_refusal).
 */
int docker_observe(const struct docker_wanted *wanted, struct docker_facts *ret_facts,
		   struct ph_error *error);

/*
 * The running daemon's own words, from `docker info`: server version, driver, cgroup driver, data
 * root. Fields of facts that it does not tell stay as they are. -EAGAIN when it does not answer
 * within timeout_ms, -ENOENT without a docker program.
 */
int docker_ask(const char *path, uint32_t timeout_ms, struct docker_facts *facts,
	       struct ph_error *error);

/*
 * The fragment of daemon.json that the last install has merged, for the caller to free; "" when there
 * was none.
 */
char *docker_fragment(const char *root);

/* Fill the description of dockerd as a service; everything in it is static or borrowed from path. */
void docker_service(const char *path, struct service *ret_service);

/*
 * Supervise dockerd where nothing else does: call every few seconds when there is no init. Mounts
 * cgroups when nobody did and starts dockerd when it is installed, unguarded (no install is at work)
 * and dead. Returns SERVICE_STARTED, SERVICE_ALREADY (nothing done), or a negative errno.
 */
int docker_ensure_running(struct ph_error *error);
