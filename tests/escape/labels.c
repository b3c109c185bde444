/*
 * AppArmor's own controls: leaving the label, and the files that load and remove policy. A change
 * of the label counts when afterwards something works that only the profile refuses; inside a
 * policy namespace of the container's own a change "works" and frees from nothing.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void change_label(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step;
	int fd = place_open(attempt->accesses, attempt->path, O_WRONLY, &step);
	int result;

	if (fd < 0) {
		verdict_refused(verdict, step, -fd);
		return;
	}
	if (write(fd, attempt->value, strlen(attempt->value)) < 0) {
		/* The target isn't there in the namespace of a stacked label: as good as no. */
		verdict_refused(verdict, "write", errno == ENOENT ? EACCES : errno);
		return;
	}
	/* onexec is kept per thread and asked at the execution of this one. */
	if (attempt->number) {
		execl("/proc/self/exe", "escape", "--beyond", NULL);
		verdict_refused(verdict, "execute", errno);
		return;
	}
	result = act_beyond_profile();
	if (result)
		verdict_refused(verdict, "still confined", -result);
	else
		verdict_done(verdict, "a ramfs could be mounted");
}

/* The label of the next program: set in a child, which is then what has to be judged. */
static void change_next_label(const struct attempt *attempt, struct verdict *verdict)
{
	int status;
	pid_t child;

	child = fork();
	if (!child) {
		struct attempt one = *attempt;

		one.number = 1;
		change_label(&one, verdict);
		_exit(255);
	}
	waitpid(child, &status, 0);
	/* 255: no execution, the verdict is written. */
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 255)
		return;
	if (WEXITSTATUS(status))
		verdict_refused(verdict, "still confined", WEXITSTATUS(status));
	else
		verdict_done(verdict, "a ramfs could be mounted");
}

static void open_control(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "open", open(attempt->path, O_WRONLY | O_CLOEXEC));
}

static void write_control(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(attempt->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
}

/* Policy that the host has compiled, under a name that it has loaded. */
static void write_policy(const struct attempt *attempt, struct verdict *verdict)
{
	char policy[65536];
	int source = open(EXHIBITS "/policy", O_RDONLY | O_CLOEXEC);
	ssize_t size = source < 0 ? -1 : read(source, policy, sizeof(policy));
	int fd = open(attempt->path, O_WRONLY | O_CLOEXEC);

	if (size <= 0)
		verdict_broken(verdict, "the policy", size < 0 ? errno : ENODATA);
	else if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(fd, policy, (size_t)size));
}

static void make_policy_namespace(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "mkdir", mkdir(attempt->path, 0755));
	if (verdict->outcome == OUTCOME_DONE)
		rmdir(attempt->path);
}

#define DENIED .group = GROUP_DENIED
#define LABEL(file) .path = "/proc/self/attr/" file, .walls = WALL_APPARMOR
#define CONTROL(file) .path = "/sys/kernel/security/apparmor/" file

static const struct attempt ROWS[] = {
	{ "change to unconfined", change_label, DENIED, LABEL("current"),
	  .accesses = ACCESS_USUAL | ACCESS_FRESH | ACCESS_NESTED | ACCESS_DETACHED,
	  .value = "changeprofile unconfined" },
	{ "change to unconfined, new interface", change_label, DENIED, LABEL("apparmor/current"),
	  .accesses = ACCESS_USUAL | ACCESS_FRESH | ACCESS_NESTED,
	  .value = "changeprofile unconfined" },
	{ "change to another profile", change_label, DENIED, LABEL("current"),
	  .accesses = ACCESS_USUAL | ACCESS_NESTED, .value = "changeprofile escape-target" },
	{ "change to the root namespace", change_label, DENIED, LABEL("current"),
	  .traits = TRAIT_OPTIONAL, .why = "a name only inside a policy namespace",
	  .value = "changeprofile :root://unconfined" },
	{ "execute unconfined", change_next_label, DENIED, LABEL("exec"),
	  .accesses = ACCESS_USUAL | ACCESS_FRESH | ACCESS_DETACHED,
	  .value = "exec unconfined" },
	{ "execute under another profile", change_next_label, DENIED, LABEL("exec"),
	  .value = "exec escape-target" },
	{ "open .load", open_control, DENIED, CONTROL(".load"), .walls = WALL_APPARMOR },
	{ "open .replace", open_control, DENIED, CONTROL(".replace"), .walls = WALL_APPARMOR },
	{ "open .remove", open_control, DENIED, CONTROL(".remove"), .walls = WALL_APPARMOR },
	{ "remove a profile of the host", write_control, DENIED, CONTROL(".remove"),
	  .walls = WALL_USERNS | WALL_APPARMOR, .value = "escape-victim" },
	{ "replace a profile of the host", write_policy, DENIED, CONTROL(".replace"),
	  .walls = WALL_USERNS | WALL_APPARMOR },
	{ "make a policy namespace", make_policy_namespace, DENIED,
	  CONTROL("policy/namespaces/escape"), .walls = WALL_USERNS | WALL_APPARMOR },
};

const struct theme LABELS = THEME("labels", ROWS);
