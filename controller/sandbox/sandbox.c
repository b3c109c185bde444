/*
 * An allow-list: what is forgotten here is refused with EPERM and seen at once, what a deny-list
 * forgets is there for whoever takes phoenixd over. Not in it, by intent: execve and fork (it starts
 * nothing), ptrace and process_vm_*, mount and namespaces, io_uring and bpf, sockets but of the two
 * families of the link, memory that can be executed, changing users or modes to set-id.
 *
 * EPERM rather than death: a library that probes for a call goes on without it.
 */
#include "controller/sandbox/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/cleanup.h"

static const int allowed[] = {
	/* files that are open, and the database's own */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(fcntl),
	SCMP_SYS(flock),
	SCMP_SYS(ioctl),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(stat),
	SCMP_SYS(fstat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fadvise64),
	SCMP_SYS(utimensat),
	SCMP_SYS(umask),
	/* sockets that are there; which may be made is said below */
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown),
	/* the loop */
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(pselect6),
	SCMP_SYS(eventfd2),
	SCMP_SYS(pipe2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall),
	/* memory; what can be executed is said below */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(munlock),
	SCMP_SYS(membarrier),
	/* threads, signals, itself */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrandom),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage),
#ifdef __SANITIZE_ADDRESS__
	/* The leak checker lists and stops its own threads at the end. */
	SCMP_SYS(getdents),
	SCMP_SYS(clone),
	SCMP_SYS(ptrace),
	SCMP_SYS(wait4),
	SCMP_SYS(prctl),
	SCMP_SYS(kill),
	SCMP_SYS(mprotect),
	SCMP_SYS(mmap),
	SCMP_SYS(prlimit64),
	SCMP_SYS(personality),
	SCMP_SYS(execve),
#endif
};

struct conditional {
	int call;
	struct scmp_arg_cmp argument;
};

static const struct conditional conditional[] = {
	{ SCMP_SYS(socket), SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX) },
	{ SCMP_SYS(socket), SCMP_A0_64(SCMP_CMP_EQ, AF_VSOCK) },
	{ SCMP_SYS(socketpair), SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX) },
	/* No memory is ever made to hold code; libraries were mapped before. */
	{ SCMP_SYS(mmap), SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
	{ SCMP_SYS(mprotect), SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
	/* A thread of its own, never a process. */
	{ SCMP_SYS(clone), SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD) },
	/* A signal to itself: abort(). */
	{ SCMP_SYS(tgkill), SCMP_A2_64(SCMP_CMP_EQ, 6) },
	/* Reading limits, not setting them. */
	{ SCMP_SYS(prlimit64), SCMP_A2_64(SCMP_CMP_EQ, 0) },
	/* Modes without set-id bits: the socket's, the database's. */
	{ SCMP_SYS(chmod), SCMP_A1_64(SCMP_CMP_MASKED_EQ, 07000, 0) },
	{ SCMP_SYS(fchmod), SCMP_A1_64(SCMP_CMP_MASKED_EQ, 07000, 0) },
	{ SCMP_SYS(fchmodat), SCMP_A2_64(SCMP_CMP_MASKED_EQ, 07000, 0) },
};

static int fill(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(allowed); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(conditional); i++) {
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, conditional[i].call, 1,
				     conditional[i].argument);
		if (r == -EEXIST) /* allowed without a condition, under a sanitizer */
			r = 0;
	}
	/* Its flags lie in memory, where no filter sees them; glibc then takes clone. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* Threads that are there already, such as libuv's. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	return r == 0 ? seccomp_load(filter) : r;
}

int sandbox_prepare(struct ph_error *error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r = filter ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0) :
			 -ENOMEM;

	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r < 0)
		return error_errno(error, r, "seccomp",
				   "use a kernel with CONFIG_SECCOMP_FILTER, as Debian's are",
				   "refuse io_uring");
	return 0;
}

int sandbox_enter(struct ph_error *error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? fill(filter) : -ENOMEM;

	seccomp_release(filter);
	if (r < 0)
		return error_errno(error, r, "seccomp",
				   "use a kernel with CONFIG_SECCOMP_FILTER, as Debian's are",
				   "give up the system calls that are not needed");
	return 0;
}
