#include "agent/docker/apt_status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

static const char *const prefixes[] = {
	[APT_STATUS_DOWNLOAD] = "dlstatus:",
	[APT_STATUS_PACKAGE] = "pmstatus:",
	[APT_STATUS_ERROR] = "pmerror:",
};

/* Read "52.3809:"; returns what follows the colon, NULL when it is no percentage. */
static const char *percent_parse(const char *text, unsigned int *ret_percent)
{
	char *end;
	double value;

	if (*text < '0' || *text > '9')
		return NULL;
	value = strtod(text, &end);
	if (*end != ':' || !(value >= 0 && value <= 100.5))
		return NULL;
	*ret_percent = value > 100 ? 100 : (unsigned int)value;
	return end + 1;
}

int apt_status_parse(const char *line, struct apt_status *ret_status)
{
	struct apt_status status = { 0 };

	for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++) {
		const char *subject = line + strlen(prefixes[i]), *colon, *message;

		if (!text_has_prefix(line, prefixes[i]))
			continue;
		colon = strchr(subject, ':');
		message = colon ? percent_parse(colon + 1, &status.percent) : NULL;
		/* "libc6:amd64" is a subject too. */
		if (colon && !message && (colon = strchr(colon + 1, ':')))
			message = percent_parse(colon + 1, &status.percent);
		if (!message)
			return -EBADMSG;
		status.kind = (enum apt_status_kind)i;
		snprintf(status.subject, sizeof(status.subject), "%.*s", (int)(colon - subject),
			 subject);
		text_copy(status.message, sizeof(status.message), message);
		*ret_status = status;
		return 0;
	}
	return -EBADMSG;
}
