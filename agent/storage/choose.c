/*
 * The order of preference is overlay2, fuse-overlayfs, vfs: the kernel's overlay is several times
 * faster on small files and has no daemon that can die; full copies are for nobody who was not asked.
 */
#include "agent/storage/choose.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/docker/recipe.h"
#include "common/cleanup.h"
#include "common/str.h"

#define OVERLAY2 "overlay2"
#define FUSE "fuse-overlayfs"
#define VFS "vfs"
#define REFUSAL_SIZE 240
#define NAMES_SHOWN 8

struct choice {
	const struct storage_facts *facts;
	const struct storage_wanted *wanted;
	struct storage_decision *decision;
};

static void add_reason(struct choice *choice, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_reason(struct choice *choice, const char *format, ...)
{
	struct storage_decision *decision = choice->decision;
	va_list arguments;

	if (decision->reason_count == STORAGE_NOTES_MAXIMUM)
		return;
	va_start(arguments, format);
	vsnprintf(decision->reasons[decision->reason_count++], sizeof(decision->reasons[0]), format,
		  arguments);
	va_end(arguments);
}

static void add_finding(struct choice *choice, const char *id, const char *message,
			const char *remedy)
{
	struct storage_decision *decision = choice->decision;
	struct storage_finding *finding;

	if (decision->finding_count == STORAGE_NOTES_MAXIMUM)
		return;
	finding = &decision->findings[decision->finding_count++];
	text_copy(finding->id, sizeof(finding->id), id);
	text_copy(finding->message, sizeof(finding->message), message);
	text_copy(finding->remedy, sizeof(finding->remedy), remedy);
}

/* ---- what a driver can do here ---- */

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (text_equal(name, *names))
			return true;
	return false;
}

static bool is_network(const char *filesystem)
{
	static const char *const names[] = { "nfs",  "cifs", "smb", "smb2", "9p",
					     "ceph", "afs",  NULL };

	return is_one_of(filesystem, names);
}

static bool is_layered(const char *filesystem)
{
	static const char *const names[] = { "overlay", "fuse", "ecryptfs", NULL };

	return is_one_of(filesystem, names);
}

const char *storage_stacking_problem(const char *driver, const char *filesystem)
{
	if (is_network(filesystem))
		return "the data-root is on a network file system, which keeps neither whiteouts "
		       "nor owners reliably";
	if (text_equal(driver, OVERLAY2) && is_layered(filesystem))
		return "the data-root is itself on a layered file system, and the kernel's overlay "
		       "must not be stacked on it";
	return NULL;
}

/* Whether this Docker takes the driver from daemon.json; a version not known yet is let pass. */
static bool docker_takes(const struct storage_facts *facts, const char *driver, char *why,
			 size_t size)
{
	struct ph_error error = { 0 };

	if (!facts->docker[0] || recipe_version_check(facts->docker, driver, &error) == 0)
		return true;
	snprintf(why, size, "%s", error.why);
	return false;
}

/* Each says whether the driver can hold layers here, and if not, why. */
static bool overlay_can(const struct storage_facts *facts, char *why, size_t size)
{
	const char *stacking = storage_stacking_problem(OVERLAY2, facts->filesystem);

	if (stacking)
		snprintf(why, size, "%s (%s)", stacking, facts->filesystem);
	else if (facts->entry_types == STORAGE_NO)
		snprintf(why, size, "%s does not tell entry types (xfs made with ftype=0)",
			 facts->filesystem);
	else if (facts->overlay.passed == STORAGE_YES)
		return docker_takes(facts, OVERLAY2, why, size);
	else if (facts->userxattr == STORAGE_NO)
		snprintf(why, size, "overlay does not mount here%s: %s",
			 facts->in_user_namespace ? " with userxattr" : "", facts->overlay.got);
	else if (facts->rename_lower == STORAGE_NO)
		snprintf(why, size, "overlay mounts, but a file of a lower layer cannot be "
				    "renamed%s: %s",
			 facts->rename_whiteout == STORAGE_NO ?
				 " because the file system lacks RENAME_WHITEOUT" :
				 "",
			 facts->overlay.got);
	else if (facts->overlay.passed == STORAGE_NO)
		snprintf(why, size, "overlay mounts, but fails %s: %s", facts->overlay.check,
			 facts->overlay.got);
	else
		snprintf(why, size, "overlay could not be tried on the data-root");
	return false;
}

static bool fuse_can(const struct storage_facts *facts, char *why, size_t size)
{
	const char *stacking = storage_stacking_problem(FUSE, facts->filesystem);

	if (stacking)
		snprintf(why, size, "%s (%s)", stacking, facts->filesystem);
	else if (facts->fuse_device != STORAGE_YES)
		snprintf(why, size, "/dev/fuse cannot be opened: %s",
			 facts->fuse_problem[0] ? facts->fuse_problem : "nobody tried");
	else if (facts->fuse.passed == STORAGE_NO)
		snprintf(why, size, "fuse-overlayfs %s fails %s: %s", facts->fuse_overlayfs,
			 facts->fuse.check, facts->fuse.got);
	else
		return docker_takes(facts, FUSE, why, size);
	return false;
}

