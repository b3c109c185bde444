/*
 * The escape suite: what a container's root may try, one row per attempt, run by the program
 * `escape` from inside. A row knows how to make the attempt, how to see afterwards whether it
 * went through, and which layers must each be able to stop it alone; it does not know the
 * condition it runs under. tests/system/escape.sh builds the conditions (every layer alone, all
 * together, none), and joins the results with the ones of the host's own root, the control.
 */
#ifndef ESCAPE_H
#define ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A directory that Docker's data-root would have; the profile allows most there. */
#define SCRATCH "/var/lib/docker/escape"
/* A directory outside it. */
#define ELSEWHERE "/mnt/escape"
/* What the suite puts into a container so that an attempt isn't vacuous: device nodes, the host's
 * procfs, a read-only directory of the host. */
#define EXHIBITS "/escape"
/* The control group whose limits hold the whole container, by the host's view of all groups. */
#define CONTAINER_GROUP EXHIBITS "/container-group"
/* Longest time of one attempt, in milliseconds; it's killed then. An emulated machine takes seconds
 * to load a module. */
#define ATTEMPT_LIMIT 20000

/* What the row's attempt is to the product. */
enum row_group {
	GROUP_DENIED,  /* must fail in a confined container */
	GROUP_ALLOWED, /* must work there, for Docker needs it */
	GROUP_POLICY,  /* either would do; `decided` says what we chose */
};

/* Layers that can stop an attempt. */
enum wall {
	WALL_USERNS = 1 << 0,	 /* user namespace: ids and capabilities */
	WALL_APPARMOR = 1 << 1,	 /* profiles/lxc-phoenix-v2 */
	WALL_SECCOMP = 1 << 2,	 /* profiles/seccomp */
	WALL_DEVICES = 1 << 3,	 /* device cgroup of profiles/lxc.conf.in */
	WALL_NAMESPACE = 1 << 4, /* mount, pid, network, cgroup namespace: any container */
};

/* How an attempt reaches a file of procfs or sysfs. */
enum access {
	ACCESS_USUAL = 1 << 0,	  /* /proc and /sys, as the container was given them */
	ACCESS_UNMASKED = 1 << 1, /* the same after unmounting what LXC put over them */
	ACCESS_FRESH = 1 << 2,	  /* an instance mounted elsewhere */
	ACCESS_NESTED = 1 << 3,	  /* an instance mounted in a nested user namespace */
	ACCESS_DETACHED = 1 << 4, /* fsmount without a place, opened relative to its descriptor */
	ACCESS_ALL = (1 << 5) - 1,
};

enum outcome {
	OUTCOME_BROKEN,	 /* the attempt itself could not be made */
	OUTCOME_DONE,	 /* went through, seen by its effect */
	OUTCOME_REFUSED, /* stopped, with an errno and without an effect */
	OUTCOME_ABSENT,	 /* the object isn't there: proves nothing by itself */
	OUTCOME_HUNG,	 /* killed at the limit */
};

/* The result of one attempt, written by the child that makes it. */
struct verdict {
	enum outcome outcome;
	int error;	 /* errno of the step that ended it; 0 when done */
	char step[32];	 /* where it ended */
	char detail[96]; /* what was seen; may be empty */
};

/* Properties of a row. */
enum trait {
	/* Not every kernel has the object; without a control the row doesn't count. */
	TRAIT_OPTIONAL = 1 << 0,
	/* That the object can't be found inside is the wall. */
	TRAIT_HIDDEN = 1 << 1,
	/* AppArmor has no hook on the way that leads through a detached mount. */
	TRAIT_UNSEEN = 1 << 2,
	/* The row makes its own control first, and is broken where that fails. */
	TRAIT_CONTROLLED = 1 << 3,
};

struct attempt;

/* Make the attempt in this process, a child of its own, and write down what came of it. */
typedef void (*attempt_fn)(const struct attempt *attempt, struct verdict *verdict);

