/*
 * Prove that storage and Docker work in this container, by behaviour: mount and use the wanted
 * driver on the real data-root, then run a nested container from an image made of this very binary.
 * Plain blocking code for a worker's child; knows neither the wire's calls nor the loop.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "proto/model.pb-c.h"

struct verify_wanted {
	const char *driver;    /* "fuse-overlayfs", "overlay2" or "vfs"; not "auto" */
	const char *data_root; /* "/var/lib/docker" */
	bool skip_docker;      /* the storage battery only */
	int hold_fd;           /* after "docker.nested-running", wait until this is readable or at
				  its end (at most 5 s); -1: do not wait */
};

/* One check as it is done; borrowed during the call. */
typedef void (*verify_check_fn)(void *user, const Phoenix__Check *check);

/*
 * Run the battery. A failed check is part of the report, not an error of this function; whatever
 * happens, no mount, file, image or container of ours is left. check may be NULL. The report is the
 * caller's, freed with message_free(); its facts are health_inputs() at the end.
 */
int verify_battery(const struct verify_wanted *wanted, verify_check_fn check, void *user,
		   Phoenix__VerifyReport **ret_report, struct ph_error *error);

/* `phoenix-agent nested hold|exec|layer|reach NONCE [PORT]`: the program of nested containers. */
int nested_main(int argc, char **argv);
