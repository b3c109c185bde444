/*
 * One act per capability that the profile allows, done with that capability: package managers,
 * image layers, services and Docker do them every day.
 */
#include "tests/escape/escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A file of somebody else's, mode as given. */
static int foreign_file(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1 || fchown(fd, 1000, 1000) || fchmod(fd, mode))
		return -1;
	close(fd);
	return 0;
}

static void change_owner(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(SCRATCH "/c", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	verdict_of(verdict, "fchown", fchown(fd, 1000, 1000));
}

static void write_foreign(const struct attempt *attempt, struct verdict *verdict)
{
	if (foreign_file(SCRATCH "/c", 0))
		verdict_refused(verdict, "prepare", errno);
	else
		verdict_of(verdict, "open", open(SCRATCH "/c", O_WRONLY | O_CLOEXEC));
}

static void list_foreign(const struct attempt *attempt, struct verdict *verdict)
{
	mkdir(SCRATCH "/d", 0700);
	if (chown(SCRATCH "/d", 1000, 1000) || chmod(SCRATCH "/d", 0))
		verdict_refused(verdict, "prepare", errno);
	else
		verdict_of(verdict, "open", open(SCRATCH "/d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void chmod_foreign(const struct attempt *attempt, struct verdict *verdict)
{
	if (foreign_file(SCRATCH "/c", 0600))
		verdict_refused(verdict, "prepare", errno);
	else
		verdict_of(verdict, "chmod", chmod(SCRATCH "/c", 0644));
}

/* Without fsetid, setting the setgid bit for a group one isn't in is dropped in silence. */
static void keep_setgid(const struct attempt *attempt, struct verdict *verdict)
{
	struct stat status;

	if (foreign_file(SCRATCH "/c", 02755) || stat(SCRATCH "/c", &status))
		verdict_refused(verdict, "prepare", errno);
	else if (!(status.st_mode & S_ISGID))
		verdict_refused(verdict, "bit dropped", EPERM);
	else
		verdict_done(verdict, NULL);
}

static void change_user(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "setresuid", setresuid(1000, 1000, 1000));
}

static void change_groups(const struct attempt *attempt, struct verdict *verdict)
{
	static const gid_t groups[] = { 4, 27 };

	if (setgroups(2, groups))
		verdict_refused(verdict, "setgroups", errno);
	else
		verdict_of(verdict, "setresgid", setresgid(1000, 1000, 1000));
}

static void drop_bounding(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "prctl", prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0));
}

static void set_link_up(const struct attempt *attempt, struct verdict *verdict)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET)) {
		verdict_refused(verdict, "unshare", errno);
		return;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	verdict_of(verdict, "ioctl", ioctl(fd, SIOCSIFFLAGS, &request));
}

static void bind_low_port(const struct attempt *attempt, struct verdict *verdict)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(80),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd;

	/* A namespace of its own: there the limit is 1024 again, whatever dockerd has set. */
	if (unshare(CLONE_NEWNET)) {
		verdict_refused(verdict, "unshare", errno);
		return;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	verdict_of(verdict, "bind", bind(fd, (struct sockaddr *)&address, sizeof(address)));
}

static void open_raw(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "socket", socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1));
}

static void change_root(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "chroot", chroot(SCRATCH));
}

/* To a process of another user, as an init stops its services. */
static void signal_foreign(const struct attempt *attempt, struct verdict *verdict)
{
	pid_t child = fork();

	if (!child) {
		if (setresuid(1000, 1000, 1000))
			_exit(1);
		for (;;)
			pause();
	}
	while (kill(child, 0) == 0) {
		char path[64], line[256] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/status", child);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0 || strstr(line, "(sleeping)"))
			break;
		close(fd);
		sched_yield();
	}
	verdict_of(verdict, "kill", kill(child, SIGKILL));
}

