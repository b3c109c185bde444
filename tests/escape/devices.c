/*
 * Device nodes. The suite puts nodes into the container that anybody may open, so that not a
 * missing node or its mode but the device cgroup is what's asked; and terminals, whose owner would
 * find typed what the container wrote.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_node(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "open", open(attempt->path, (int)attempt->flags | O_CLOEXEC |
								O_NONBLOCK));
}

/* On the data-root's own file system: a tmpfs of the container's is nodev. */
static void make_node(const struct attempt *attempt, struct verdict *verdict)
{
	char path[64];
	struct stat status;
	dev_t device = (dev_t)attempt->number;
	int result = attempt->accesses == ACCESS_NESTED ? nested_enter() : 0;

	if (result) {
		verdict_refused(verdict, "nested", -result);
		return;
	}
	snprintf(path, sizeof(path), "/var/lib/docker/escape-node-%d", getpid());
	if (attempt->value && !stat(attempt->value, &status))
		device = status.st_rdev;
	if (mknod(path, (attempt->value ? S_IFBLK : S_IFCHR) | 0600, device)) {
		verdict_refused(verdict, "mknod", errno);
		return;
	}
	verdict_of(verdict, "open", open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	unlink(path);
}

/* A terminal of one's own, made the controlling one: where the kernel lets anybody type into it. */
static void type_into_terminal(const struct attempt *attempt, struct verdict *verdict)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, status;
	pid_t child;
	char argument = '\n', name[64];

	if (master < 0 || grantpt(master) || unlockpt(master) ||
	    ptsname_r(master, name, sizeof(name))) {
		verdict_broken(verdict, "terminal", errno);
		return;
	}
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0) {
		verdict_broken(verdict, "open", errno);
		return;
	}
	/* The attempt leads a process group, which can't begin a session: its child can. */
	child = fork();
	if (child) {
		waitpid(child, &status, 0);
		return;
	}
	if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0))
		errno = 0;
	if (ioctl(slave, attempt->flags, &argument) && (errno == EPERM || errno == EIO))
		verdict_refused(verdict, "ioctl", errno);
	else
		verdict_done(verdict, attempt->flags == TIOCSTI ? "typed" : "asked");
	_exit(0);
}

#define DENIED .group = GROUP_DENIED
#define NODE(node) .path = EXHIBITS "/devices/" node, .walls = WALL_DEVICES
#define MADE .walls = WALL_USERNS | WALL_DEVICES
#define MAYBE .traits = TRAIT_OPTIONAL

static const struct attempt ROWS[] = {
	{ "mem", open_node, DENIED, NODE("mem"), .flags = O_RDONLY, MAYBE },
	{ "port", open_node, DENIED, NODE("port"), .flags = O_RDWR, MAYBE },
	{ "kmsg", open_node, DENIED, NODE("kmsg"), .flags = O_WRONLY },
	{ "kmsg for reading", open_node, DENIED, NODE("kmsg"), .flags = O_RDONLY },
	{ "loop-control", open_node, DENIED, NODE("loop-control"), .flags = O_RDWR, MAYBE },
	{ "loop0", open_node, DENIED, NODE("loop0"), .flags = O_RDWR, MAYBE },
	{ "the host's disk", open_node, DENIED, NODE("root"), .flags = O_RDONLY },
	{ "the host's disk for writing", open_node, DENIED, NODE("root"), .flags = O_RDWR },
	{ "kvm", open_node, DENIED, NODE("kvm"), .flags = O_RDWR, MAYBE },
	{ "uinput", open_node, DENIED, NODE("uinput"), .flags = O_RDWR, MAYBE },
	{ "vhost-net", open_node, DENIED, NODE("vhost-net"), .flags = O_RDWR, MAYBE },
	{ "rtc", open_node, DENIED, NODE("rtc"), .flags = O_RDONLY, MAYBE },
	{ "hpet", open_node, DENIED, NODE("hpet"), .flags = O_RDONLY, MAYBE },
	{ "cuse", open_node, DENIED, NODE("cuse"), .flags = O_RDWR, MAYBE },
	{ "device mapper", open_node, DENIED, NODE("mapper"), .flags = O_RDWR, MAYBE },
	{ "msr", open_node, DENIED, NODE("msr"), .flags = O_RDONLY, MAYBE },
	{ "make mem", make_node, DENIED, MADE, .number = 0x101, MAYBE },
	{ "make kmsg", make_node, DENIED, MADE, .number = 0x10b,
	  .accesses = ACCESS_USUAL | ACCESS_NESTED },
	{ "make loop-control", make_node, DENIED, MADE, .number = 0xaed, MAYBE },
	{ "make the host's disk", make_node, DENIED, MADE, .value = EXHIBITS "/devices/root",
	  .accesses = ACCESS_USUAL | ACCESS_NESTED },
	{ "type into a terminal (TIOCSTI)", type_into_terminal, DENIED, .walls = WALL_SECCOMP,
	  .flags = TIOCSTI },
	{ "ask a terminal (TIOCLINUX)", type_into_terminal, DENIED, .walls = WALL_SECCOMP,
	  .flags = TIOCLINUX },
};

const struct theme DEVICES = THEME("devices", ROWS);
