#include "controller/container/operation_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"

#define KEY_MAXIMUM 80

struct ended_record {
	struct ended_record *next;
	char key[KEY_MAXIMUM];
};

static void store_key(const Phoenix__OperationRecord *record, char key[KEY_MAXIMUM])
{
	snprintf(key, KEY_MAXIMUM, "operation/%s", record->id);
}

int operation_record_save(struct registry *registry, const Phoenix__OperationRecord *record,
			  struct ph_error *error)
{
	PH_AUTO_FREE uint8_t *value = NULL;
	char key[KEY_MAXIMUM];
	size_t length;
	int r;

	store_key(record, key);
	value = message_pack(record, &length);
	r = store_put(registry->store, key, value, length, NULL, error);
	return r < 0 ? r : 0;
}

bool operation_record_waits(struct registry *registry, const char *container)
{
	STORE_AUTO_LIST struct store_list list = { 0 };
	bool waits = false;

	if (registry->is_adopted)
		return false;
	if (store_list(registry->store, "operation/", &list, NULL) < 0)
		return true;
	for (size_t i = 0; i < list.count && !waits; i++) {
		Phoenix__OperationRecord *record = (void *)message_unpack(
			&phoenix__operation_record__descriptor, list.entries[i].length,
			list.entries[i].value);

		waits = record && strcmp(record->container, container) == 0;
		message_free(record);
	}
	return waits;
}

void operation_record_ended(struct registry *registry, const Phoenix__OperationRecord *record)
{
	struct ended_record *ended = ph_alloc(sizeof(*ended));

	store_key(record, ended->key);
	ended->next = registry->ended;
	registry->ended = ended;
}

static struct ended_record *take_first(struct registry *registry)
{
	struct ended_record *first = registry->ended;

	registry->ended = first->next;
	return first;
}

int operation_record_delete_ended(struct registry *registry, struct ph_error *error)
{
	while (registry->ended) {
		int r = store_delete(registry->store, registry->ended->key, NULL, error);

		if (r < 0)
			return r;
		free(take_first(registry));
	}
	return 0;
}

void operation_record_forget_ended(struct registry *registry)
{
	while (registry->ended)
		free(take_first(registry));
}
