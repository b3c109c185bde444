/*
 * Replays a corpus through a fuzz target: what a fuzzer once found stays found without one. One TAP case for the
 * whole corpus. An input that breaks ends the program without it; its name is the last that was printed.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAXIMUM ((size_t)1 << 20)

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static bool replay(const char *name)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(INPUT_MAXIMUM);
	PH_AUTO_FREE uint8_t *exact = NULL;
	char path[4096];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", PH_CORPUS, name);
	file = fopen(path, "rb");
	if (!file)
		return false;
	size = fread(bytes, 1, INPUT_MAXIMUM, file);
	fclose(file);
	/* A block of exactly that size: reading on is then seen. */
	exact = ph_alloc(size ? size : 1);
	memcpy(exact, bytes, size);
	LLVMFuzzerTestOneInput(exact, size);
	return true;
}

int main(void)
{
	struct dirent **entries;
	int count = scandir(PH_CORPUS, &entries, is_input, alphasort);
	int failed = count < 1;

	for (int i = 0; i < count; i++) {
		printf("# %s\n", entries[i]->d_name);
		fflush(stdout);
		failed |= !replay(entries[i]->d_name);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	printf("%sok 1 - the %d inputs of %s\n1..1\n", failed ? "not " : "", count, PH_CORPUS);
	return failed;
}
