/* What apt and dpkg really write when they fail, and what it is taken for. */
#include "agent/docker/apt_error.h"

#include <errno.h>
#include <string.h>

#include "agent/docker/apt.h"
#include "agent/docker/apt_status.h"
#include "common/cleanup.h"
#include "tests/support/cmocka.h"

struct failure_case {
	const char *errors;
	const char *output;
	enum apt_failure failure;
	int code;
	const char *cause;
};

static const struct failure_case cases[] = {
	{ "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 99 (apt-get)\n"
	  "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process "
	  "using it?\n",
	  "", APT_LOCKED, -EBUSY,
	  "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 99 (apt-get)" },
	{ "dpkg: error: dpkg frontend lock was locked by another process with pid 7\n", "",
	  APT_LOCKED, -EBUSY,
	  "dpkg: error: dpkg frontend lock was locked by another process with pid 7" },
	{ "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. \n",
	  "", APT_INTERRUPTED, -EAGAIN,
	  "dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. " },
	{ "E: You don't have enough free space in /var/cache/apt/archives/.\n", "", APT_DISK_FULL,
	  -ENOSPC, "You don't have enough free space in /var/cache/apt/archives/." },
	{ "dpkg: error processing archive /x.deb (--unpack):\n cannot copy extracted data for './usr/bin/d' "
	  "to '/usr/bin/d.dpkg-new': failed to write (No space left on device)\n"
	  "E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
	  "", APT_DISK_FULL, -ENOSPC,
	  "cannot copy extracted data for './usr/bin/d' to '/usr/bin/d.dpkg-new': failed to write (No space "
	  "left on device)" },
	{ "W: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Temporary failure "
	  "resolving 'deb.debian.org'\nE: Some index files failed to download.\n",
	  "", APT_NETWORK, -ENETUNREACH,
	  "Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Temporary failure "
	  "resolving 'deb.debian.org'" },
	{ "E: Failed to fetch http://m/x.deb  Could not connect to m:80 (192.0.2.1). - connect (111: "
	  "Connection refused)\n",
	  "", APT_NETWORK, -ENETUNREACH, NULL },
	{ "E: Failed to fetch http://m/pool/d.deb  404  Not Found [IP: 192.0.2.1 80]\n"
	  "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n",
	  "", APT_MIRROR, -ENOENT, NULL },
	{ "E: Failed to fetch http://m/d.deb  Hash Sum mismatch\n", "", APT_HASH, -EBADMSG,
	  "Failed to fetch http://m/d.deb  Hash Sum mismatch" },
	{ "E: Failed to fetch http://m/d.deb  File has unexpected size (3 != 4). Mirror sync in progress?\n",
	  "", APT_HASH, -EBADMSG, NULL },
	{ "E: Release file for http://m/InRelease is not valid yet (invalid for another 8d 2h). Updates for "
	  "this repository will not be applied.\n",
	  "", APT_CLOCK, -ETIME, NULL },
	{ "E: Release file for http://m/InRelease is expired (invalid since 3d). Updates for this "
	  "repository will not be applied.\n",
	  "", APT_EXPIRED, -ESTALE, NULL },
	{ "W: GPG error: http://m bookworm InRelease: The following signatures couldn't be verified because "
	  "the public key is not available: NO_PUBKEY 0E98404D386FA1D9\n",
	  "", APT_SIGNATURE, -EKEYREJECTED, NULL },
	{ "E: The repository 'http://m bookworm Release' is not signed.\n", "", APT_SIGNATURE,
	  -EKEYREJECTED, NULL },
	{ "E: Unable to locate package docker.io\n", "", APT_NO_CANDIDATE, -ENOENT,
	  "Unable to locate package docker.io" },
	{ "E: Package 'docker.io' has no installation candidate\n", "", APT_NO_CANDIDATE, -ENOENT,
	  NULL },
	{ "E: Unable to correct problems, you have held broken packages.\n",
	  "The following packages have unmet dependencies:\n docker.io : Depends: runc but it is not "
	  "installable\n",
	  APT_DEPENDENCIES, -ENOTSUP, "docker.io : Depends: runc but it is not installable" },
	{ "E: Unable to correct problems, you have held broken packages.\n",
	  "Some packages could not be installed.\nThe following packages have unmet dependencies:\n"
	  " docker-ce : Depends: containerd.io (>= 1.7.27) but it is not going to be installed\n"
	  "             Depends: libc6 (>= 2.38) but 2.36-9 is to be installed\n"
	  " runc : Breaks: containerd.io\nNothing else is indented.\n",
	  APT_DEPENDENCIES, -ENOTSUP,
	  "docker-ce : Depends: containerd.io (>= 1.7.27) but it is not going to be installed; "
	  "Depends: libc6 (>= 2.38) but 2.36-9 is to be installed; runc : Breaks: containerd.io" },
	{ "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages.\n",
	  "The following packages have unmet dependencies:", APT_DEPENDENCIES, -ENOTSUP,
	  "The following packages have unmet dependencies:" },
	{ "E: Held packages were changed and -y was used without --allow-change-held-packages.\n",
	  "", APT_HELD, -EPERM, NULL },
	{ "dpkg: error processing package docker.io (--configure):\n installed docker.io package "
	  "post-installation script subprocess returned error exit status 3\nErrors were encountered while "
	  "processing:\n docker.io\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n",
	  "", APT_SCRIPT, -EIO,
	  "installed docker.io package post-installation script subprocess returned error exit status 3" },
	{ "E: The package docker.io needs to be reinstalled, but I can't find an archive for it.\n",
	  "", APT_REINSTALL, -EAGAIN, NULL },
	{ "dpkg: error: unable to open '/var/lib/dpkg/x': Read-only file system\n", "",
	  APT_READ_ONLY, -EROFS, NULL },
	{ "E: Sub-process /usr/bin/dpkg exited unexpectedly\n", "", APT_DPKG, -EIO, NULL },
	{ "W: something\nE: a failure of the future\nW: noise\n", "", APT_UNKNOWN, -EIO,
	  "a failure of the future" },
	{ "", "only words on stdout\n\n", APT_UNKNOWN, -EIO, "only words on stdout" },
	{ "", "", APT_UNKNOWN, -EIO, "" },
};

