/*
 * The order of the signs is the order of blame: a full disk makes dpkg fail, which makes the next run
 * say "interrupted", so the full disk is looked for first.
 */
#include "agent/docker/apt_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

struct sign {
	const char *text;
	enum apt_failure failure;
};

static const struct sign signs[] = {
	{ "No space left on device", APT_DISK_FULL },
	{ "don't have enough free space in", APT_DISK_FULL },
	{ "Disk quota exceeded", APT_DISK_FULL },
	{ "Could not get lock", APT_LOCKED },
	{ "Unable to acquire the dpkg frontend lock", APT_LOCKED },
	{ "frontend lock was locked by another process", APT_LOCKED },
	{ "frontend lock is locked by another process", APT_LOCKED },
	{ "status database is locked by another process", APT_LOCKED },
	{ "database lock was locked by another process", APT_LOCKED },
	{ "Unable to lock directory", APT_LOCKED },
	{ "Read-only file system", APT_READ_ONLY },
	{ "needs to be reinstalled, but I can't find an archive", APT_REINSTALL },
	{ "very bad inconsistent state", APT_REINSTALL },
	{ "dpkg was interrupted", APT_INTERRUPTED },
	{ "is not valid yet", APT_CLOCK },
	{ "not live until", APT_CLOCK },
	{ "Temporary failure resolving", APT_NETWORK },
	{ "Could not resolve", APT_NETWORK },
	{ "Network is unreachable", APT_NETWORK },
	{ "No route to host", APT_NETWORK },
	{ "Could not connect to", APT_NETWORK },
	{ "Unable to connect to", APT_NETWORK },
	{ "Cannot initiate the connection", APT_NETWORK },
	{ "Connection timed out", APT_NETWORK },
	{ "Connection refused", APT_NETWORK },
	{ "Connection failed", APT_NETWORK },
	{ "is expired", APT_EXPIRED },
	{ "Hash Sum mismatch", APT_HASH },
	{ "File has unexpected size", APT_HASH },
	{ "Hash mismatch", APT_HASH },
	{ "NO_PUBKEY", APT_SIGNATURE },
	{ "is not signed", APT_SIGNATURE },
	{ "signatures couldn't be verified", APT_SIGNATURE },
	{ "signatures were invalid", APT_SIGNATURE },
	{ "could not be authenticated", APT_SIGNATURE },
	{ "404  Not Found", APT_MIRROR },
	{ "404 Not Found", APT_MIRROR },
	{ "403  Forbidden", APT_MIRROR },
	{ "does not have a Release file", APT_MIRROR },
	{ "no longer has a Release file", APT_MIRROR },
	{ "Undetermined Error", APT_MIRROR },
	{ "Held packages were changed", APT_HELD },
	{ "has no installation candidate", APT_NO_CANDIDATE },
	{ "Unable to locate package", APT_NO_CANDIDATE },
	{ "maintainer script", APT_SCRIPT },
	{ "script subprocess", APT_SCRIPT },
	{ "subprocess returned error exit status", APT_SCRIPT },
	{ "unmet dependencies", APT_DEPENDENCIES },
	{ "Unable to correct problems", APT_DEPENDENCIES },
	{ "Failed to fetch", APT_MIRROR },
	{ "dpkg: error", APT_DPKG },
	{ "Sub-process /usr/bin/dpkg returned an error", APT_DPKG },
	{ "Sub-process", APT_DPKG },
};

struct meaning {
	const char *name;
	int code;
	const char *remedy;
};

static const struct meaning meanings[] = {
	[APT_UNKNOWN] = { "unknown", -EIO,
			  "run the same apt-get command in the container and read its words" },
	[APT_LOCKED] = { "locked", -EBUSY,
			 "wait until the other package manager has ended, or end it; then try again" },
	[APT_DISK_FULL] = { "disk full", -ENOSPC,
			    "free space in the container (apt-get clean), then try again: the install "
			    "goes on where it stopped" },
	[APT_READ_ONLY] = { "read-only", -EROFS,
			    "make the container's root file system writable (an error of the disk "
			    "below may have made it read-only), then try again" },
	[APT_INTERRUPTED] = { "interrupted", -EAGAIN, "try again: this is healed at the next run" },
	[APT_REINSTALL] = { "reinstall required", -EAGAIN,
			    "try again with a mirror at hand: the package is unpacked anew" },
	[APT_CLOCK] = { "clock behind", -ETIME,
			"set the host's clock (containers share it), then try again" },
	[APT_EXPIRED] = { "index expired", -ESTALE,
			  "check the host's clock; if it is right, the mirror is out of date: use "
			  "another in /etc/apt" },
	[APT_SIGNATURE] = { "bad signature", -EKEYREJECTED,
			    "check the sources and keys in /etc/apt; never install unsigned packages" },
	[APT_HASH] = { "hash mismatch", -EBADMSG,
		       "the mirror or a proxy gave a damaged or half-updated file: try again later, or "
		       "use another mirror" },
	[APT_NETWORK] = { "no network", -ENETUNREACH,
			  "check the container's network and /etc/resolv.conf (getent hosts "
			  "deb.debian.org), then try again" },
	[APT_MIRROR] = { "not on the mirror", -ENOENT,
			 "check the sources in /etc/apt (name of the release, mirror), then try again" },
	[APT_NO_CANDIDATE] = { "no candidate", -ENOENT,
			       "enable the distribution's main (Ubuntu: universe) component in /etc/apt" },
	[APT_HELD] = { "held package", -EPERM,
		       "release the hold (apt-mark unhold) or install the package by hand" },
	[APT_DEPENDENCIES] = { "unmet dependencies", -ENOTSUP,
			       "add the source that has what is missing, or take packages of another "
			       "release or repository away (apt-cache policy PACKAGE shows whose it is)" },
	[APT_SCRIPT] = { "maintainer script failed", -EIO,
			 "run dpkg --configure -a in the container, correct what the script complains "
			 "about, then try again" },
	[APT_DPKG] = { "dpkg failed", -EIO,
		       "run dpkg --configure -a in the container, correct what it complains about, "
		       "then try again" },
};

