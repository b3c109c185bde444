/*
 * What the tests of clones share: an image with everything that a clone has to keep, state
 * directories on file systems of their own, and a process that is in a container's place.
 */
#pragma once

#include <stdbool.h>

#include "common/memory.h"
#include "controller/host/image/clone.h"
#include "tests/component/host_fixture.h"

#define CLONE_FIXTURE_BASE 300000
#define CLONE_FIXTURE_COUNT 65536
#define CLONE_FIXTURE_RESOLV "nameserver 10.213.0.1\n"

#define NEEDS_ROOT(state)                                                                          \
	do {                                                                                       \
		if (!*(state))                                                                     \
			skip();                                                                    \
	} while (0)

/* All but CLONE_AUTO, in its order. */
extern const enum clone_method clone_fixture_methods[4];

/* cap_net_raw+ep as revision 2, as setcap writes it; of usr/bin/ping. */
extern const char clone_fixture_capability[20];

/* What clone_fixture_add_acl() gives to var/deep/acl: user 1000 may read. */
extern const unsigned char clone_fixture_acl[44];

/* The entries of the image. */
extern const struct tar_entry clone_fixture_entries[];

/* Import an image. */
void clone_fixture_image(const struct host_fixture *fixture, const char *name,
			 const struct tar_entry *entries);

/* A request for a clone of the image "web". */
struct clone_request clone_fixture_request(const char *name, enum clone_method method);

/* Whether the host has the method; says so when it has not. */
bool clone_fixture_works(const struct host_fixture *fixture, enum clone_method method);

/* A path in a clone's current root file system, or where that of a new one will be; the caller frees it. */
char *clone_fixture_inside(const struct host_fixture *fixture, const char *name, const char *path);

/* Number of mounts below the fixture. */
int clone_fixture_mounts(const struct host_fixture *fixture);

/*
 * Run a function as a container would: in a user namespace with the range as its map, as its root.
 * Returns what the function returns (0..127).
 */
int clone_fixture_as_container(int (*act)(const char *rootfs), const char *rootfs);

/*
 * As a container on btrfs, in the tree that it sees: make subvolumes, one in another, that closed to
 * writing. 0 when it has worked.
 */
int clone_fixture_make_subvolumes(const char *rootfs);

/* Give a file of the image "web" its ACL. */
void clone_fixture_add_acl(const struct host_fixture *fixture);

/* Begin a test on a file system of its own kind, with the image "web"; false: say SKIP. */
bool clone_fixture_begin_on(const struct host_fixture *fixture, const char *type);

/* End it: nothing is left but the image, which is removed. */
void clone_fixture_end_on(const struct host_fixture *fixture);

/* Put a file of somebody else's into the directory of "web1". */
void clone_fixture_foreign_file(const struct host_fixture *fixture);

/* What a killed creation left is completed by another one, unless that is left out, and removed. */
void clone_fixture_recover(const struct host_fixture *fixture, const struct clone_request *request,
			   bool again, int mounts);

/*
 * Do something in a child, and kill it when it has come to the given stop, before or behind a system
 * call of its own; false: it had ended before, and has succeeded.
 */
bool clone_fixture_kill_at(const struct host_fixture *fixture, const struct clone_request *request,
			   int (*act)(const struct host_fixture *, const struct clone_request *),
			   unsigned int stop);

/* Whether "web1" is a clone that was never finished. */
bool clone_fixture_is_incomplete(const struct host_fixture *fixture);
