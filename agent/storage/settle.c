#include "agent/storage/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "agent/storage/held.h"
#include "agent/storage/probe.h"
#include "agent/storage/scratch.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

static bool is_settled(const char *driver_now, const char *chosen,
		       const struct storage_wanted *wanted)
{
	if (text_empty(driver_now))
		return false;
	return text_equal(wanted->driver, driver_now) ||
	       (text_equal(wanted->driver, "auto") && text_equal(chosen, driver_now));
}

/*
 * Probing enters a mount namespace of its own; an installation that follows in this process has to be back:
 * dockerd and the cgroups it mounts belong to the container, not to a process that ends.
 */
static int probe_and_return(const char *data_root, struct storage_facts *facts,
			    struct ph_error *error)
{
	PH_AUTO_CLOSE int here = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int r;

	if (here < 0)
		return error_errno(error, -errno, "/proc/self/ns/mnt", "mount procfs", "open");
	r = storage_probe(data_root, facts, error);
	if (setns(here, CLONE_NEWNS) < 0)
		return error_errno(error, -errno, "/proc/self/ns/mnt",
				   "run it as root of the container",
				   "go back to the container's mount namespace");
	return r;
}

static int choose(const char *data_root, const struct storage_wanted *wanted,
		  struct storage_facts *facts, struct storage_settled *settled,
		  struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = scratch_lock(data_root, SCRATCH_PATIENCE_MS, error);
	PH_AUTO_FREE struct storage_decision *decision = ph_alloc(sizeof(*decision));
	int r = lock < 0 ? lock : probe_and_return(data_root, facts, error);

	if (r == 0)
		r = storage_choose(facts, wanted, decision, error);
	if (r < 0)
		return error_prefix(error, "choose the storage driver");
	text_copy(settled->driver, sizeof(settled->driver), decision->driver);
	if (decision->reason_count)
		text_copy(settled->reason, sizeof(settled->reason),
			  decision->reasons[decision->reason_count - 1]);
	return 0;
}

int storage_settle(const char *data_root, const char *chosen, const struct storage_wanted *wanted,
		   struct storage_settled *ret_settled, struct ph_error *error)
{
	PH_AUTO_FREE struct storage_facts *facts = ph_alloc(sizeof(*facts));
	struct storage_settled settled = { 0 };
	int r;

	text_copy(facts->data_root, sizeof(facts->data_root), data_root);
	storage_held(facts);
	if (is_settled(facts->driver_now, chosen, wanted)) {
		text_copy(settled.driver, sizeof(settled.driver), facts->driver_now);
		*ret_settled = settled;
		return STORAGE_KEPT;
	}
	r = choose(data_root, wanted, facts, &settled, error);
	if (r < 0)
		return r;
	if (!text_equal(facts->driver_now, settled.driver) &&
	    (text_equal(facts->driver_now, chosen) || wanted->accept_loss))
		text_copy(settled.replaces, sizeof(settled.replaces), facts->driver_now);
	*ret_settled = settled;
	return STORAGE_CHOSEN;
}
