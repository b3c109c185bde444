/*
 * Every process is judged, not only init: lxc_attach, a nested container or a helper that joined
 * from outside each came in on their own way.
 */
#include "controller/host/confine/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

int confine_check_begin(struct confine_check *check, const char *profile, struct ph_error *error)
{
	int proc = confine_proc_open(error);

	if (proc < 0)
		return proc;
	*check = CONFINE_CHECK_INIT;
	check->proc = proc;
	check->profile = profile;
	confine_kernel_enforces(NULL, check->lax);
	return 0;
}

void confine_check_fini(struct confine_check *check)
{
	if (check->proc >= 0)
		close(check->proc);
	check->proc = -1;
}

/* What the process calls itself, for the report only: it chose the name. */
static void read_name(int proc, pid_t pid, char *name, size_t size)
{
	PH_AUTO_CLOSE int fd = -1;
	char path[32];
	ssize_t length;

	snprintf(path, sizeof(path), "%d/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, name, size - 1);
	if (length < 0)
		length = 0;
	name[length] = '\0';
	name[strcspn(name, "\n")] = '\0';
	for (char *byte = name; *byte; byte++) {
		if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
			*byte = '?';
	}
}

static void note_offender(struct confine_check *check, pid_t pid, const char *label)
{
	char name[20];

	check->offenders++;
	if (check->first_offender)
		return;
	read_name(check->proc, pid, name, sizeof(name));
	check->first_offender = pid;
	snprintf(check->first_text, sizeof(check->first_text), "pid %d (%s): %.400s", pid, name,
		 label);
}

int confine_check_visit(void *user, pid_t pid)
{
	struct confine_check *check = user;
	char text[CONFINE_LABEL_SIZE + 16];
	struct confine_label label;
	int code = confine_label_read_pid(check->proc, pid, &label);

	if (code == -ESRCH)
		return 0;
	check->processes++;
	if (code < 0) {
		snprintf(text, sizeof(text), "label cannot be read: %s", strerror(-code));
		note_offender(check, pid, text);
	} else if (!confine_label_enforces(&label, check->profile)) {
		note_offender(check, pid, confine_label_format(&label, text, sizeof(text)));
	} else if (check->lax[0]) {
		snprintf(text, sizeof(text), "AppArmor as a whole is in %s mode", check->lax);
		note_offender(check, pid, text);
	}
	return 0;
}

int confine_check_verdict(const struct confine_check *check, struct ph_error *error)
{
	if (!check->processes)
		return CONFINE_CHECK_EMPTY;
	if (!check->offenders)
		return CONFINE_CHECK_HELD;
	error_set(error, -EACCES, check->first_text,
		  "stop the container; it is started again under its profile",
		  "%u of %u processes are not held by %s in enforce mode", check->offenders,
		  check->processes, check->profile);
	return CONFINE_CHECK_OFFENDED;
}
