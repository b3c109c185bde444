/*
 * Runs a command whose Go programs, and theirs, never preempt themselves by signal: `no-preemption COMMAND...`.
 *
 * Under User-Mode Linux a Go program that gets Go's preemption signal (SIGURG, sent to its own threads) may
 * stand still for ever. GODEBUG=asyncpreemptoff=1 turns the signal off, but runc's init clears its
 * environment. A seccomp filter stays: it makes tgkill(..., SIGURG) succeed without doing anything.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

int main(int argc, char **argv)
{
	struct sock_filter program[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 2),
		LOAD(args[2]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SIGURG, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO), /* errno 0: done */
	};
	struct sock_fprog filter = { .len = sizeof(program) / sizeof(program[0]), .filter = program };

	if (argc < 2)
		return 2;
	/* As root, without no_new_privs: that would forbid AppArmor's changes of profile. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
		perror("no-preemption: seccomp");
		return 1;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
