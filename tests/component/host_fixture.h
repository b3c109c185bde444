/*
 * What the tests of the root executor's rooms share: a mount namespace of their own, a state and a
 * run directory, and archives made entry by entry, hostile ones too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/config.h"

struct host_fixture {
	struct config config;
	char base[64]; /* everything lies below: base/state, base/run, base/sentinel */
};

/* One entry of an archive. */
struct tar_entry {
	char kind; /* f(ile) d(ir) l(symlink) h(ard link) c(har device) p(ipe) s(parse file) */
	const char *path;
	const char *text;    /* contents or target; "%b" size for a file of zeros: "=1048576" */
	mode_t mode;         /* 0: 0644, 0755 for directories */
	int64_t uid, gid;
	const char *xattr;   /* name of an extended attribute ... */
	const char *value;   /* ... and its value ... */
	size_t value_size;   /* ... of this size */
};

/* Private mount namespace; false when that is impossible (not root): the tests are skipped. */
bool host_fixture_enter(void);

/* cmocka setup: skip()s unless host_fixture_enter() worked. */
int host_fixture_setup(void **state);

/* cmocka teardown: unmounts what is left below base, removes it, fails when mounts were left. */
int host_fixture_teardown(void **state);

/* Write an archive of the entries (ended by kind 0) into the spool; filter "none", "zstd" ... */
void host_fixture_spool(const struct host_fixture *fixture, const char *file, const char *filter,
			const struct tar_entry *entries);

/* The same, with what a system needs in front of them. */
void host_fixture_spool_system(const struct host_fixture *fixture, const char *file,
			       const struct tar_entry *entries);

/* Number of entries in base/path, "." and ".." not counted; -1 when there is no such directory. */
int host_fixture_entries(const struct host_fixture *fixture, const char *path);

/* base/path; the caller frees it. */
char *host_fixture_path(const struct host_fixture *fixture, const char *path);

/* The sentinel file beside the state directory is as it was. */
void host_fixture_assert_sentinel(const struct host_fixture *fixture);
