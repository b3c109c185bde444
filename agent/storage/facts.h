/*
 * What a choice of Docker's storage driver is made from, as one plain value: it can be written down
 * in a test table, sent over the wire and compared. Knows neither how a fact is found out (probe.h)
 * nor what follows from it (choose.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define STORAGE_DRIVER_SIZE 32
#define STORAGE_IMAGES_MAXIMUM 32 /* names that are kept; more are counted */

/* What became of a probe. The zero value is "nobody looked". */
enum storage_answer {
	STORAGE_UNKNOWN,
	STORAGE_YES,
	STORAGE_NO,
};

/* How a driver behaved when it was used on the real data-root. */
struct storage_trial {
	enum storage_answer passed;
	char check[48]; /* id of the first check that failed */
	char got[160];  /* what was seen instead */
};

struct storage_facts {
	char data_root[256];
	char kernel[65];       /* release: "6.1.0-18-amd64" */
	char filesystem[32];   /* of the data-root: "ext4", "zfs", "overlay", "fuse", "nfs" */
	char filesystem_version[32]; /* ZFS: "2.1.11-1"; "" when it has none of its own */
	bool in_user_namespace;
	enum storage_answer entry_types;     /* readdir tells d_type: xfs with ftype=1 */
	enum storage_answer acl;             /* POSIX ACLs are kept */
	enum storage_answer rename_whiteout; /* renameat2(RENAME_WHITEOUT) on the data-root */
	enum storage_answer userxattr;       /* overlay mounts as Docker mounts it here */
	enum storage_answer rename_lower;    /* a lower file can be renamed in such an overlay */
	struct storage_trial overlay;        /* the whole battery with overlay2 */
	enum storage_answer fuse_device;     /* /dev/fuse opens for reading and writing */
	char fuse_problem[64];               /* why it does not */
	char fuse_overlayfs[32];             /* its version, "" when not installed (yet) */
	struct storage_trial fuse;           /* the whole battery with fuse-overlayfs */
	char docker[64];                     /* Docker's version, "" when not installed (yet) */
	char driver_now[STORAGE_DRIVER_SIZE]; /* that Docker uses or is configured for; "" */
	char images[STORAGE_IMAGES_MAXIMUM][128]; /* that the driver of now holds, by name */
	size_t image_count;                  /* all of them, also those without a name */
	size_t image_named;                  /* entries of images */
	size_t container_count;              /* nested containers, running or not */
};

/* Receives one fact as a text; both are borrowed during the call. */
typedef void (*storage_fact_fn)(void *user, const char *key, const char *value);

/* Tell every fact in a fixed order: the same facts give the same texts. */
void storage_facts_tell(const struct storage_facts *facts, storage_fact_fn tell, void *user);

/* "yes", "no" or "unknown". */
const char *storage_answer_word(enum storage_answer answer);
