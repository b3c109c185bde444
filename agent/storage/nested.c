/*
 * Runs as the only process of a container whose image holds nothing but this binary and two files.
 */
#include "agent/storage/nested.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "agent/storage/scratch.h"
#include "agent/storage/verify.h"
#include "common/cleanup.h"
#include "common/str.h"

#define WAIT_SECONDS 30 /* nobody closes our input: end anyway */

void nested_take_line(struct nested_words *words, const char *line)
{
	const struct {
		const char *key;
		char *value;
	} fields[] = {
		{ "nonce=", words->nonce },           { "root_type=", words->root_type },
		{ "root_magic=", words->root_magic }, { "changed=", words->changed },
		{ "label=", words->label },
	};

	if (strcmp(line, NESTED_READY) == 0)
		words->is_ready = true;
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
		if (text_has_prefix(line, fields[i].key))
			text_copy(fields[i].value, NESTED_VALUE, line + strlen(fields[i].key));
}

/* The type of the mount at "/": behind " - " in its mountinfo line, whose 5th word is "/". */
static void print_root_type(void)
{
	PH_AUTO_FILE FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], point[256], type[64];

	while (file && fgets(line, sizeof(line), file)) {
		const char *separator = strstr(line, " - ");

		if (sscanf(line, "%*s %*s %*s %*s %255s", point) == 1 && strcmp(point, "/") == 0 &&
		    separator && sscanf(separator, " - %63s", type) == 1) {
			printf("root_type=%s\n", type);
			return;
		}
	}
}

/* One lower file is written, another one deleted: the layers work under a running container. */
static bool can_change(void)
{
	char text[16];

	if (scratch_write(AT_FDCWD, "/lower-write", "upper", 0600) < 0 ||
	    scratch_read(AT_FDCWD, "/lower-write", text, sizeof(text)) != 5)
		return false;
	return unlink("/lower-delete") == 0 && access("/lower-delete", F_OK) < 0;
}

static void print_label(void)
{
	char text[NESTED_VALUE];
	ssize_t length = scratch_read(AT_FDCWD, "/proc/self/attr/apparmor/current", text,
				      sizeof(text));

	if (length < 0)
		length = scratch_read(AT_FDCWD, "/proc/self/attr/current", text, sizeof(text));
	if (length > 0) {
		text[strcspn(text, "\n")] = '\0';
		printf("label=%s\n", text);
	}
}

int nested_main(int argc, char **argv)
{
	struct statfs status;
	char byte;

	if (argc != 2) {
		fputs("Usage: phoenix-agent nested NONCE\n", stderr);
		return 2;
	}
	alarm(WAIT_SECONDS);
	printf("nonce=%s\n", argv[1]);
	print_root_type();
	if (statfs("/", &status) == 0)
		printf("root_magic=%lx\n", (unsigned long)status.f_type);
	printf("changed=%s\n", can_change() ? "yes" : "no");
	print_label();
	puts(NESTED_READY);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
