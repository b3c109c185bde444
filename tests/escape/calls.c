/*
 * System calls that reach the kernel itself or past the container. Where a call can't be completed
 * without harm it's made so that it fails after the permission check, and judged by the class of
 * its errno.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/klog.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void call_zero(const struct attempt *attempt, struct verdict *verdict)
{
	long result = syscall(attempt->number, 0, 0, 0, 0, 0, 0);

	verdict_passed(verdict, attempt->name, result, errno);
}

static void call_bad(const struct attempt *attempt, struct verdict *verdict)
{
	long result = syscall(attempt->number, -1, attempt->flags, 0, 0, 0, 0);

	verdict_passed(verdict, attempt->name, result, errno);
}

static void remove_module(const struct attempt *attempt, struct verdict *verdict)
{
	long result = syscall(SYS_delete_module, "escape_no_such", O_NONBLOCK);

	verdict_passed(verdict, "delete_module", result, errno);
}

/* "Shocker": the root inode of the file system that the container's tree lies on, by its number. */
static void open_by_handle(const struct attempt *attempt, struct verdict *verdict)
{
	struct {
		struct file_handle handle;
		uint32_t inode, generation;
	} root = { .handle = { .handle_bytes = 8, .handle_type = 1 }, .inode = 2 };
	int place = open(attempt->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	verdict_of(verdict, "open_by_handle_at",
		   syscall(SYS_open_by_handle_at, place, &root, O_RDONLY | O_CLOEXEC));
}

static void load_program(const struct attempt *attempt, struct verdict *verdict)
{
	/* r0 = 0; exit */
	static const struct bpf_insn program[] = { { .code = 0xb7 }, { .code = 0x95 } };
	union bpf_attr request = { 0 };

	request.prog_type = (uint32_t)attempt->number;
	request.insns = (uint64_t)(uintptr_t)program;
	request.insn_cnt = 2;
	request.license = (uint64_t)(uintptr_t) "GPL";
	verdict_of(verdict, "bpf", syscall(SYS_bpf, BPF_PROG_LOAD, &request, sizeof(request)));
}

static void watch_processor(const struct attempt *attempt, struct verdict *verdict)
{
	struct perf_event_attr request = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(request),
					   .config = PERF_COUNT_SW_CPU_CLOCK };

	verdict_of(verdict, "perf_event_open",
		   syscall(SYS_perf_event_open, &request, -1, 0, -1, 0));
}

/* Ctrl-Alt-Del only signals init from now on: the mildest thing reboot(2) does. */
static void configure_reboot(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
}

static void set_clock(const struct attempt *attempt, struct verdict *verdict)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	verdict_of(verdict, "clock_settime", clock_settime(CLOCK_REALTIME, &now));
}

static void adjust_clock(const struct attempt *attempt, struct verdict *verdict)
{
	struct timex change = { .modes = ADJ_MAXERROR, .maxerror = 16000000 };

	verdict_of(verdict, "adjtimex", adjtimex(&change));
}

static void swap_on(const struct attempt *attempt, struct verdict *verdict)
{
	long result = swapon("/escape-no-such", 0);

	verdict_passed(verdict, "swapon", result, errno);
}

static void swap_off(const struct attempt *attempt, struct verdict *verdict)
{
	long result = swapoff("/escape-no-such");

	verdict_passed(verdict, "swapoff", result, errno);
}

/* Quotas of the file system that the container's tree lies on: off, which they are. */
static void quota_off(const struct attempt *attempt, struct verdict *verdict)
{
	int place = open(attempt->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long result = syscall(SYS_quotactl_fd, place, QCMD(Q_QUOTAOFF, USRQUOTA), 0, NULL);

	verdict_passed(verdict, "quotactl", result, errno);
}

static void read_log(const struct attempt *attempt, struct verdict *verdict)
{
	char text[256];

	verdict_of(verdict, "syslog", klogctl((int)attempt->number, text, sizeof(text)));
}

static void watch_content(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);

	verdict_of(verdict, "fanotify_init", fd);
}

static void set_fifo(const struct attempt *attempt, struct verdict *verdict)
{
	struct sched_param parameters = { .sched_priority = 1 };

	verdict_of(verdict, "sched_setscheduler", sched_setscheduler(0, SCHED_FIFO, &parameters));
}

static void set_score(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	verdict_of(verdict, "write", write(fd, "-1000", 5));
}

static void set_attribute(const struct attempt *attempt, struct verdict *verdict)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/var/lib/docker/escape-attribute-%d", getpid());
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	verdict_of(verdict, "fsetxattr", fsetxattr(fd, attempt->type, attempt->value, 1, 0));
	unlink(path);
}

/* An id that belongs to the host or to another container. */
static void become_outsider(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "setresuid", setresuid(70000, 70000, 70000));
}

