/*
 * Three differences: the name, wherever the profile says it; AppArmor's directory of securityfs is
 * not refused any more, while the rest of securityfs is; and what a namespace needs is allowed.
 */
#include "controller/host/confine/stacked.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/confine/render.h"

#define SECURITYFS_RULE "/{**/,}sys/kernel/security/{,**} rwklx,"

static const char ADDED[] =
	"\n"
	"  # --- Stacked: a policy namespace of the container's own ------------------------------------\n"
	"\n"
	"  # Docker loads docker-default into it and puts its containers under it. Everything stays under\n"
	"  # this profile as well: a stack refuses what one of its profiles refuses.\n"
	"  # Loading policy asks for this capability in the container's user namespace; the kernel lets it\n"
	"  # reach the container's own policy namespace and those below it.\n"
	"  capability mac_admin,\n"
	"  change_profile -> \":phoenix-*:*\",\n"
	"  change_profile -> \":phoenix-*://*\",\n"
	"  # Among the processes of the container, whatever profile of its own they are under; another\n"
	"  # container's are out of reach by its pid namespace.\n"
	"  signal peer=\":phoenix-*:**\",\n"
	"  ptrace peer=\":phoenix-*:**\",\n"
	"  signal peer=\"" CONFINE_PROFILE_STACKED "//&:phoenix-*:**\",\n"
	"  ptrace peer=\"" CONFINE_PROFILE_STACKED "//&:phoenix-*:**\",\n"
	"  # Of securityfs only AppArmor's own directory.\n"
	"  audit deny /{**/,}sys/kernel/security/[^a]** rwklx,\n"
	"  audit deny /{**/,}sys/kernel/security/a[^p]** rwklx,\n";

/* A name ends where a letter, digit, dot or dash does not follow. */
static bool is_name(const char *found)
{
	static const char more[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
	char next = found[strlen(CONFINE_PROFILE)];

	return !next || !strchr(more, next);
}

static void append_renamed(struct str *text, const char *line, size_t length)
{
	const char *end = line + length;

	while (line < end) {
		const char *found = memmem(line, (size_t)(end - line), CONFINE_PROFILE,
					   strlen(CONFINE_PROFILE));

		if (!found || !is_name(found)) {
			str_append_bytes(text, line, (size_t)(end - line));
			return;
		}
		str_append_bytes(text, line, (size_t)(found - line));
		str_append(text, CONFINE_PROFILE_STACKED);
		line = found + strlen(CONFINE_PROFILE);
	}
}

int confine_stacked_text(const char *named, char **ret_text, struct ph_error *error)
{
	PH_AUTO_STR struct str text = STR_INIT;
	bool has_rule = false, has_end = false;

	while (*named) {
		size_t length = strcspn(named, "\n");
		bool is_rule = memmem(named, length, SECURITYFS_RULE, strlen(SECURITYFS_RULE));
		bool is_end = length == 1 && named[0] == '}';

		has_rule |= is_rule;
		has_end |= is_end;
		if (is_end)
			str_append(&text, ADDED);
		if (is_rule)
			str_append(&text, "  # Refused in the named profile; see \"Stacked\" below.");
		else
			append_renamed(&text, named, length);
		str_append(&text, "\n");
		named += length + (named[length] == '\n');
	}
	if (!has_rule || !has_end)
		return error_set(error, -EINVAL, CONFINE_PROFILE_STACKED,
				 "install Phoenix's profiles again",
				 "the profile's text has no %s",
				 has_rule ? "end" : "rule about securityfs");
	*ret_text = str_take(&text);
	return 0;
}
