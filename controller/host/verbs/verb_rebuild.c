/*
 * Another root file system for a container that exists, and the end of the one it had before.
 */
#include <errno.h>

#include "controller/host/verbs/verbs.h"

int verb_container_rebuild(const struct verb_host *host, const ProtobufCMessage *message,
			   struct ph_error *error)
{
	return error_set(error, -ENOSYS, verb_subject(message), NULL, "this is not there yet");
}

int verb_container_discard(const struct verb_host *host, const ProtobufCMessage *message,
			   struct ph_error *error)
{
	return error_set(error, -ENOSYS, verb_subject(message), NULL, "this is not there yet");
}