/* Copy the line around a place in text, without the marks that apt puts before it. */
static void line_copy(const char *text, const char *place, char *buffer, size_t size)
{
	const char *begin = place;
	size_t length;

	while (begin > text && begin[-1] != '\n')
		begin--;
	if (text_has_prefix(begin, "E: ") || text_has_prefix(begin, "W: "))
		begin += 3;
	begin += strspn(begin, " \t");
	length = strcspn(begin, "\n");
	snprintf(buffer, size, "%.*s", (int)length, begin);
}

/*
 * The indented lines below apt's heading, which say what lacks what; the last error line says only
 * that something does. One line each, without the columns that apt lines them up in.
 */
static void details_copy(const char *text, char *ret_cause, size_t size)
{
	static const char heading[] = "unmet dependencies:\n";
	const char *line = strstr(text, heading);
	size_t used = 0;

	if (!line)
		return;
	line += sizeof(heading) - 1;
	while (*line == ' ' && used < size) {
		const char *end = line + strcspn(line, "\n");

		line += strspn(line, " ");
		used += (size_t)snprintf(ret_cause + used, size - used, "%s%.*s", used ? "; " : "",
					 (int)(end - line), line);
		line = end + (*end == '\n');
	}
}

static bool search(const char *text, const char *sign, char *ret_cause, size_t size)
{
	const char *place = strstr(text, sign);

	if (place)
		line_copy(text, place, ret_cause, size);
	return place != NULL;
}

/* Without a known sign: the last error line, or simply the last line. */
static void last_words(const char *text, char *ret_cause, size_t size)
{
	const char *found = NULL;

	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");

		if (strspn(line, " \t") < length &&
		    (!found || !text_has_prefix(found, "E: ") || text_has_prefix(line, "E: ")))
			found = line;
		line += length + (line[length] == '\n');
	}
	if (found)
		line_copy(text, found, ret_cause, size);
}

enum apt_failure apt_failure_classify(const char *errors, const char *output, char *ret_cause,
				      size_t size)
{
	ret_cause[0] = '\0';
	for (size_t i = 0; i < ARRAY_LENGTH(signs); i++)
		if (search(errors, signs[i].text, ret_cause, size) ||
		    search(output, signs[i].text, ret_cause, size)) {
			if (signs[i].failure == APT_DEPENDENCIES)
				details_copy(output, ret_cause, size);
			return signs[i].failure;
		}
	last_words(errors, ret_cause, size);
	if (!ret_cause[0])
		last_words(output, ret_cause, size);
	return APT_UNKNOWN;
}

static const struct meaning *meaning_of(enum apt_failure failure)
{
	return &meanings[(size_t)failure < ARRAY_LENGTH(meanings) ? failure : APT_UNKNOWN];
}

const char *apt_failure_remedy(enum apt_failure failure)
{
	return meaning_of(failure)->remedy;
}

int apt_failure_code(enum apt_failure failure)
{
	return meaning_of(failure)->code;
}

const char *apt_failure_name(enum apt_failure failure)
{
	return meaning_of(failure)->name;
}

int apt_failure_error(const char *errors, const char *output, struct ph_error *error)
{
	char cause[320];
	enum apt_failure failure = apt_failure_classify(errors, output, cause, sizeof(cause));

	if (failure == APT_UNKNOWN)
		return error_set(error, -EIO, NULL, apt_failure_remedy(failure), "%s",
				 cause[0] ? cause : "it failed without a word");
	return error_set(error, apt_failure_code(failure), NULL, apt_failure_remedy(failure),
			 "%s: %s", apt_failure_name(failure), cause);
}
