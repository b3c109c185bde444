/*
 * phoenixctl image: the operator's own authority reads or builds the root file system; phoenix-host
 * gets to see only a file in the spool.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/archive.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/spool.h"
#include "controller/cli/table.h"

#define PACKAGES "systemd-sysv,dbus,ca-certificates,iproute2,apt"

static int pack(struct spool *spool, const char *directory, struct ph_error *error)
{
	const char *const argv[] = {
		"tar",    "--create",          "--file=-",    "--numeric-owner", "--xattrs",
		"--acls", "--one-file-system", "--directory", directory,         ".",
		NULL
	};

	return spool_fill(spool, argv, "install it: apt install tar", error);
}

int command_image_import(struct invocation *invocation, struct ph_error *error)
{
	const char *name = invocation->arguments[0], *source = invocation->arguments[1];
	PH_CLEANUP(spool_remove) struct spool spool = { .fd = -1 };
	struct stat status;
	int r = archive_check_name(&archive_image, name, error);

	if (r < 0)
		return r;
	if (stat(source, &status) < 0)
		return error_set(error, -EINVAL, source, "name a tar archive or a directory", "%s",
				 strerror(errno));
	r = invocation_connect(invocation, error);
	if (r == 0)
		r = spool_open(invocation_value(invocation, "spool"), &spool, error);
	if (r == 0)
		r = S_ISDIR(status.st_mode) ? pack(&spool, source, error) :
					      spool_copy(&spool, source, error);
	return r == 0 ? archive_import(invocation, &archive_image, name, source, &spool, error) : r;
}

static int build(struct invocation *invocation, struct spool *spool, const char *suite,
		 struct ph_error *error)
{
	const char *more = invocation_value(invocation, "include");
	PH_AUTO_FREE char *include = ph_format("--include=%s%s%s", PACKAGES, more ? "," : "",
					       more ? more : "");
	const char *const argv[] = { "mmdebstrap",
				     "--variant=apt",
				     "--format=tar",
				     include,
				     "--",
				     suite,
				     "-",
				     invocation_value(invocation, "mirror"),
				     NULL };

	return spool_fill(spool, argv, "install it: apt install mmdebstrap", error);
}

int command_image_build(struct invocation *invocation, struct ph_error *error)
{
	const char *name = invocation->arguments[0];
	const char *suite = invocation_value(invocation, "suite");
	PH_CLEANUP(spool_remove) struct spool spool = { .fd = -1 };
	PH_AUTO_FREE char *source = ph_format("mmdebstrap %s", suite ? suite : "bookworm");
	int r = archive_check_name(&archive_image, name, error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	if (r == 0)
		r = spool_open(invocation_value(invocation, "spool"), &spool, error);
	if (r == 0)
		r = build(invocation, &spool, suite ? suite : "bookworm", error);
	return r == 0 ? archive_import(invocation, &archive_image, name, source, &spool, error) : r;
}

/* ---- list, remove ---- */

static void print_images(const Phoenix__ImageListReply *reply)
{
	static const char *const head[] = { "NAME", "SIZE", "CREATED", "SOURCE" };
	struct table table;

	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < reply->n_images; i++) {
		const Phoenix__Image *image = reply->images[i];
		char size[32], time[25];
		const char *const cells[] = { image->name, size,
					      clock_format(image->created_ms, time),
					      image->source };

		snprintf(size, sizeof(size), "%.0f MiB", (double)image->size_bytes / (1 << 20));
		table_add(&table, cells);
	}
	table_print(&table);
	table_fini(&table);
}

int command_image_list(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	Phoenix__ImageListReply *reply = NULL;
	int r = invocation_connect(invocation, error);

	if (r == 0)
		r = client_call(invocation->client, "ImageList", &request.base, &reply, error);
	if (r < 0)
		return r;
	if (invocation_value(invocation, "names")) {
		for (size_t i = 0; i < reply->n_images; i++)
			if (name_is_valid(reply->images[i]->name))
				puts(reply->images[i]->name);
	} else if (invocation->json) {
		json_print(&reply->base, false);
	} else {
		print_images(reply);
	}
	message_free(reply);
	return EXIT_OK;
}

int command_image_remove(struct invocation *invocation, struct ph_error *error)
{
	return archive_remove(invocation, &archive_image, error);
}