struct attempt {
	const char *name; /* unique within its theme */
	attempt_fn run;
	enum row_group group;
	unsigned walls;	       /* GROUP_DENIED: each must stop it alone */
	unsigned accesses;     /* the row stands for one attempt per bit; 0: one attempt */
	enum outcome decided;  /* GROUP_POLICY: what we chose under the profile and seccomp */
	unsigned traits;
	const char *type;      /* file system type, or another word of the row's function */
	const char *path;
	const char *value;
	unsigned long flags;
	long number;	       /* system call, family, device number ... */
	const char *why;       /* one phrase for the table; may be NULL */
};

struct theme {
	const char *name;
	const struct attempt *attempts;
	size_t count;
};

#define THEME(theme_name, rows) { (theme_name), (rows), sizeof(rows) / sizeof((rows)[0]) }

extern const struct theme MOUNTS, MOUNT_API, FILES, DEVICES, CALLS, SOCKETS, LABELS, PROCESSES,
	CGROUPS, NEEDED_MOUNTS, NEEDED_SYSTEM, NEEDED_CAPABILITIES, CHOICES;

/* Note that the attempt went through; `detail` is what was seen and may be NULL. */
void verdict_done(struct verdict *verdict, const char *detail);

/* Note that `step` failed with this errno: refused, or absent for ENOENT, ENXIO and ENODEV. */
void verdict_refused(struct verdict *verdict, const char *step, int error);

/* Note that preparing the attempt failed at `step` with this errno. */
void verdict_broken(struct verdict *verdict, const char *step, int error);

/* Done when `result` isn't negative, refused with errno at `step` otherwise. */
void verdict_of(struct verdict *verdict, const char *step, long result);

/* Done unless `error` says that a permission was missing (EPERM, EACCES) or that there is no such
 * call (ENOSYS): for calls that can't be completed harmlessly, whose other errors come later. */
void verdict_passed(struct verdict *verdict, const char *step, long result, int error);

/* Give this process a mount namespace and an empty scratch directory, as far as it's allowed to;
 * attempts that need more fail by themselves. */
void place_prepare(void);

/* Make a directory and its parents. */
void place_make(const char *path);

/* Open `path` ("/proc/..." or "/sys/...") by the attempt's way of access. Returns the descriptor
 * or a negative errno with the step that failed in `ret_step`; -ENXIO at "masked" when what lies
 * there is none of the kernel's files, such as the /dev/null that Docker puts over some. */
int place_open(enum access access, const char *path, int flags, const char **ret_step);

/* Whether the file system mounted at `path` is of this type, as /proc/self/mountinfo says. */
bool place_is_mounted(const char *path, const char *type);

/* Enter a nested user namespace, with pid, mount, network and ipc namespaces that belong to it,
 * mapping this process's ids to root; continues in a child, whose result the parent passes on.
 * Returns 0 in that child or a negative errno. */
int nested_enter(void);

/* The new mount API's calls, which the C library may lack. Results as of syscall(2). */
int api_fsopen(const char *type, unsigned flags);
int api_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux);
int api_fsmount(int fd, unsigned flags, unsigned attributes);
int api_fspick(int fd, const char *path, unsigned flags);
int api_open_tree(int fd, const char *path, unsigned flags);
int api_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);

/* Clear the attributes of a mount. */
int api_clear_attributes(int fd, const char *path, unsigned flags, uint64_t attributes);

/* A mount of `type` without a place. Returns its descriptor or a negative errno, with the step
 * that failed in `ret_step`. */
int api_detached(const char *type, const char **ret_step);

/* Acts that are needed in one place and denied in another: rows of several files. */
void act_mount(const struct attempt *attempt, struct verdict *verdict);
void act_mount_fuse(const struct attempt *attempt, struct verdict *verdict);
void act_mount_overlay(const struct attempt *attempt, struct verdict *verdict);
void act_pivot(const struct attempt *attempt, struct verdict *verdict);

/* Do what only the profile refuses: mount a ramfs. Returns 0 or a negative errno. */
int act_beyond_profile(void);

/* Run one attempt in a child with a limit; never fails, see the outcome. */
void run_attempt(const struct attempt *attempt, enum access access, struct verdict *verdict);

/* The name of one access, "" for none. */
const char *access_name(enum access access);

#endif
