/*
 * phoenixctl bundle: Docker's packages with all that they need, for hosts without a network. Building
 * one needs apt and a mirror, but neither root nor the suite's own Debian: apt works in a private
 * folder with an empty package database, so that the closure is complete for every image.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

#define SUITE_DEFAULT "bookworm"
#define MIRROR_DEFAULT "http://deb.debian.org/debian"

/*
 * $1 suite, $2 source line, $3 further packages. The archive goes to stdout, words to stderr. The
 * client is a package of its own where the suite has one. Nothing of this host's sources, package
 * database or caches is used but the proxy settings and the keys.
 */
static const char script[] =
	"set -eu\n"
	"work=$(mktemp -d)\n"
	"trap 'rm -rf \"$work\"' EXIT\n"
	"trap 'exit 130' INT TERM HUP\n"
	"mkdir -p \"$work/lists/partial\" \"$work/cache/archives/partial\" \"$work/bundle\" \"$work/none\"\n"
	": >\"$work/status\"\n"
	"printf '%s\\n' \"$2\" >\"$work/sources.list\"\n"
	"run() {\n"
	"	program=$1; shift\n"
	"	\"$program\" -o Dir::Etc::sourcelist=\"$work/sources.list\" -o Dir::Etc::sourceparts=\"$work/none\" \\\n"
	"		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=\"$work/none\" \\\n"
	"		-o Dir::State::lists=\"$work/lists\" -o Dir::State::status=\"$work/status\" \\\n"
	"		-o Dir::State::extended_states=\"$work/extended\" -o Dir::Cache=\"$work/cache\" \\\n"
	"		-o APT::Sandbox::User= -o Acquire::Languages=none -o Debug::NoLocking=true \\\n"
	"		-o APT::Install-Recommends=false -o APT::Update::Error-Mode=any -o Acquire::Retries=2 \"$@\"\n"
	"}\n"
	"run apt-get -q update >&2\n"
	"packages=\"docker.io fuse-overlayfs iptables ca-certificates $3\"\n"
	"run apt-cache show docker-cli >/dev/null 2>&1 && packages=\"$packages docker-cli\"\n"
	"run apt-get -q -y install --download-only $packages >&2\n"
	"cd \"$work/bundle\"\n"
	"for file in \"$work\"/cache/archives/*.deb; do\n"
	"	name=$(basename \"$file\" | tr % _)\n"
	"	mv \"$file\" \"$name\"\n"
	"	dpkg-deb --field \"$name\"\n"
	"	printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' \"$name\" \"$(stat -c %s \"$name\")\" \\\n"
	"		\"$(sha256sum \"$name\" | cut -d ' ' -f 1)\"\n"
	"done >\"$work/Packages\"\n"
	"mv \"$work/Packages\" Packages\n"
	"printf 'suite: %s\\npackages: %s\\n' \"$1\" \"$packages\" >ABOUT\n"
	"sha256sum -- * >\"$work/SHA256SUMS\"\n"
	"mv \"$work/SHA256SUMS\" SHA256SUMS\n"
	"tar --create --file=- --owner=0 --group=0 --numeric-owner --mode=0644 -- *\n";

int command_bundle_import(struct invocation *invocation, struct ph_error *error)
{
	const char *name = invocation->arguments[0], *source = invocation->arguments[1];
	PH_CLEANUP(spool_remove) struct spool spool = { .fd = -1 };
	int r = archive_check_name(&archive_bundle, name, error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	if (r == 0)
		r = spool_open(invocation_value(invocation, "spool"), &spool, error);
	if (r == 0)
		r = spool_copy(&spool, source, error);
	return r == 0 ? archive_import(invocation, &archive_bundle, name, "bundle", &spool, error) :
			r;
}

/* Copy the finished archive to where the operator wants to carry it from. */
static int save(const struct spool *spool, const char *path, struct ph_error *error)
{
	const char *const argv[] = { "cat", spool->path, NULL };
	struct spool output = { .fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) };
	int r;

	if (output.fd < 0)
		return error_errno(error, -errno, path, NULL, "open");
	r = spool_fill(&output, argv, "install it: apt install coreutils", error);
	if (close(output.fd) < 0 && r == 0)
		r = error_errno(error, -errno, path, NULL, "write");
	return r;
}

int command_bundle_build(struct invocation *invocation, struct ph_error *error)
{
	const char *name = invocation->arguments[0];
	const char *suite = invocation_value(invocation, "suite") ?: SUITE_DEFAULT;
	const char *mirror = invocation_value(invocation, "mirror") ?: MIRROR_DEFAULT;
	const char *keyring = invocation_value(invocation, "keyring");
	const char *output = invocation_value(invocation, "output");
	PH_AUTO_FREE char *line = ph_format("deb %s%s%s%s %s main", keyring ? "[signed-by=" : "",
					    keyring ? keyring : "", keyring ? "] " : "", mirror,
					    suite);
	const char *const argv[] = { "sh",
				     "-c",
				     script,
				     "phoenixctl-bundle",
				     suite,
				     line,
				     invocation_value(invocation, "include") ?: "",
				     NULL };
	PH_CLEANUP(spool_remove) struct spool spool = { .fd = -1 };
	int r = archive_check_name(&archive_bundle, name, error);

	if (r == 0 && !output)
		r = invocation_connect(invocation, error);
	if (r == 0)
		r = spool_open(output ? "/var/tmp" : invocation_value(invocation, "spool"), &spool,
			       error);
	if (r == 0)
		r = spool_fill(&spool, argv, "install it: apt install apt dpkg", error);
	if (r == 0 && output)
		return save(&spool, output, error);
	return r == 0 ? archive_import(invocation, &archive_bundle, name, "bundle", &spool, error) :
			r;
}

/* ---- list, remove ---- */

static void print_bundles(const Phoenix__ImageListReply *reply)
{
	static const char *const head[] = { "NAME", "SIZE", "IMPORTED", "MANIFEST" };
	struct table table;

	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < reply->n_images; i++) {
		const Phoenix__Image *bundle = reply->images[i];
		char size[32], time[25], digest[13];
		const char *const cells[] = { bundle->name, size,
					      clock_format(bundle->created_ms, time), digest };

		snprintf(size, sizeof(size), "%.0f MiB", (double)bundle->size_bytes / (1 << 20));
		snprintf(digest, sizeof(digest), "%.12s", bundle->digest);
		table_add(&table, cells);
	}
	table_print(&table);
	table_fini(&table);
}

int command_bundle_list(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	Phoenix__ImageListReply *reply = NULL;
	int r = invocation_connect(invocation, error);

	request.image_kind = PHOENIX__IMAGE_KIND__IMAGE_KIND_BUNDLE;
	if (r == 0)
		r = client_call(invocation->client, "ImageList", &request.base, &reply, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&reply->base, false);
	else
		print_bundles(reply);
	message_free(reply);
	return EXIT_OK;
}

int command_bundle_remove(struct invocation *invocation, struct ph_error *error)
{
	return archive_remove(invocation, &archive_bundle, error);
}
