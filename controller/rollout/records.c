#include "controller/rollout/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/rollout/engine.h"

#define PREFIX "rollout/"
#define KEY_SIZE 160
#define BATCH 64

static void head_key(char key[KEY_SIZE], const char *id)
{
	snprintf(key, KEY_SIZE, PREFIX "%.40s", id);
}

static void item_key(char key[KEY_SIZE], const char *id, const char *name)
{
	snprintf(key, KEY_SIZE, PREFIX "%.40s/item/%.63s", id, name);
}

static int outcome(int r, const char *id, struct ph_error *error)
{
	if (r == STORE_CONFLICT)
		return RECORDS_OVERTAKEN;
	return r < 0 ? error_prefix(error, "save rollout %s", id) : r;
}

int records_save(struct store *store, const struct lease *lease,
		 const Phoenix__RolloutRecord *record, size_t item, uint64_t *revision,
		 struct ph_error *error)
{
	PH_AUTO_FREE uint8_t *head = NULL, *part = NULL;
	char key[KEY_SIZE], part_key[KEY_SIZE];
	Phoenix__RolloutRecord stripped = *record;
	size_t length, part_length = 0, count = 1;

	stripped.n_items = 0;
	stripped.items = NULL;
	head = message_pack(&stripped, &length);
	head_key(key, record->id);
	if (item != ROLLOUT_NO_ITEM) {
		part = message_pack(record->items[item], &part_length);
		item_key(part_key, record->id, record->items[item]->name);
		count = 2;
	}
	const struct store_compare compares[] = { { key, *revision }, lease_fence(lease) };
	const struct store_operation puts[] = { { STORE_PUT, key, head, length },
						{ STORE_PUT, part_key, part, part_length } };

	return outcome(store_commit(store, compares, 2, puts, count, revision, error), record->id,
		       error);
}

static int put_items(struct store *store, const struct lease *lease,
		     const Phoenix__RolloutRecord *record, size_t first, size_t count,
		     struct ph_error *error)
{
	const struct store_compare fence = lease_fence(lease);
	struct store_operation puts[BATCH];
	char keys[BATCH][KEY_SIZE];
	int r;

	for (size_t i = 0; i < count; i++) {
		size_t length;
		uint8_t *value = message_pack(record->items[first + i], &length);

		item_key(keys[i], record->id, record->items[first + i]->name);
		puts[i] = (struct store_operation){ STORE_PUT, keys[i], value, length };
	}
	r = store_commit(store, &fence, 1, puts, count, NULL, error);
	for (size_t i = 0; i < count; i++)
		free((void *)puts[i].value);
	return outcome(r, record->id, error);
}

int records_create(struct store *store, const struct lease *lease,
		   const Phoenix__RolloutRecord *record, uint64_t *ret_revision,
		   struct ph_error *error)
{
	int r = 0;

	for (size_t i = 0; i < record->n_items && r == 0; i += BATCH) {
		size_t count = record->n_items - i;

		r = put_items(store, lease, record, i, count < BATCH ? count : BATCH, error);
	}
	*ret_revision = 0;
	return r == 0 ? records_save(store, lease, record, ROLLOUT_NO_ITEM, ret_revision, error) : r;
}

/* ---- reading ---- */

/* Keys are sorted: a head comes before its items. */
struct reading {
	Phoenix__RolloutRecord *record; /* owned; the one whose items come now */
	uint64_t revision;
	size_t capacity;
	records_found_fn found;
	void *user;
};

static void read_done(struct reading *reading)
{
	if (reading->record && reading->record->n_items == reading->record->total)
		reading->found(reading->user, take_pointer(reading->record), reading->revision);
	message_free(reading->record);
	reading->record = NULL;
}

static void read_head(struct reading *reading, const struct store_entry *entry)
{
	read_done(reading);
	reading->record = (void *)message_unpack(&phoenix__rollout_record__descriptor,
						 entry->length, entry->value);
	reading->revision = entry->mod_revision;
	if (reading->record)
		reading->record->items = ph_alloc_array(reading->record->total,
							sizeof(*reading->record->items));
}

static void read_item(struct reading *reading, const struct store_entry *entry)
{
	Phoenix__RolloutRecord *record = reading->record;
	char key[KEY_SIZE];
	size_t length;

	if (!record || record->n_items == record->total)
		return;
	head_key(key, record->id);
	length = strlen(key);
	if (strncmp(entry->key, key, length) != 0 || entry->key[length] != '/')
		return; /* of one that was never completed */
	record->items[record->n_items] =
		(void *)message_unpack(&phoenix__rollout_item__descriptor, entry->length,
				       entry->value);
	record->n_items += record->items[record->n_items] != NULL;
}

int records_load(struct store *store, const char *id, records_found_fn found, void *user,
		 struct ph_error *error)
{
	STORE_AUTO_LIST struct store_list list = { 0 };
	struct reading reading = { .found = found, .user = user };
	char prefix[KEY_SIZE];
	int r;

	head_key(prefix, id);
	r = store_list(store, prefix, &list, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.count; i++) {
		if (strstr(list.entries[i].key, "/item/"))
			read_item(&reading, &list.entries[i]);
		else
			read_head(&reading, &list.entries[i]);
	}
	read_done(&reading);
	return 0;
}

int records_delete(struct store *store, const struct lease *lease, const char *id,
		   struct ph_error *error)
{
	const struct store_compare fence = lease_fence(lease);
	STORE_AUTO_LIST struct store_list list = { 0 };
	char prefix[KEY_SIZE];
	int r;

	head_key(prefix, id);
	r = store_list(store, prefix, &list, error);
	/* The head goes first: without it the items count for nothing. */
	for (size_t i = 0; i < list.count && r == 0; i++) {
		const struct store_operation drop = { STORE_DELETE, list.entries[i].key, NULL, 0 };

		r = outcome(store_commit(store, &fence, 1, &drop, 1, NULL, error), id, error);
	}
	return r;
}
