/* Containers that somebody else has made, adopted or not. */
#include <errno.h>
#include <stdio.h>

#include "common/str.h"
#include "tests/support/fake_host_private.h"

struct fake_container *fake_host_add_foreign(struct fake_host *host, const char *name,
					     unsigned int images)
{
	struct fake_container *container = fake_host_free_place(host);

	*container = (struct fake_container){
		.exists = true, .running = true, .is_foreign = true, .images = images
	};
	text_copy(container->name, sizeof(container->name), name);
	fake_host_make_agent_dir(host, name);
	return container;
}

struct fake_found {
	Phoenix__ForeignContainer message;
	Phoenix__IdRange ids;
	char texts[8][13];
	char *images[8], *drivers[1];
};

static void fill_found(const struct fake_container *container, struct fake_found *found)
{
	phoenix__foreign_container__init(&found->message);
	phoenix__id_range__init(&found->ids);
	found->ids.first = container->first_id;
	found->ids.count = 65536;
	found->message.name = (char *)container->name;
	found->message.lxc_path = (char *)"/var/lib/lxc";
	found->message.profile = (char *)(container->has_our_config ? FAKE_PROFILE : "unconfined");
	found->message.docker = (char *)"docker.io 1";
	found->message.ids = &found->ids;
	found->message.running = container->running;
	found->message.adopted = container->is_adopted;
	found->drivers[0] = (char *)"fuse-overlayfs";
	found->message.storage_drivers = found->drivers;
	found->message.n_storage_drivers = 1;
	found->message.images = found->images;
	for (unsigned int i = 0; i < container->images && i < 8; i++) {
		snprintf(found->texts[i], sizeof(found->texts[i]), "%012u", i);
		found->images[found->message.n_images++] = found->texts[i];
	}
}

VERB(foreign_list, ForeignListRequest, ForeignListReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ForeignListReply answer = PHOENIX__FOREIGN_LIST_REPLY__INIT;
	struct fake_container *container = fake_host_find(host, input->name);
	Phoenix__ForeignContainer *list[1];
	struct fake_found found;

	FAIL_BEFORE("ForeignList");
	if (container && container->is_foreign) {
		fill_found(container, &found);
		list[answer.n_containers++] = &found.message;
		answer.containers = list;
	}
	reply(&answer, request);
}

/* Shared by those that change one: the reply, with what is found now. */
static void answer_adopt(const struct fake_container *container, int changed,
			 Phoenix__AdoptReply_Closure reply, void *request)
{
	Phoenix__AdoptReply answer = PHOENIX__ADOPT_REPLY__INIT;
	struct fake_found found;

	if (container) {
		fill_found(container, &found);
		answer.container = &found.message;
	}
	answer.changed = changed;
	reply(&answer, request);
}

VERB(adopt, AdoptRequest, AdoptReply)
{
	struct fake_host *host = host_of(service);
	struct fake_container *container = fake_host_find(host, input->name);
	struct ph_error error;
	int changed = 0;

	FAIL_BEFORE("Adopt");
	if (!container || !container->is_foreign) {
		error_set(&error, -ENOENT, input->name, NULL, "there is no such container");
		rpc_fail(request, &error);
		return;
	}
	fake_host_set(host, &container->is_adopted, true, &changed);
	answer_adopt(container, changed, reply, request);
}

VERB(adopt_confine, AdoptConfineRequest, AdoptReply)
{
	struct fake_host *host = host_of(service);
	struct fake_container *container = fake_host_find(host, input->name);
	int changed = 0;

	FAIL_BEFORE("AdoptConfine");
	if (container)
		fake_host_set(host, &container->has_our_config, true, &changed);
	if (container && container->loses_images)
		container->images--;
	FAIL_AFTER("AdoptConfine");
	answer_adopt(container, changed, reply, request);
}

VERB(adopt_revert, ContainerRequest, AdoptReply)
{
	struct fake_host *host = host_of(service);
	struct fake_container *container = fake_host_find(host, input->name);
	int changed = 0;

	FAIL_BEFORE("AdoptRevert");
	if (container)
		fake_host_set(host, &container->has_our_config, false, &changed);
	answer_adopt(container, changed, reply, request);
}

VERB(adopt_forget, ContainerRequest, AdoptReply)
{
	struct fake_host *host = host_of(service);
	struct fake_container *container = fake_host_find(host, input->name);
	int changed = 0;

	FAIL_BEFORE("AdoptForget");
	if (container)
		fake_host_set(host, &container->is_adopted, false, &changed);
	answer_adopt(NULL, changed, reply, request);
}
