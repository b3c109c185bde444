/*
 * Files of procfs and sysfs that answer to the host's root, each by every way of access. A value
 * is written, read back and put back where it took effect; where writing is the effect, opening for
 * writing is as far as it goes.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_SIZE 4096

static ssize_t read_all(int fd, char value[VALUE_SIZE])
{
	ssize_t size = pread(fd, value, VALUE_SIZE - 1, 0);

	value[size > 0 ? size : 0] = 0;
	return size;
}

/* Write another value, see whether it's there, restore the old one. */
static void replace_value(const struct attempt *attempt, struct verdict *verdict)
{
	char before[VALUE_SIZE], after[VALUE_SIZE];
	const char *step;
	int fd = place_open(attempt->accesses, attempt->path, O_RDWR, &step);

	if (fd < 0) {
		verdict_refused(verdict, step, -fd);
		return;
	}
	if (read_all(fd, before) < 0) {
		verdict_broken(verdict, "read", errno);
		return;
	}
	if (pwrite(fd, attempt->value, strlen(attempt->value), 0) < 0) {
		verdict_refused(verdict, "write", errno);
		return;
	}
	read_all(fd, after);
	if (strncmp(after, attempt->value, strlen(attempt->value)))
		verdict_refused(verdict, "value kept", EIO);
	else
		verdict_done(verdict, "value changed and put back");
	if (pwrite(fd, before, strlen(before), 0) < 0 && verdict->outcome == OUTCOME_DONE)
		verdict_done(verdict, "value changed");
}

/* Write what has an effect of its own but no value. */
static void poke(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step;
	int fd = place_open(attempt->accesses, attempt->path, O_WRONLY, &step);

	if (fd < 0)
		verdict_refused(verdict, step, -fd);
	else if (attempt->value)
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
	else
		verdict_done(verdict, "opened for writing");
}

static void read_some(const struct attempt *attempt, struct verdict *verdict)
{
	char value[VALUE_SIZE];
	const char *step;
	int fd = place_open(attempt->accesses, attempt->path, O_RDONLY | O_NONBLOCK, &step);

	if (fd < 0)
		verdict_refused(verdict, step, -fd);
	else if (attempt->flags)
		verdict_done(verdict, "opened");
	else
		verdict_of(verdict, "read", read(fd, value, sizeof(value)));
}

/* Addresses of the kernel: a refusal shows as zeroes in every line, not only in that of the first
 * symbol, which lies at zero. */
static void read_addresses(const struct attempt *attempt, struct verdict *verdict)
{
	char value[VALUE_SIZE] = "";
	const char *step, *line = value;
	int fd = place_open(attempt->accesses, attempt->path, O_RDONLY, &step);

	if (fd < 0) {
		verdict_refused(verdict, step, -fd);
		return;
	}
	if (read_all(fd, value) <= 0) {
		verdict_refused(verdict, "read", errno);
		return;
	}
	verdict_refused(verdict, "zeroes", EPERM);
	for (; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strtoull(line, NULL, 16))
			verdict_done(verdict, "addresses");
}

#define DENIED .group = GROUP_DENIED, .accesses = ACCESS_ALL
#define U .walls = WALL_USERNS
#define UA .walls = WALL_USERNS | WALL_APPARMOR
#define MAYBE .traits = TRAIT_OPTIONAL
/* The profile's rule names the path below /proc or /sys, which a detached mount hasn't. */
#define UNSEEN .traits = TRAIT_UNSEEN
#define MAYBE_UNSEEN .traits = TRAIT_OPTIONAL | TRAIT_UNSEEN

