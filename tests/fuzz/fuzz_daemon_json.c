/*
 * Merging into a user's daemon.json. The first byte chooses the options; then come the file, the fragment and
 * the fragment of before, each ended by a zero byte. What was merged needs no second merge, and
 * has our driver.
 */
#include <errno.h>
#include <string.h>

#include "agent/docker/daemon_json.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

/* Cut the next text off; NULL when nothing is left. */
static const char *next_text(char **rest, const char *end)
{
	char *text = *rest;

	if (text >= end)
		return NULL;
	*rest = text + strlen(text) + 1;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	PH_AUTO_FREE char *copy = NULL, *merged = NULL, *again = NULL;
	struct daemon_json_wanted wanted = { .driver = "overlay2" };
	struct ph_error error = { 0 };
	const char *text;
	char *rest, value[32];
	int result;

	if (size < 2)
		return 0;
	copy = ph_alloc(size);
	memcpy(copy, bytes + 1, size - 1);
	copy[size - 1] = '\0';
	rest = copy;
	text = next_text(&rest, copy + size);
	wanted.fragment = next_text(&rest, copy + size);
	wanted.ours = next_text(&rest, copy + size);
	wanted.override = bytes[0] & 1;
	wanted.replaces = bytes[0] & 2 ? "fuse-overlayfs" : NULL;
	/* Whatever the user wrote there: it is cut to the buffer. */
	daemon_json_value(text, strlen(text), "storage-driver", value, sizeof(value));
	FUZZ_CHECK(memchr(value, 0, sizeof(value)));
	result = daemon_json_merge("daemon.json", text, strlen(text), &wanted, &merged, &error);
	if (result < 0) {
		FUZZ_CHECK(!merged && error.why[0]);
		return 0;
	}
	if (result == DAEMON_JSON_UNCHANGED)
		return 0;
	wanted.ours = wanted.fragment;
	result = daemon_json_merge("daemon.json", merged, strlen(merged), &wanted, &again, &error);
	FUZZ_CHECK(result == DAEMON_JSON_UNCHANGED && !again);
	daemon_json_value(merged, strlen(merged), "storage-driver", value, sizeof(value));
	FUZZ_CHECK(strcmp(value, wanted.driver) == 0);
	return 0;
}
