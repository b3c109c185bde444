#include "controller/host/verbs/clone_order.h"

#include "controller/host/network/network.h"

static enum clone_method clone_method_of(const Phoenix__ContainerSpec *spec)
{
	static const enum clone_method methods[] = {
		[PHOENIX__CLONE_METHOD__CLONE_AUTO] = CLONE_AUTO,
		[PHOENIX__CLONE_METHOD__CLONE_OVERLAY] = CLONE_OVERLAY,
		[PHOENIX__CLONE_METHOD__CLONE_SNAPSHOT] = CLONE_SNAPSHOT,
		[PHOENIX__CLONE_METHOD__CLONE_REFLINK] = CLONE_REFLINK,
		[PHOENIX__CLONE_METHOD__CLONE_COPY] = CLONE_COPY,
	};

	return methods[spec->clone];
}

void clone_order(const struct config *config, const Phoenix__ContainerSpec *spec,
		 const Phoenix__IdRange *ids, struct clone_request *ret_order,
		 char **ret_resolv_conf)
{
	if (network_resolv_conf(config, ret_resolv_conf, NULL) < 0)
		*ret_resolv_conf = NULL;
	*ret_order = (struct clone_request){
		.name = spec->name,
		.image = spec->image,
		.id_base = ids->first,
		.id_count = ids->count,
		.method = clone_method_of(spec),
		.resolv_conf = *ret_resolv_conf,
	};
}
