/*
 * A phoenixd for phoenixctl to talk to: serves the Control service with canned replies in a process
 * of its own. Containers: web1 is well; web2 runs on best effort and fails its verify; "lost" cannot
 * be verified; "stuck" cannot be removed; others do not exist. In a fleet, containers whose name
 * begins with "bad" fail, and the image "absent" is missing.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum fake_control_mode {
	FAKE_CONTROL_ANSWERS,
	FAKE_CONTROL_IS_SLOW,   /* 300 ms before every answer */
	FAKE_CONTROL_IS_SILENT, /* takes requests, and that is all */
	FAKE_CONTROL_HANGS_UP,  /* in the middle of a stream, instead of a reply */
	FAKE_CONTROL_FAILS,     /* every request, with fail_code and fail_step */
	FAKE_CONTROL_BABBLES,   /* what it sends is not the protocol */
};

struct fake_control {
	enum fake_control_mode mode;
	const char *text; /* in every text of every reply; NULL: what belongs there */
	int fail_code;
	const char *fail_step; /* NULL: outside of steps */
	const char *spool;     /* directory; an imported file is moved to SPOOL/../imported */
	pid_t process;
	int told; /* a byte for every request that came in */
};

/* Serve on a socket, from a child process, as the fields say. */
void fake_control_start(struct fake_control *control, const char *socket);

/* Wait until a request has come in. */
void fake_control_await(struct fake_control *control);

/* Kill it. Nothing when it does not run. */
void fake_control_stop(struct fake_control *control);
