/*
 * Services, whoever runs them: systemd, sysvinit, OpenRC, or nobody, in which case the agent starts
 * the daemon itself, in a session of its own that outlives the agent. Knows no particular service.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

enum init_system {
	INIT_NONE,
	INIT_SYSTEMD,
	INIT_SYSVINIT,
	INIT_OPENRC,
};

/*
 * A pid file that a killed daemon leaves behind. Pids are small and soon used again in a container, so
 * the next start would take some other process for the daemon and refuse.
 */
struct service_pid_file {
	const char *program; /* whose pid it should hold; NULL ends a list */
	const char *path;
};

/* A daemon, as an init knows it and as it is started when there is none. */
struct service {
	const char *name;        /* "docker": the unit or init script */
	const char *program;     /* "dockerd": the process name to look for */
	const char *const *argv; /* without an init: what to run; ends with NULL */
	const char *log_path;    /* without an init: stdout and stderr, made with mode 0600 */
	const struct service_pid_file *pid_files; /* without an init: removed before a start when the
						     pid in them is another program's; may be NULL */
	const char *path; /* PATH of the commands used; NULL: COMMAND_PATH */
};

/* Named outcomes of service_start(), service_ensure_running(). */
enum {
	SERVICE_STARTED = 0,
	SERVICE_ALREADY = 1, /* it was running: nothing was done */
};

/* Find out which init runs this container; root is "" but in tests. */
enum init_system init_detect(const char *root);

/*
 * Wait until the init can be asked and init_detect() tells it: systemd, as process 1, makes its socket some moments after
 * it began. 0, at once with any other init; -ETIMEDOUT after timeout_ms. Blocks.
 */
int init_await(const char *root, uint32_t timeout_ms, struct ph_error *error);

/* "systemd", "sysvinit", "openrc", "none". */
const char *init_name(enum init_system init);

/*
 * The pid of a running program of this name in our own pid namespace (a nested container's are not
 * seen), the lowest when there are several; -ESRCH when there is none.
 */
pid_t process_find(const char *program);

/* Whether the service runs: 1 or 0, or a negative errno when the init could not be asked. */
int service_is_active(enum init_system init, const struct service *service, struct ph_error *error);

/* Start it unless it runs. Returns SERVICE_STARTED, SERVICE_ALREADY or a negative errno. It need
 * not answer yet when this returns. */
int service_start(enum init_system init, const struct service *service, struct ph_error *error);

/* Stop it and wait for its end, at most 30 s without an init (then SIGKILL). */
int service_stop(enum init_system init, const struct service *service, struct ph_error *error);

/* Stop it if it runs, and start it. */
int service_restart(enum init_system init, const struct service *service, struct ph_error *error);

/* Have it started at boot; nothing to do without an init. */
int service_enable(enum init_system init, const struct service *service, struct ph_error *error);

/*
 * Supervision without an init, to be called now and then: starts the service when it is not running.
 * With an init this is the init's work: nothing is done and SERVICE_ALREADY returned.
 */
int service_ensure_running(enum init_system init, const struct service *service,
			   struct ph_error *error);
