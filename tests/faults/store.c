/* Commits to the store: each that returned 0 is there afterwards, whole, and nothing that was not asked for. */
#include <stdio.h>
#include <string.h>

#include "controller/store/store.h"
#include "tests/faults/scene.h"

#define COMMITS 24

static void ignore_change(void *user, const struct store_change *change)
{
}

/* Two keys with one number: a torn transaction would show. */
static int commit(struct store *store, uint32_t number)
{
	struct ph_error error;
	char key[16];

	snprintf(key, sizeof(key), "item/%u", number % 5);
	const struct store_operation operations[] = {
		{ STORE_PUT, key, &number, sizeof(number) },
		{ STORE_PUT, "count", &number, sizeof(number) },
	};

	return store_commit(store, NULL, 0, operations, 2, NULL, &error);
}

static void work(struct scene *scene, struct store *store, uint32_t first)
{
	struct store_watch *watch = NULL;
	struct ph_error error;

	store_watch(store, "item/", 0, ignore_change, NULL, &watch, &error);
	for (uint32_t number = first; number < first + COMMITS / 2; number++) {
		STORE_AUTO_ENTRY struct store_entry entry = { 0 };
		STORE_AUTO_LIST struct store_list list = { 0 };

		scene->notes->asked = number;
		if (commit(store, number) == 0)
			scene_promise(scene, number);
		store_get(store, "count", &entry, &error);
		store_list(store, "item/", &list, &error);
	}
	store_compact(store, store_revision(store) / 2, &error);
	store_watch_cancel(watch);
}

static void run(struct scene *scene)
{
	scene_begin(scene);
	/* The second time it finds what the first has left. */
	for (uint32_t time = 0; time < 2; time++) {
		struct store *store = NULL;
		struct ph_error error;

		if (store_open(scene_file(scene, "state.db"), &store, &error) < 0)
			continue;
		work(scene, store, 1 + time * COMMITS / 2);
		store_close(store);
	}
	scene_end(scene);
}

static uint32_t read_number(struct store *store, const char *key)
{
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };
	uint32_t number = 0;

	if (store_get(store, key, &entry, NULL) == 0 && entry.length == sizeof(number))
		memcpy(&number, entry.value, sizeof(number));
	return number;
}

static bool check(const struct scene *scene)
{
	const struct scene_notes *notes = scene->notes;
	uint32_t last = notes->count ? notes->promised[notes->count - 1] : 0, found;
	struct ph_error error = { 0 };
	struct store *store = NULL;
	char key[16];
	bool good = true;

	if (store_open(scene_file(scene, "state.db"), &store, &error) < 0)
		return scene_wrong("the store does not open: %s", error.why);
	found = read_number(store, "count");
	snprintf(key, sizeof(key), "item/%u", found % 5);
	if (found < last || found > notes->asked)
		good = scene_wrong("found %u, promised %u, asked %u", found, last, notes->asked);
	else if (found && read_number(store, key) != found)
		good = scene_wrong("commit %u is torn", found);
	else if (commit(store, notes->asked + 1) != 0)
		good = scene_wrong("it cannot be written any more");
	store_close(store);
	return good;
}

const struct scene_type scene_store = { "store", run, check };
