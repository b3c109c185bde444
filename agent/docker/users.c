/* Only what these files say: users of a directory service are not added to groups of a container. */
#include "agent/docker/users.h"

#include <string.h>

/* The rest of the line that begins with "name:"; NULL without one. */
static const char *line_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	while (*text) {
		if (strncmp(text, name, length) == 0 && text[length] == ':')
			return text + length + 1;
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return NULL;
}

bool users_known(const char *passwd, const char *user)
{
	return line_of(passwd, user) != NULL;
}

bool users_in_group(const char *groups, const char *group, const char *user)
{
	const char *at = line_of(groups, group);
	size_t length = strlen(user);

	/* password:number:member,member */
	for (int field = 0; at && field < 2; field++) {
		at += strcspn(at, ":\n");
		at = *at == ':' ? at + 1 : NULL;
	}
	while (at && *at && *at != '\n') {
		size_t member = strcspn(at, ",\n");

		if (member == length && memcmp(at, user, length) == 0)
			return true;
		at += member + (at[member] == ',');
	}
	return false;
}
