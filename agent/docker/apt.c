#include "agent/docker/apt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/docker/apt_error.h"
#include "agent/docker/apt_status.h"
#include "agent/docker/lock.h"
#include "agent/docker/recipe.h"
#include "agent/docker/site.h"
#include "agent/docker/source.h"
#include "agent/system/command.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define ARGUMENTS_MAXIMUM 64
#define SAY_EVERY_MS 250
#define RETRY_MS 200
#define QUERY_DEADLINE_MS 60000

static const char *const environment[] = {
	"APT_LISTCHANGES_FRONTEND=none",
	"NEEDRESTART_MODE=l", /* list, do not restart */
	"DEBIAN_PRIORITY=critical",
	NULL,
};

static const char *const dpkg_environment[] = {
	"DPKG_FRONTEND_LOCKED=1", /* package_lock_hold() has it */
	"DEBIAN_PRIORITY=critical",
	NULL,
};

/* Before every subcommand of apt-get. */
static const char *const options[] = {
	"apt-get",
	"-q",
	"-y",
	"-o",
	"Dpkg::Options::=--force-confdef",
	"-o",
	"Dpkg::Options::=--force-confold",
	"-o",
	"Dpkg::Use-Pty=0",
	"-o",
	"APT::Status-Fd=3",
	"-o",
	"APT::Update::Error-Mode=any",
	"-o",
	"Acquire::Retries=2",
	"-o",
	"Acquire::http::Timeout=30",
	"-o",
	"Acquire::https::Timeout=30",
};

/* A bundle is all that apt gets to see: nothing is asked of any other source. */
static const char *const bundle_options[] = {
	"-o", "Dir::Etc::sourcelist=" SITE_BUNDLE_LIST,
	"-o", "Dir::Etc::sourceparts=/dev/null",
	"-o", "Dir::State::lists=" SITE_BUNDLE_LISTS,
	"-o", "Dir::Cache::pkgcache=",
	"-o", "Dir::Cache::srcpkgcache=",
	NULL,
};

struct arguments {
	const char *list[ARGUMENTS_MAXIMUM + 1];
	size_t count;
};

static void arguments_add(struct arguments *arguments, const char *argument)
{
	if (arguments->count < ARGUMENTS_MAXIMUM)
		arguments->list[arguments->count++] = argument;
}

static void arguments_add_all(struct arguments *arguments, const char *const *list)
{
	for (; *list; list++)
		arguments_add(arguments, *list);
}

static void arguments_add_source(struct arguments *arguments, const struct apt *apt)
{
	if (strcmp(apt->wanted->source, "bundle") == 0)
		arguments_add_all(arguments, bundle_options);
}

static void said(void *user, const char *message)
{
	struct apt *apt = user;

	if (apt->say)
		apt->say(apt->user, message);
	apt->said_ms = clock_monotonic_ms();
}

static void status_line(void *user, enum command_stream stream, const char *line)
{
	struct apt *apt = user;
	struct apt_status status;
	PH_AUTO_FREE char *message = NULL;

	if (stream != COMMAND_STATUS || apt_status_parse(line, &status) < 0)
		return;
	if (status.kind != APT_STATUS_ERROR && clock_monotonic_ms() - apt->said_ms < SAY_EVERY_MS)
		return;
	message = ph_format("%u %%: %s", status.percent, status.message);
	said(apt, message);
}

/* Run once; -EBUSY when somebody else holds a lock. */
static int run_once(const struct command *command, struct ph_error *error)
{
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	char ending[48];
	int result = command_run(command, &ended, error);

	if (result == -ETIMEDOUT)
		return error_set(error, result, command->argv[0],
				 "look for a maintainer script that hangs (ps in the container), then "
				 "try again: the install goes on where it stopped",
				 "it had not ended after %u s and was killed",
				 command->deadline_ms / 1000);
	if (result < 0 || ended.exit_code == 0)
		return result;
	if (ended.signal)
		return error_set(error, -EINTR, command->argv[0],
				 "try again: the install goes on where it stopped", "it %s",
				 command_result_format(&ended, ending));
	return apt_failure_error(ended.errors, ended.output, error);
}

/* Run when the locks are free, and again when somebody was faster. */
static int run_patiently(struct apt *apt, const struct command *command, struct ph_error *error)
{
	uint64_t started_ms = clock_monotonic_ms();
	int result;

	for (;;) {
		result = package_lock_wait(apt->wanted, said, apt, error);
		if (result < 0)
			return result;
		result = run_once(command, error);
		if (result != -EBUSY ||
		    clock_monotonic_ms() - started_ms >= apt->wanted->lock_timeout_ms)
			return result;
		usleep(RETRY_MS * 1000);
	}
}

static int apt_run(struct apt *apt, const char *const *words, const char *const *packages,
		   struct ph_error *error)
{
	PH_AUTO_FREE char *timeout = ph_format("DPkg::Lock::Timeout=%u",
					       apt->wanted->lock_timeout_ms / 1000 + 1);
	struct arguments arguments = { 0 };
	const struct command command = {
		.argv = arguments.list,
		.environment = environment,
		.path = apt->wanted->path,
		.deadline_ms = apt->wanted->apt_timeout_ms,
		.with_status = true,
		.outlive = true, /* a cut-off dpkg is worse than one that nobody reads */
		.line = status_line,
		.user = apt,
	};
	int result;