static void give_away(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(SCRATCH "/given", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	verdict_of(verdict, "fchown", fchown(fd, 70000, 70000));
}

/* A nested namespace that maps ids its creator was never given. */
static void map_outsiders(const struct attempt *attempt, struct verdict *verdict)
{
	int ready[2], map;
	char path[64], byte;
	pid_t child;

	if (pipe(ready)) {
		verdict_broken(verdict, "pipe", errno);
		return;
	}
	child = fork();
	if (!child) {
		if (unshare(CLONE_NEWUSER) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		verdict_refused(verdict, "unshare", EPERM);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/uid_map", child);
	map = open(path, O_WRONLY | O_CLOEXEC);
	verdict_of(verdict, "uid_map", write(map, "0 0 200000", 10));
	kill(child, SIGKILL);
}

/* The host's own limits of processes and files, for this process. */
static void raise_limit(const struct attempt *attempt, struct verdict *verdict)
{
	struct rlimit limit;

	getrlimit((int)attempt->number, &limit);
	/* First down by one, for "unlimited" can't be raised. */
	if (limit.rlim_max == RLIM_INFINITY) {
		limit.rlim_cur = limit.rlim_max = 1000000;
		setrlimit((int)attempt->number, &limit);
	}
	limit.rlim_max++;
	verdict_of(verdict, "setrlimit", setrlimit((int)attempt->number, &limit));
}

static void call_acct(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "acct", acct(NULL));
}

#define DENIED .group = GROUP_DENIED
#define US .walls = WALL_USERNS | WALL_SECCOMP
#define UAS .walls = WALL_USERNS | WALL_APPARMOR | WALL_SECCOMP
#define MAYBE .traits = TRAIT_OPTIONAL

static const struct attempt ROWS[] = {
	{ "init_module", call_zero, DENIED, UAS, .number = SYS_init_module },
	{ "finit_module", call_bad, DENIED, UAS, .number = SYS_finit_module },
	{ "delete_module", remove_module, DENIED, UAS },
	{ "kexec_load", call_bad, DENIED, US, MAYBE, .number = SYS_kexec_load },
	{ "kexec_file_load", call_bad, DENIED, US, MAYBE, .number = SYS_kexec_file_load,
	  .flags = (unsigned long)-1 },
	{ "open_by_handle_at", open_by_handle, DENIED, US, .path = "/var/lib/docker" },
	{ "bpf kprobe program", load_program, DENIED, US, .number = BPF_PROG_TYPE_KPROBE,
	  MAYBE },
	{ "bpf socket filter", load_program, DENIED, .walls = WALL_SECCOMP,
	  .number = BPF_PROG_TYPE_SOCKET_FILTER, MAYBE },
	{ "bpf xdp program", load_program, DENIED, US, .number = BPF_PROG_TYPE_XDP, MAYBE },
	{ "bpf cgroup device program", load_program, DENIED, US,
	  .number = BPF_PROG_TYPE_CGROUP_DEVICE, MAYBE },
	{ "perf_event_open of a processor", watch_processor, DENIED, .walls = WALL_SECCOMP,
	  MAYBE },
	{ "lookup_dcookie", call_zero, DENIED, .walls = WALL_SECCOMP, MAYBE,
	  .number = SYS_lookup_dcookie },
	{ "reboot", configure_reboot, DENIED, .walls = WALL_NAMESPACE },
	{ "clock_settime", set_clock, DENIED, .walls = WALL_USERNS | WALL_APPARMOR },
	{ "adjtimex", adjust_clock, DENIED, .walls = WALL_USERNS | WALL_APPARMOR },
	{ "iopl", call_bad, DENIED, UAS, MAYBE, .number = SYS_iopl },
	{ "ioperm", call_zero, DENIED, UAS, MAYBE, .number = SYS_ioperm },
	{ "swapon", swap_on, DENIED, US },
	{ "swapoff", swap_off, DENIED, US },
	{ "acct", call_acct, DENIED, UAS, MAYBE },
	{ "syslog read", read_log, DENIED, .walls = WALL_SECCOMP, .number = 3 },
	{ "syslog console off", read_log, DENIED, US, .number = 7 },
	{ "fanotify content class", watch_content, DENIED, .walls = WALL_USERNS, MAYBE },
	{ "quotactl", quota_off, DENIED, .walls = WALL_USERNS, MAYBE, .path = "/var/lib/docker" },
	{ "SCHED_FIFO", set_fifo, DENIED, .walls = WALL_USERNS, MAYBE },
	{ "own oom_score_adj -1000", set_score, DENIED, .walls = WALL_USERNS },
	{ "trusted.overlay.opaque", set_attribute, DENIED, .walls = WALL_USERNS,
	  .type = "trusted.overlay.opaque", .value = "y" },
	{ "security.ima", set_attribute, DENIED, .walls = WALL_USERNS, .type = "security.ima",
	  .value = "\1" },
	{ "become an id outside the map", become_outsider, DENIED, .walls = WALL_USERNS },
	{ "give a file to an id outside the map", give_away, DENIED, .walls = WALL_USERNS },
	{ "map ids outside the map", map_outsiders, DENIED, .walls = WALL_USERNS },
	{ "raise a hard limit", raise_limit, DENIED, .walls = WALL_USERNS,
	  .number = RLIMIT_MEMLOCK },
};

const struct theme CALLS = THEME("calls", ROWS);
