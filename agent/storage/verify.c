/* The battery: storage first, because without it Docker's failures mean nothing. */
#include "agent/storage/verify.h"

#include <stdio.h>
#include <sys/statfs.h>

#include "agent/health/health.h"
#include "agent/storage/choose.h"
#include "agent/storage/docker_checks.h"
#include "agent/storage/probe.h"
#include "agent/storage/report.h"
#include "agent/storage/scratch.h"
#include "agent/storage/storage_checks.h"
#include "common/cleanup.h"

/* What no probe tells: overlay on overlay may mount and pass today, and lose files tomorrow. */
static bool check_backing(const struct verify_wanted *wanted, struct report *report)
{
	struct outcome outcome = { 0 };
	const char *problem = NULL;
	struct statfs status;
	char name[32] = "?";

	report_begin(report);
	if (statfs(wanted->data_root, &status) == 0) {
		storage_filesystem_name((unsigned long)status.f_type, name, sizeof(name));
		problem = storage_stacking_problem(wanted->driver, name);
	}
	if (problem)
		outcome_fail(&outcome, 0, "%s: %s", name, problem);
	else
		outcome_pass(&outcome, "%s", name);
	report_add(report, "storage.backing", "a file system that the driver may be stacked on",
		   "put the host's state_dir on ext4, xfs, btrfs or ZFS, or use fuse-overlayfs",
		   &outcome);
	return !problem;
}

static int storage_battery(const struct verify_wanted *wanted, struct report *report,
			   struct ph_error *error)
{
	struct scratch scratch = SCRATCH_INIT;
	int r;

	if (!check_backing(wanted, report))
		return 0;
	r = scratch_make(&scratch, wanted->data_root, error);
	if (r == 0)
		storage_checks(&scratch, wanted->driver, report);
	scratch_fini(&scratch);
	return r;
}

int verify_battery(const struct verify_wanted *wanted, verify_check_fn check, void *user,
		   Phoenix__VerifyReport **ret_report, struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = scratch_lock(wanted->data_root, SCRATCH_PATIENCE_MS, error);
	struct report report;
	int r;

	if (lock < 0)
		return lock;
	report_init(&report, wanted->driver, check, user);
	r = storage_battery(wanted, &report, error);
	if (r == 0 && !wanted->skip_docker) {
		docker_checks(wanted, &report);
		r = health_inputs(wanted->driver, &report.message->facts,
				  &report.message->n_facts, error);
	}
	if (r < 0) {
		report_fini(&report);
		return r;
	}
	*ret_report = report_take(&report);
	return 0;
}
