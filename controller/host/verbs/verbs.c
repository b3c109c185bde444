/* The table of verbs, and what is the same for all of them. */
#include "controller/host/verbs/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/verbs/lock.h"

#define SECONDS 1000
#define MINUTES (60 * SECONDS)

static const struct verb verbs[] = {
	{ "Probe", "look at the host", verb_probe, 60 * SECONDS, NULL, false },
	{ "ImageImport", "import the image", verb_image_import, 30 * MINUTES, "image", true },
	{ "ImageRemove", "remove the image", verb_image_remove, 10 * MINUTES, "image", true },
	{ "ImageList", "list the images", verb_image_list, 30 * SECONDS, NULL, false },
	{ "NetworkEnsure", "make the network", verb_network_ensure, 60 * SECONDS, "network", false },
	{ "NetworkRemove", "remove the network", verb_network_remove, 60 * SECONDS, "network",
	  false },
	{ "ConfineEnsure", "load the profile", verb_confine_ensure, 60 * SECONDS, "confine", false },
	{ "ConfineRemove", "remove the profile", verb_confine_remove, 60 * SECONDS, "confine",
	  false },
	{ "Preflight", "look for what stands in Docker's way", verb_preflight, 60 * SECONDS, NULL, false },
	{ "ConfineStatus", "look at the confinement", verb_confine_status, 60 * SECONDS, NULL, false },
	{ "ContainerCreate", "create the container", verb_container_create, 15 * MINUTES,
	  "container", true },
	{ "ContainerStart", "start the container", verb_container_start, 60 * SECONDS, "container",
	  true },
	/* The longest grace that validation allows, and a minute to kill what did not listen. */
	{ "ContainerStop", "stop the container", verb_container_stop, 11 * MINUTES, "container",
	  true },
	{ "ContainerDestroy", "remove the container", verb_container_destroy, 10 * MINUTES,
	  "container", true },
	{ "ContainerRebuild", "rebuild the container", verb_container_rebuild, 15 * MINUTES,
	  "container", true },
	{ "ContainerDiscard", "remove the kept root of", verb_container_discard, 10 * MINUTES,
	  "container", true },
	{ "ContainerObserve", "look at the container", verb_container_observe, 15 * SECONDS, NULL,
	  true },
	{ "ContainerList", "list the containers", verb_container_list, 60 * SECONDS, NULL, false },
	{ "ForeignList", "look for containers of others", verb_foreign_list, 60 * SECONDS, NULL, false },
	{ "Adopt", "adopt the container", verb_adopt, 60 * SECONDS, "container", true },
	{ "AdoptConfine", "change the configuration of", verb_adopt_confine, 60 * SECONDS, "container",
	  true },
	{ "AdoptRevert", "put back the configuration of", verb_adopt_revert, 60 * SECONDS, "container",
	  true },
	{ "AdoptForget", "give back the container", verb_adopt_forget, 60 * SECONDS, "container", true },
	{ "AgentPush", "push the agent", verb_agent_push, 30 * SECONDS, "container", true },
};

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

const char *verb_subject(const ProtobufCMessage *request)
{
	if (request->descriptor == &phoenix__container_create_request__descriptor)
		return ((const Phoenix__ContainerCreateRequest *)request)->spec->name;
	if (request->descriptor == &phoenix__container_rebuild_request__descriptor)
		return ((const Phoenix__ContainerRebuildRequest *)request)->spec->name;
	if (request->descriptor == &phoenix__container_request__descriptor)
		return ((const Phoenix__ContainerRequest *)request)->name;
	if (request->descriptor == &phoenix__container_stop_request__descriptor)
		return ((const Phoenix__ContainerStopRequest *)request)->name;
	if (request->descriptor == &phoenix__agent_push_request__descriptor)
		return ((const Phoenix__AgentPushRequest *)request)->name;
	if (request->descriptor == &phoenix__image_import_request__descriptor)
		return ((const Phoenix__ImageImportRequest *)request)->name;
	if (request->descriptor == &phoenix__image_name_request__descriptor)
		return ((const Phoenix__ImageNameRequest *)request)->name;
	if (request->descriptor == &phoenix__adopt_request__descriptor)
		return ((const Phoenix__AdoptRequest *)request)->name;
	if (request->descriptor == &phoenix__adopt_confine_request__descriptor)
		return ((const Phoenix__AdoptConfineRequest *)request)->name;
	return "";
}

void verb_key(const struct verb *verb, const ProtobufCMessage *request, char key[VERB_KEY_SIZE])
{
	key[0] = '\0';
	if (verb->lock && verb->is_named)
		snprintf(key, VERB_KEY_SIZE, "%s.%s", verb->lock, verb_subject(request));
	else if (verb->lock)
		text_copy(key, VERB_KEY_SIZE, verb->lock);
}

#ifdef PH_FAULTS
/* PHOENIX_FAULT="ContainerStart:before" or ":after" makes that verb fail there, for tests. */
static int fault(const struct verb *verb, const char *moment, struct ph_error *error)
{
	const char *wanted = getenv("PHOENIX_FAULT");
	char here[64];

	snprintf(here, sizeof(here), "%s:%s", verb->name, moment);
	if (!text_equal(wanted, here))
		return 0;
	return error_set(error, -EIO, here, NULL, "injected fault");
}
#else
static int fault(const struct verb *verb, const char *moment, struct ph_error *error)
{
	return 0;
}
#endif

int verb_run(const struct verb *verb, const struct verb_host *host,
	     const ProtobufCMessage *request, struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = -1;
	char key[VERB_KEY_SIZE];
	int code = 0;

	verb_key(verb, request, key);
	if (key[0])
		code = lock_take(host->config, key, &lock, error);
	if (code == 0)
		code = fault(verb, "before", error);
	if (code == 0)
		code = verb->run(host, request, error);
	if (code == 0)
		code = fault(verb, "after", error);
	if (code < 0)
		return error_prefix(error, "%s%s%s", verb->attempt, verb->is_named ? " " : "",
				    verb->is_named ? verb_subject(request) : "");
	return 0;
}