static bool vfs_can(const struct storage_facts *facts, char *why, size_t size)
{
	const char *stacking = storage_stacking_problem(VFS, facts->filesystem);

	if (!stacking)
		return docker_takes(facts, VFS, why, size);
	snprintf(why, size, "%s (%s)", stacking, facts->filesystem);
	return false;
}

static const struct {
	const char *name;
	bool (*can)(const struct storage_facts *facts, char *why, size_t size);
} drivers[] = {
	{ OVERLAY2, overlay_can },
	{ FUSE, fuse_can },
	{ VFS, vfs_can },
};

bool storage_driver_is_known(const char *driver)
{
	for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++)
		if (text_equal(driver, drivers[i].name))
			return true;
	return text_equal(driver, "auto");
}

static bool driver_can(const struct storage_facts *facts, const char *driver, char *why,
		       size_t size)
{
	for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++)
		if (text_equal(driver, drivers[i].name))
			return drivers[i].can(facts, why, size);
	snprintf(why, size, "Phoenix does not know it");
	return false;
}

/* ---- reasons for what was taken ---- */

static void explain_taken(struct choice *choice, const char *driver)
{
	const struct storage_facts *facts = choice->facts;

	if (text_equal(driver, OVERLAY2))
		add_reason(choice,
			   "overlay2: every storage check passed with it on this %s%s%s",
			   facts->filesystem, facts->filesystem_version[0] ? " " : "",
			   facts->filesystem_version);
	else if (text_equal(driver, FUSE) && facts->fuse.passed == STORAGE_YES)
		add_reason(choice,
			   "fuse-overlayfs %s: every storage check passed with it on this %s",
			   facts->fuse_overlayfs, facts->filesystem);
	else if (text_equal(driver, FUSE))
		add_reason(choice, "fuse-overlayfs: /dev/fuse opens; verify tries it on this %s "
				   "once it is installed",
			   facts->filesystem);
	else
		add_reason(choice, "vfs: accepted in the fleet file; every layer is a full copy");
}

/* "6.1.0-18" is older than 1.12? No: numbers are compared one by one. */
static bool is_older(const char *version, unsigned int major, unsigned int minor)
{
	unsigned int got_major = 0, got_minor = 0;

	if (sscanf(version, "%u.%u", &got_major, &got_minor) != 2)
		return false;
	return got_major < major || (got_major == major && got_minor < minor);
}

static void find_trouble(struct choice *choice)
{
	const struct storage_facts *facts = choice->facts;
	const char *driver = choice->decision->driver;
	bool is_fuse = text_equal(driver, FUSE);

	if (text_equal(facts->filesystem, "tmpfs"))
		add_finding(choice, "storage.on-tmpfs",
			    "the data-root is on tmpfs: images use memory and are gone after a "
			    "restart",
			    "put the host's state_dir on a disk");
	if (is_layered(facts->filesystem))
		add_finding(choice, "storage.on-layers",
			    "the data-root is itself on a layered file system: slower, and some "
			    "behaviour is inherited from it",
			    "put the host's state_dir on a local disk");
	if (is_fuse && facts->acl == STORAGE_NO && facts->fuse.passed != STORAGE_YES &&
	    (!facts->fuse_overlayfs[0] || is_older(facts->fuse_overlayfs, 1, 12)))
		add_finding(choice, "storage.no-acl",
			    "the file system keeps no POSIX ACLs, and fuse-overlayfs before 1.12 "
			    "may hide files of other users there",
			    "zfs set acltype=posixacl, or fuse-overlayfs 1.12 or newer; verify "
			    "tells whether it matters");
	if (is_fuse && choice->decision->alternative[0])
		add_finding(choice, "storage.slower",
			    "overlay2 passes here too, and is faster: phoenixctl storage measures "
			    "it",
			    "storage: {driver: auto} chooses it for new containers");
	if (text_equal(driver, VFS))
		add_finding(choice, "storage.full-copies",
			    "vfs copies the whole image for each layer and each container",
			    "give the container /dev/fuse, or a data-root that overlay2 can use");
}

/* ---- consent ---- */

static void name_images(const struct storage_facts *facts, char *text, size_t size)
{
	size_t shown = facts->image_named < NAMES_SHOWN ? facts->image_named : NAMES_SHOWN;
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < shown && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%.60s", i ? ", " : "",
					   facts->images[i]);
	if (facts->image_count > shown && length < size)
		snprintf(text + length, size - length, "%s%zu more", shown ? " and " : "",
			 facts->image_count - shown);
}

static bool holds_data(const struct storage_facts *facts)
{
	return facts->driver_now[0] && (facts->image_count || facts->container_count);
}