	for (size_t i = 0; i < ARRAY_LENGTH(options); i++)
		arguments_add(&arguments, options[i]);
	arguments_add(&arguments, "-o");
	arguments_add(&arguments, timeout);
	arguments_add_source(&arguments, apt);
	arguments_add_all(&arguments, words);
	if (packages)
		arguments_add_all(&arguments, packages);
	result = run_patiently(apt, &command, error);
	if (result < 0)
		error_prefix(error, "apt-get %s", words[0]);
	return result;
}

int apt_update(struct apt *apt, struct ph_error *error)
{
	static const char *const words[] = { "update", NULL };

	return apt_run(apt, words, NULL, error);
}

int apt_install(struct apt *apt, enum apt_mode mode, const char *const *packages,
		struct ph_error *error)
{
	static const char *const words[][4] = {
		[APT_DOWNLOAD] = { "install", "--no-install-recommends", "--download-only" },
		[APT_INSTALL] = { "install", "--no-install-recommends" },
		[APT_REPAIR] = { "install", "--no-install-recommends", "--reinstall" },
	};
	/* The wanted version may be older than the present one, and that one be held. */
	static const char *const pinned_words[][6] = {
		[APT_DOWNLOAD] = { "install", "--no-install-recommends", "--allow-downgrades",
				   "--allow-change-held-packages", "--download-only" },
		[APT_INSTALL] = { "install", "--no-install-recommends", "--allow-downgrades",
				  "--allow-change-held-packages" },
		[APT_REPAIR] = { "install", "--no-install-recommends", "--reinstall" },
	};

	if (source_is_pinned(apt->wanted))
		return apt_run(apt, pinned_words[mode], packages, error);

	return apt_run(apt, words[mode], packages, error);
}

int apt_fix_broken(struct apt *apt, struct ph_error *error)
{
	static const char *const words[] = { "install", "--no-install-recommends", "--fix-broken",
					     NULL };

	return apt_run(apt, words, NULL, error);
}

int dpkg_configure(struct apt *apt, struct ph_error *error)
{
	static const char *const argv[] = {
		"dpkg", "--force-confdef", "--force-confold", "--configure", "-a", NULL
	};
	const struct command command = {
		.argv = argv,
		.environment = dpkg_environment,
		.path = apt->wanted->path,
		.deadline_ms = apt->wanted->apt_timeout_ms,
		.outlive = true,
	};
	PH_AUTO_CLOSE int lock = package_lock_hold(apt->wanted, said, apt, error);
	int result;

	if (lock < 0)
		return lock;
	result = run_once(&command, error);
	if (result < 0)
		error_prefix(error, "dpkg --configure -a");
	return result;
}

int apt_mark(struct apt *apt, const char *verb, const char *const *packages,
	     struct ph_error *error)
{
	struct arguments arguments = { 0 };
	const struct command command = {
		.argv = arguments.list,
		.environment = environment,
		.path = apt->wanted->path,
		.deadline_ms = QUERY_DEADLINE_MS,
		.outlive = true,
	};
	int result;

	arguments_add(&arguments, "apt-mark");
	arguments_add(&arguments, verb);
	arguments_add_all(&arguments, packages);
	result = run_patiently(apt, &command, error);
	if (result < 0)
		error_prefix(error, "apt-mark %s", verb);
	return result;
}

/* The paragraph of a package: "docker.io:" at the begin of a line. */
static const char *policy_paragraph(const char *text, const char *package)
{
	size_t length = strlen(package);

	while (*text) {
		if (strncmp(text, package, length) == 0 && text[length] == ':' &&
		    (text[length + 1] == '\n' || text[length + 1] == '\0'))
			return text + length + 1;
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return NULL;
}

int apt_policy_candidate(const char *text, const char *package, char *ret_version, size_t size)
{
	static const char label[] = "  Candidate: ";
	const char *line = policy_paragraph(text, package);

	/* The paragraph's lines are indented. */
	while (line && *line == '\n' && line[1] == ' ') {
		line++;
		if (text_has_prefix(line, label)) {
			const char *version = line + sizeof(label) - 1;

			if (text_has_prefix(version, "(none)"))
				return 0;
			snprintf(ret_version, size, "%.*s", (int)strcspn(version, "\n"), version);
			return 1;
		}
		line += strcspn(line, "\n");
	}
	return 0;
}

int apt_missing(struct apt *apt, const char *const *packages, struct ph_error *error)
{
	struct arguments arguments = { 0 };
	const struct command command = {
		.argv = arguments.list,
		.path = apt->wanted->path,
		.deadline_ms = QUERY_DEADLINE_MS,
	};
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	int missing = 0, result;

	arguments_add(&arguments, "apt-cache");
	arguments_add_source(&arguments, apt);
	arguments_add(&arguments, "policy");
	arguments_add_all(&arguments, packages);
	result = command_succeed(&command, &ended, error);
	if (result < 0)
		return result;
	for (; *packages; packages++) {
		char version[128] = "";

		if (!apt_policy_candidate(ended.output, *packages, version, sizeof(version))) {
			missing++;
			continue;
		}
		if (strcmp(*packages, "docker.io") != 0 && strcmp(*packages, "docker-ce") != 0)
			continue;
		if (!source_version_matches(apt->wanted, version))
			return error_set(error, -ENODATA, *packages,
					 "correct docker.version in the fleet file, or choose a source "
					 "that has it",
					 "version %s is wanted, and what the package lists offer is %s",
					 apt->wanted->version, version);
		result = recipe_version_check(version, apt->wanted->storage_driver, error);
		if (result < 0)
			return result;
	}
	return missing;
}
