#include "controller/cli/listing.h"

#include "common/memory.h"
#include "common/message.h"

/* The copy's containers go over to the list. */
static int take_item(void *user, const ProtobufCMessage *item, struct ph_error *error)
{
	Phoenix__ListReply *list = user, *copy = MESSAGE_COPY((const Phoenix__ListReply *)item);

	list->containers = ph_realloc(list->containers, (list->n_containers + copy->n_containers) *
								sizeof(*list->containers));
	for (size_t i = 0; i < copy->n_containers; i++)
		list->containers[list->n_containers++] = copy->containers[i];
	copy->n_containers = 0;
	message_free(copy);
	return 0;
}

int listing_get(struct client *client, const char *method, const char *selector,
		Phoenix__ListReply **ret_list, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	Phoenix__ListReply *list = ph_alloc(sizeof(*list));
	int r;

	phoenix__list_reply__init(list);
	request.name = (char *)selector;
	r = client_collect(client, method, &request.base, take_item, list, error);
	if (r < 0) {
		message_free(list);
		return r;
	}
	*ret_list = list;
	return 0;
}