static void inspect_foreign(const struct attempt *attempt, struct verdict *verdict)
{
	int ready[2];
	char path[64], byte;
	pid_t child;

	if (pipe(ready)) {
		verdict_broken(verdict, "pipe", errno);
		return;
	}
	child = fork();
	if (!child) {
		if (setresuid(1000, 1000, 1000) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		verdict_broken(verdict, "read", errno);
	snprintf(path, sizeof(path), "/proc/%d/environ", child);
	verdict_of(verdict, "open", open(path, O_RDONLY | O_CLOEXEC));
	kill(child, SIGKILL);
}

/* Within the container's own limits: another process's scheduling. */
static void affinity_of_foreign(const struct attempt *attempt, struct verdict *verdict)
{
	int ready[2];
	char byte;
	cpu_set_t set;
	pid_t child;

	if (pipe(ready)) {
		verdict_broken(verdict, "pipe", errno);
		return;
	}
	child = fork();
	if (!child) {
		if (setresuid(1000, 1000, 1000) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		verdict_broken(verdict, "read", errno);
	sched_getaffinity(0, sizeof(set), &set);
	verdict_of(verdict, "sched_setaffinity", sched_setaffinity(child, sizeof(set), &set));
	kill(child, SIGKILL);
}

static void remove_foreign_memory(const struct attempt *attempt, struct verdict *verdict)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600), status;
	pid_t child;
	struct shmid_ds segment;

	if (id < 0 || shmctl(id, IPC_STAT, &segment)) {
		verdict_refused(verdict, "shmget", errno);
		return;
	}
	segment.shm_perm.uid = segment.shm_perm.gid = 1000;
	segment.shm_perm.mode = 0;
	if (shmctl(id, IPC_SET, &segment)) {
		verdict_refused(verdict, "shmctl", errno);
		return;
	}
	/* The creator is an owner as well: it has to be another user with all capabilities. */
	child = fork();
	if (!child) {
		struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
		struct __user_cap_data_struct sets[2];

		prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
		if (setresuid(1, 1, 1) || syscall(SYS_capget, &header, sets))
			_exit(errno);
		sets[0].effective = sets[0].permitted;
		sets[1].effective = sets[1].permitted;
		if (syscall(SYS_capset, &header, sets))
			_exit(errno);
		_exit(shmat(id, NULL, 0) == (void *)-1 ? errno : 0);
	}
	waitpid(child, &status, 0);
	shmctl(id, IPC_RMID, NULL);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		verdict_done(verdict, NULL);
	else
		verdict_refused(verdict, "shmat", WIFEXITED(status) ? WEXITSTATUS(status) : EIO);
}

/* As runc does to the first process of a container whose ids are mapped to others. */
static void limit_foreign(const struct attempt *attempt, struct verdict *verdict)
{
	struct rlimit limit;
	int ready[2];
	char byte;
	pid_t child;

	if (pipe(ready) || getrlimit(RLIMIT_NOFILE, &limit)) {
		verdict_broken(verdict, "pipe", errno);
		return;
	}
	child = fork();
	if (!child) {
		if (setresuid(1000, 1000, 1000) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		verdict_broken(verdict, "read", errno);
	verdict_of(verdict, "prlimit", prlimit(child, RLIMIT_NOFILE, &limit, NULL));
	kill(child, SIGKILL);
}

/* reboot(2) in a pid namespace ends its init. */
static void end_namespace(const struct attempt *attempt, struct verdict *verdict)
{
	int status;
	pid_t child;

	if (unshare(CLONE_NEWPID)) {
		verdict_refused(verdict, "unshare", errno);
		return;
	}
	child = fork();
	if (!child) {
		syscall(SYS_reboot, 0xfee1dead, 672274793, 0x01234567, NULL);
		_exit(errno);
	}
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		verdict_done(verdict, "init of the namespace was ended");
	else
		verdict_refused(verdict, "reboot", WEXITSTATUS(status));
}

static void mount_something(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "mount", mount("escape", SCRATCH, "tmpfs", 0, NULL));
}

#define NEEDS .group = GROUP_ALLOWED

static const struct attempt ROWS[] = {
	{ "chown", change_owner, NEEDS, .why = "package managers, image layers" },
	{ "dac_override", write_foreign, NEEDS },
	{ "dac_read_search", list_foreign, NEEDS },
	{ "fowner", chmod_foreign, NEEDS },
	{ "fsetid", keep_setgid, NEEDS },
	{ "setuid", change_user, NEEDS },
	{ "setgid", change_groups, NEEDS },
	{ "setpcap", drop_bounding, NEEDS, .why = "docker run --cap-drop" },
	{ "net_admin", set_link_up, NEEDS },
	{ "net_bind_service", bind_low_port, NEEDS },
	{ "net_raw", open_raw, NEEDS },
	{ "sys_chroot", change_root, NEEDS },
	{ "sys_admin", mount_something, NEEDS },
	{ "kill", signal_foreign, NEEDS },
	{ "sys_ptrace", inspect_foreign, NEEDS },
	{ "sys_nice", affinity_of_foreign, NEEDS },
	{ "sys_resource", limit_foreign, NEEDS, .why = "runc under userns-remap" },
	{ "ipc_owner", remove_foreign_memory, NEEDS },
	{ "sys_boot", end_namespace, NEEDS, .why = "poweroff of a nested container" },
};

const struct theme NEEDED_CAPABILITIES = THEME("needed-capabilities", ROWS);