static const struct attempt ROWS[] = {
	{ "sysrq-trigger", poke, DENIED, UA, .path = "/proc/sysrq-trigger", .value = "h" },
	{ "core_pattern", replace_value, DENIED, UA, .path = "/proc/sys/kernel/core_pattern",
	  .value = "/escape-core" },
	{ "modprobe", replace_value, DENIED, UA, .path = "/proc/sys/kernel/modprobe",
	  .value = "/escape-modprobe" },
	{ "ptrace_scope", poke, DENIED, UA, MAYBE, .path = "/proc/sys/kernel/yama/ptrace_scope" },
	{ "kptr_restrict", replace_value, DENIED, UA, .path = "/proc/sys/kernel/kptr_restrict",
	  .value = "2" },
	{ "dmesg_restrict", poke, DENIED, UA, .path = "/proc/sys/kernel/dmesg_restrict" },
	{ "randomize_va_space", replace_value, DENIED, UA,
	  .path = "/proc/sys/kernel/randomize_va_space", .value = "1" },
	{ "kernel.sysrq", poke, DENIED, UA, .path = "/proc/sys/kernel/sysrq" },
	{ "kernel.panic", replace_value, DENIED, UA, .path = "/proc/sys/kernel/panic",
	  .value = "77" },
	{ "perf_event_paranoid", poke, DENIED, UA, MAYBE,
	  .path = "/proc/sys/kernel/perf_event_paranoid" },
	{ "unprivileged_bpf_disabled", poke, DENIED, UA, MAYBE,
	  .path = "/proc/sys/kernel/unprivileged_bpf_disabled" },
	{ "usermodehelper bset", poke, DENIED, UA, .path = "/proc/sys/kernel/usermodehelper/bset" },
	{ "threads-max", poke, DENIED, U, .path = "/proc/sys/kernel/threads-max" },
	{ "kernel.printk", poke, DENIED, U, .path = "/proc/sys/kernel/printk" },
	{ "drop_caches", poke, DENIED, UA, .path = "/proc/sys/vm/drop_caches", .value = "1" },
	{ "panic_on_oom", replace_value, DENIED, UA, .path = "/proc/sys/vm/panic_on_oom",
	  .value = "1" },
	{ "mmap_min_addr", poke, DENIED, UA, .path = "/proc/sys/vm/mmap_min_addr" },
	{ "max_map_count", replace_value, DENIED, U, .path = "/proc/sys/vm/max_map_count",
	  .value = "77777" },
	{ "overcommit_memory", poke, DENIED, U, .path = "/proc/sys/vm/overcommit_memory" },
	{ "protected_symlinks", replace_value, DENIED, UA,
	  .path = "/proc/sys/fs/protected_symlinks", .value = "0", .traits = TRAIT_OPTIONAL },
	{ "suid_dumpable", poke, DENIED, UA, .path = "/proc/sys/fs/suid_dumpable" },
	{ "file-max", poke, DENIED, U, .path = "/proc/sys/fs/file-max" },
	{ "binfmt_misc register", poke, .group = GROUP_DENIED, .walls = WALL_NAMESPACE,
	  .path = "/proc/sys/fs/binfmt_misc/register", .traits = TRAIT_OPTIONAL | TRAIT_HIDDEN,
	  .why = "a file system of the host's that no other procfs shows" },
	{ "kcore", read_some, DENIED, UA, MAYBE, .path = "/proc/kcore" },
	{ "kmsg", read_some, DENIED, U, .path = "/proc/kmsg", .flags = 1 },
	{ "kallsyms", read_addresses, DENIED, U, .path = "/proc/kallsyms" },
	{ "timer_list", read_some, DENIED, U, MAYBE, .path = "/proc/timer_list" },
	{ "vmallocinfo", read_some, DENIED, U, .path = "/proc/vmallocinfo" },
	{ "slabinfo", read_some, DENIED, U, MAYBE, .path = "/proc/slabinfo" },
	{ "kpagecount", read_some, DENIED, UA, MAYBE_UNSEEN, .path = "/proc/kpagecount" },
	{ "default_smp_affinity", poke, DENIED, UA, MAYBE_UNSEEN,
	  .path = "/proc/irq/default_smp_affinity" },
	{ "scsi", poke, DENIED, UA, MAYBE_UNSEEN, .path = "/proc/scsi/scsi" },
	{ "mtrr", poke, DENIED, UA, MAYBE_UNSEEN, .path = "/proc/mtrr" },
	{ "bus/pci", poke, DENIED, UA, MAYBE_UNSEEN, .path = "/proc/bus/pci/00/00.0" },
	{ "acpi/wakeup", poke, DENIED, UA, MAYBE_UNSEEN, .path = "/proc/acpi/wakeup" },
	{ "acpi/tables", read_some, DENIED, UA, MAYBE_UNSEEN,
	  .path = "/sys/firmware/acpi/tables/DSDT" },
	{ "dynamic_debug", poke, DENIED, U, MAYBE, .path = "/proc/dynamic_debug/control" },
	{ "ksm/run", poke, DENIED, U, MAYBE, .path = "/sys/kernel/mm/ksm/run" },
	{ "transparent_hugepage", poke, DENIED, U, MAYBE,
	  .path = "/sys/kernel/mm/transparent_hugepage/enabled" },
	{ "uevent_helper", poke, DENIED, U, MAYBE, .path = "/sys/kernel/uevent_helper" },
	{ "kernel/profiling", poke, DENIED, U, MAYBE, .path = "/sys/kernel/profiling" },
	{ "kexec_crash_size", poke, DENIED, U, MAYBE, .path = "/sys/kernel/kexec_crash_size" },
	{ "apparmor mode", poke, DENIED, UA, UNSEEN,
	  .path = "/sys/module/apparmor/parameters/mode" },
	{ "apparmor audit", poke, DENIED, UA, UNSEEN,
	  .path = "/sys/module/apparmor/parameters/audit" },
	{ "module parameter", poke, DENIED, U, .path = "/sys/module/kernel/parameters/panic" },
	{ "power/state", poke, DENIED, UA, MAYBE_UNSEEN, .path = "/sys/power/state" },
	{ "pci rescan", poke, DENIED, U, MAYBE, .path = "/sys/bus/pci/rescan" },
	{ "driver probe", poke, DENIED, U, .path = "/sys/bus/platform/drivers_probe" },
	{ "uevent of a device", poke, DENIED, U, .path = "/sys/devices/virtual/mem/null/uevent" },
	{ "read-ahead of the disk", poke, DENIED, U, MAYBE,
	  .path = "/sys/block/ubda/queue/read_ahead_kb" },
	{ "read-ahead of the virtual disk", poke, DENIED, U, MAYBE,
	  .path = "/sys/block/vda/queue/read_ahead_kb" },
	{ "debugfs", read_some, .group = GROUP_DENIED, .accesses = ACCESS_USUAL, UA,
	  .path = "/sys/kernel/debug/sleep_time", MAYBE },
	{ "debugfs directory", read_some, .group = GROUP_DENIED, .accesses = ACCESS_USUAL, UA,
	  MAYBE,
	  .path = "/sys/kernel/debug/", .flags = 1 },
	{ "tracefs trace_marker", poke, .group = GROUP_DENIED, .accesses = ACCESS_USUAL, UA, MAYBE,
	  .path = "/sys/kernel/tracing/trace_marker" },
	{ "tracefs directory", read_some, .group = GROUP_DENIED, .accesses = ACCESS_USUAL, UA,
	  MAYBE, .path = "/sys/kernel/tracing/", .flags = 1 },
};

const struct theme FILES = THEME("files", ROWS);
