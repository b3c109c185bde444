/*
 * Every message that any socket or the store can carry, decoded from hostile bytes within the budget. The
 * first two bytes choose the type. What decodes can be packed, and what was packed decodes to the same.
 */
#include <stdbool.h>
#include <string.h>

#include "common/budget.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "proto/agent.pb-c.h"
#include "proto/control.pb-c.h"
#include "proto/host.pb-c.h"
#include "proto/rollout.pb-c.h"
#include "proto/rpc.pb-c.h"
#include "proto/state.pb-c.h"
#include "tests/fuzz/fuzz.h"

static const ProtobufCServiceDescriptor *const services[] = {
	&phoenix__agent__descriptor,
	&phoenix__controller__descriptor,
	&phoenix__host__descriptor,
	&phoenix__control__descriptor,
};

/* What is in no service: the envelope, and what the store and the event log keep. */
static const ProtobufCMessageDescriptor *const others[] = {
	&phoenix__envelope__descriptor,
	&phoenix__container_record__descriptor,
	&phoenix__operation_record__descriptor,
	&phoenix__event__descriptor,
	&phoenix__rollout_record__descriptor,
	&phoenix__lease_record__descriptor,
};

#define OTHERS (sizeof(others) / sizeof(others[0]))

/* The type with this number: others first, then each method's input and output, round and round. */
static const ProtobufCMessageDescriptor *type_of(unsigned int number)
{
	unsigned int count = OTHERS;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		count += 2 * services[i]->n_methods;
	number %= count;
	if (number < OTHERS)
		return others[number];
	number -= OTHERS;
	for (size_t i = 0;; i++) {
		const ProtobufCServiceDescriptor *service = services[i];

		if (number < 2 * service->n_methods)
			return number % 2 ? service->methods[number / 2].output :
					    service->methods[number / 2].input;
		number -= 2 * service->n_methods;
	}
}

/* Whether an unknown field with the number 0 is kept here or below. The library takes one whose tag is longer than
 * needed, packs the shortest tag, and refuses that: the only message that it cannot read back. */
static bool keeps_field_zero(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	for (unsigned int i = 0; i < message->n_unknown_fields; i++)
		if (message->unknown_fields[i].tag == 0)
			return true;
	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const uint8_t *member = (const uint8_t *)message + field->offset;
		const uint32_t *quantifier = (const void *)((const uint8_t *)message +
							    field->quantifier_offset);
		ProtobufCMessage *const *children = (const void *)member;
		size_t count = 1;

		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			count = *quantifier == field->id;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			count = *(const size_t *)(const void *)quantifier;
			children = *(ProtobufCMessage *const *const *)(const void *)member;
		}
		for (size_t child = 0; child < count; child++)
			if (children[child] && keeps_field_zero(children[child]))
				return true;
	}
	return false;
}

static void repack(const ProtobufCMessage *message, const ProtobufCMessageDescriptor *type)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	PH_AUTO_FREE uint8_t *packed = ph_alloc(size ? size : 1);
	PH_AUTO_FREE uint8_t *again = ph_alloc(size ? size : 1);
	struct budget budget;
	ProtobufCMessage *copy;

	FUZZ_CHECK(protobuf_c_message_pack(message, packed) == size);
	budget_init(&budget, 16 * BUDGET_BYTES, 16 * BUDGET_ALLOCATIONS);
	copy = budget_unpack(&budget, type, packed, size);
	FUZZ_CHECK(copy || keeps_field_zero(message));
	if (copy) {
		FUZZ_CHECK(protobuf_c_message_get_packed_size(copy) == size);
		FUZZ_CHECK(protobuf_c_message_pack(copy, again) == size);
		FUZZ_CHECK(memcmp(packed, again, size) == 0);
	}
	budget_fini(&budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const ProtobufCMessageDescriptor *type;
	struct budget budget;
	ProtobufCMessage *message;

	if (size < 2)
		return 0;
	type = type_of(bytes[0] | (unsigned int)bytes[1] << 8);
	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	message = budget_unpack(&budget, type, bytes + 2, size - 2);
	if (message) {
		FUZZ_CHECK(message->descriptor == type);
		repack(message, type);
	}
	budget_fini(&budget);
	return 0;
}
