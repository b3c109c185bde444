/*
 * Replays a corpus through a fuzz target, one TAP case per input: what a fuzzer once found stays found
 * without one. An input that breaks ends the program; its name is the last that was begun.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

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
	for (size_t i = 0; i < size; i++)
		exact[i] = bytes[i];
	LLVMFuzzerTestOneInput(exact, size);
	return true;
}

int main(void)
{
	struct dirent **entries;
	int count = scandir(PH_CORPUS, &entries, is_input, alphasort);
	int failed = count < 1;

	if (count < 1)
		printf("not ok 1 - %s holds inputs\n", PH_CORPUS);
	for (int i = 0; i < count; i++) {
		bool read;

		printf("# %s\n", entries[i]->d_name);
		fflush(stdout);
		read = replay(entries[i]->d_name);
		failed |= !read;
		free(entries[i]);
	}
	if (count >= 1) {
		printf("%sok 1 - %d inputs\n", failed ? "not " : "", count);
		free(entries);
	}
	printf("1..1\n");
	return failed;
}
