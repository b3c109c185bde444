/*
 * Reads the lines that apt writes to its APT::Status-Fd. Pure.
 */
#pragma once

#include <stddef.h>

enum apt_status_kind {
	APT_STATUS_DOWNLOAD,
	APT_STATUS_PACKAGE,
	APT_STATUS_ERROR, /* a package failed */
};

struct apt_status {
	enum apt_status_kind kind;
	char subject[64];     /* package, or number of the file */
	unsigned int percent; /* 0..100 of the whole */
	char message[160];
};

/* Parse "KIND:SUBJECT:PERCENT:MESSAGE"; -EBADMSG for anything else. */
int apt_status_parse(const char *line, struct apt_status *ret_status);