static int take(struct choice *choice, const char *driver, struct ph_error *error)
{
	const struct storage_facts *facts = choice->facts;
	char names[200];

	if (holds_data(facts) && !text_equal(driver, facts->driver_now)) {
		name_images(facts, names, sizeof(names));
		choice->decision->loses_images = true;
		add_reason(choice, "changing from %s to %s hides %zu images (%s) and %zu containers",
			   facts->driver_now, driver, facts->image_count, names,
			   facts->container_count);
		if (!choice->wanted->accept_loss)
			return error_set(error, -EPERM, facts->data_root,
					 "keep the driver, or write 'allow_image_loss: true' under "
					 "storage in the fleet file",
					 "changing Docker's driver from %s to %s would hide %zu "
					 "images and %zu containers: %s",
					 facts->driver_now, driver, facts->image_count,
					 facts->container_count, names);
	}
	text_copy(choice->decision->driver, STORAGE_DRIVER_SIZE, driver);
	explain_taken(choice, driver);
	return 0;
}

static int refuse_vfs(struct choice *choice, struct ph_error *error)
{
	add_reason(choice, "vfs would work, but copies every layer in full: it needs consent");
	return error_set(error, -EPERM, choice->facts->data_root,
			 "write 'allow_vfs: true' under storage in the fleet file if full copies are "
			 "really wanted; better: give the container /dev/fuse",
			 "vfs copies the whole image for each layer, and nobody has consented");
}

/* ---- choosing ---- */

static const char *remedy_for(const struct storage_facts *facts)
{
	if (is_network(facts->filesystem))
		return "put the host's state_dir on a local disk: ext4, xfs, btrfs or ZFS";
	if (facts->fuse_device != STORAGE_YES)
		return "give the container /dev/fuse (modprobe fuse on the host), or a data-root on "
		       "ext4, xfs or btrfs";
	return "put the host's state_dir on ext4, xfs, btrfs or ZFS; write 'driver: auto' to let "
	       "Phoenix choose";
}

static int choose_named(struct choice *choice, struct ph_error *error)
{
	const char *driver = choice->wanted->driver;
	char why[REFUSAL_SIZE] = "";

	if (!driver_can(choice->facts, driver, why, sizeof(why))) {
		add_reason(choice, "not %s: %.200s", driver, why);
		return error_set(error, -ENOTSUP, choice->facts->data_root,
				 remedy_for(choice->facts), "%s cannot be used: %s", driver, why);
	}
	if (text_equal(driver, VFS) && !choice->wanted->accept_vfs)
		return refuse_vfs(choice, error);
	return take(choice, driver, error);
}

/* What holds images now is kept as long as it works: auto never throws images away by itself. */
static bool keeps_present(struct choice *choice)
{
	const struct storage_facts *facts = choice->facts;
	char why[REFUSAL_SIZE] = "";

	if (!holds_data(facts) || choice->wanted->accept_loss)
		return false;
	if (text_equal(facts->driver_now, VFS) && !choice->wanted->accept_vfs)
		return false;
	if (driver_can(facts, facts->driver_now, why, sizeof(why)))
		return true;
	add_reason(choice, "not %s, which holds %zu images: %.160s", facts->driver_now,
		   facts->image_count, why);
	return false;
}

static int choose_auto(struct choice *choice, struct ph_error *error)
{
	const struct storage_facts *facts = choice->facts;
	char why[ARRAY_LENGTH(drivers)][REFUSAL_SIZE] = { 0 };

	if (keeps_present(choice)) {
		add_reason(choice, "%s holds %zu images and %zu containers, and works: it is kept",
			   facts->driver_now, facts->image_count, facts->container_count);
		return take(choice, facts->driver_now, error);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++) {
		bool is_vfs = text_equal(drivers[i].name, VFS);

		if (!drivers[i].can(facts, why[i], sizeof(why[i]))) {
			if (!is_vfs || is_network(facts->filesystem))
				add_reason(choice, "not %s: %.200s", drivers[i].name, why[i]);
			continue;
		}
		if (is_vfs && !choice->wanted->accept_vfs)
			break;
		return take(choice, drivers[i].name, error);
	}
	return error_set(error, -ENOTSUP, facts->data_root, remedy_for(facts),
			 "no driver can hold layers here: overlay2: %s; fuse-overlayfs: %s", why[0],
			 why[1]);
}

static void find_alternative(struct choice *choice)
{
	const char *driver = choice->decision->driver;
	char why[REFUSAL_SIZE];

	for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++)
		if (!text_equal(driver, drivers[i].name) && !text_equal(drivers[i].name, VFS) &&
		    driver[0] && drivers[i].can(choice->facts, why, sizeof(why))) {
			text_copy(choice->decision->alternative, STORAGE_DRIVER_SIZE,
				  drivers[i].name);
			return;
		}
}

int storage_choose(const struct storage_facts *facts, const struct storage_wanted *wanted,
		   struct storage_decision *ret_decision, struct ph_error *error)
{
	struct choice choice = { facts, wanted, ret_decision };
	int r;

	*ret_decision = (struct storage_decision){ 0 };
	if (!storage_driver_is_known(wanted->driver))
		return error_set(error, -EINVAL, "storage.driver",
				 "write auto, overlay2, fuse-overlayfs or vfs",
				 "'%.40s' is not a storage driver of Phoenix", wanted->driver);
	if (text_equal(wanted->driver, "auto"))
		r = choose_auto(&choice, error);
	else
		r = choose_named(&choice, error);
	find_alternative(&choice);
	find_trouble(&choice);
	return r;
}