static void failures_are_classified(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		const struct failure_case *c = &cases[i];
		struct ph_error error = { 0 };
		char cause[320];
		enum apt_failure failure = apt_failure_classify(c->errors, c->output, cause,
								sizeof(cause));

		if (failure != c->failure)
			fail_msg("case %zu is taken for %s", i, apt_failure_name(failure));
		if (c->cause && strcmp(cause, c->cause) != 0)
			fail_msg("case %zu: cause \"%s\"", i, cause);
		if (apt_failure_error(c->errors, c->output, &error) != c->code)
			fail_msg("case %zu: code %d", i, error.code);
		if (!error.remedy[0] || !error.why[0])
			fail_msg("case %zu: no remedy or reason", i);
	}
}

static void long_causes_are_cut(void **state)
{
	char cause[16];

	apt_failure_classify("E: Unable to locate package docker.io\n", "", cause, sizeof(cause));
	assert_string_equal(cause, "Unable to locat");
	apt_failure_classify("", "x have unmet dependencies:\n a : Depends: b\n c : Depends: d\n e\n",
			     cause, sizeof(cause));
	assert_string_equal(cause, "a : Depends: b;");
}

static const struct {
	const char *line;
	int result;
	enum apt_status_kind kind;
	const char *subject;
	unsigned int percent;
	const char *message;
} status_cases[] = {
	{ "pmstatus:docker.io:52.3809:Unpacking docker.io (amd64)", 0, APT_STATUS_PACKAGE,
	  "docker.io", 52, "Unpacking docker.io (amd64)" },
	{ "pmstatus:libc6:amd64:7.0000:Installing", 0, APT_STATUS_PACKAGE, "libc6:amd64", 7,
	  "Installing" },
	{ "dlstatus:3:100:Retrieving file 3 of 3", 0, APT_STATUS_DOWNLOAD, "3", 100,
	  "Retrieving file 3 of 3" },
	{ "pmerror:/x.deb:40.0:trying: to overwrite", 0, APT_STATUS_ERROR, "/x.deb", 40,
	  "trying: to overwrite" },
	{ "pmconffile:/etc/x:0:a b", -EBADMSG },
	{ "pmstatus:x:y:z", -EBADMSG },
	{ "pmstatus:x:-1:z", -EBADMSG },
	{ "pmstatus:x:1e9:z", -EBADMSG },
	{ "pmstatus:x", -EBADMSG },
	{ "pmstatus:", -EBADMSG },
	{ "", -EBADMSG },
};

static void status_lines_are_parsed(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(status_cases); i++) {
		struct apt_status status = { 0 };
		int result = apt_status_parse(status_cases[i].line, &status);

		if (result != status_cases[i].result)
			fail_msg("\"%s\": %d", status_cases[i].line, result);
		if (result < 0)
			continue;
		assert_int_equal(status.kind, status_cases[i].kind);
		assert_int_equal(status.percent, status_cases[i].percent);
		assert_string_equal(status.subject, status_cases[i].subject);
		assert_string_equal(status.message, status_cases[i].message);
	}
}

static void candidates_are_found(void **state)
{
	static const char policy[] =
		"docker.io:\n  Installed: (none)\n  Candidate: 20.10.24+dfsg1-1\n  Version table:\n"
		"     20.10.24+dfsg1-1 500\nrunc:\n  Installed: (none)\n  Candidate: (none)\n"
		"  Version table:\niptables:\n  Installed: 1\n  Candidate: 1.8.9-2\n";
	static const struct {
		const char *package;
		int result;
		const char *version;
	} packages[] = {
		{ "docker.io", 1, "20.10.24+dfsg1-1" },
		{ "runc", 0, "" },
		{ "iptables", 1, "1.8.9-2" },
		{ "docker", 0, "" },
		{ "fuse-overlayfs", 0, "" },
		{ "Candidate", 0, "" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(packages); i++) {
		char version[64] = "";

		if (apt_policy_candidate(policy, packages[i].package, version, sizeof(version)) !=
		    packages[i].result)
			fail_msg("%s", packages[i].package);
		assert_string_equal(version, packages[i].version);
	}
	assert_int_equal(apt_policy_candidate("", "x", (char[4]){ 0 }, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_are_classified),
		cmocka_unit_test(long_causes_are_cut),
		cmocka_unit_test(status_lines_are_parsed),
		cmocka_unit_test(candidates_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
