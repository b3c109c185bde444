/*
 * Limits: every method of ours has its row, every row means something, and bytes that break a limit
 * are refused before anything is decoded.
 */
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "proto/agent.pb-c.h"
#include "proto/control.pb-c.h"
#include "proto/host.pb-c.h"
#include "proto/rpc.pb-c.h"
#include "tests/support/cmocka.h"

#define BYTES(literal) (const uint8_t *)literal, sizeof(literal) - 1

static const ProtobufCServiceDescriptor *const services[] = {
	&phoenix__controller__descriptor,
	&phoenix__agent__descriptor,
	&phoenix__host__descriptor,
	&phoenix__control__descriptor,
};

static void every_method_has_a_row(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(services); i++)
		for (unsigned int j = 0; j < services[i]->n_methods; j++) {
			const char *method = services[i]->methods[j].name;
			const struct limits_method *limits = limits_of(services[i], method);

			print_message("# %s.%s\n", services[i]->name, method);
			assert_true(limits_are_own(limits));
			assert_in_range(limits->input, 1, FRAME_LIMIT);
			assert_in_range(limits->output, 1, FRAME_LIMIT);
		}
	assert_false(limits_are_own(limits_of(services[0], "Describe")));
}

/* An agent's streams have an end and a window: a container decides what comes over them. */
static void an_agents_streams_are_bounded(void **state)
{
	const ProtobufCServiceDescriptor *agent = &phoenix__agent__descriptor;

	for (unsigned int i = 0; i < agent->n_methods; i++)
		assert_true(limits_of(agent, agent->methods[i].name)->items > 0);
	assert_true(limits_of(agent, "Install")->window > 0);
	assert_true(limits_of(agent, "Verify")->window > 0);
}

/* Every repeated field of every message that one of the services carries has its row. */
static void check_fields(const ProtobufCMessageDescriptor *message, int depth)
{
	for (unsigned int i = 0; i < message->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->fields[i];

		if (field->label == PROTOBUF_C_LABEL_REPEATED &&
		    !limits_has_repeated(message, field->name))
			fail_msg("limits.c has no row for %s.%s", message->name, field->name);
		if (field->type == PROTOBUF_C_TYPE_MESSAGE && depth < LIMITS_DEPTH)
			check_fields(field->descriptor, depth + 1);
	}
}

static void every_repeated_field_has_a_row(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(services); i++)
		for (unsigned int j = 0; j < services[i]->n_methods; j++) {
			check_fields(services[i]->methods[j].input, 1);
			check_fields(services[i]->methods[j].output, 1);
		}
}

/* Three of them. */
static void counts_of_repeated_fields(void **state)
{
	assert_int_equal(limits_repeated(&phoenix__publish_request__descriptor, "events"),
			 LIMITS_REPEATED);
	assert_int_equal(limits_repeated(&phoenix__verify_report__descriptor, "checks"), 256);
	assert_int_equal(limits_repeated(&phoenix__fleet__descriptor, "containers"), 4096);
}

struct bytes_case {
	const char *name;
	const ProtobufCMessageDescriptor *message;
	const uint8_t *bytes;
	size_t length;
	bool is_allowed;
};

static const struct bytes_case bytes_cases[] = {
	{ "nothing", &phoenix__pair__descriptor, BYTES(""), true },
	{ "a pair", &phoenix__pair__descriptor, BYTES("\x0a\x01k\x12\x01v"), true },
	{ "in the other order", &phoenix__pair__descriptor, BYTES("\x12\x01v\x0a\x01k"), true },
	{ "a field twice", &phoenix__pair__descriptor, BYTES("\x0a\x01k\x0a\x01k"), false },
	{ "longer than what follows", &phoenix__pair__descriptor, BYTES("\x0a\x02k"), false },
	{ "4 GiB long", &phoenix__pair__descriptor, BYTES("\x0a\xff\xff\xff\xff\x0f"), false },
	{ "2^64 - 1 long", &phoenix__pair__descriptor,
	  BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), false },
	{ "a number without end", &phoenix__pair__descriptor,
	  BYTES("\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), false },
	{ "a tag that breaks off", &phoenix__pair__descriptor, BYTES("\x8a"), false },
	{ "field 0", &phoenix__pair__descriptor, BYTES("\x02\x01k"), false },
	{ "field 0 with an overlong tag", &phoenix__pair__descriptor, BYTES("\x82\x00\x01k"),
	  false },
	{ "a group", &phoenix__pair__descriptor, BYTES("\x0b\x0c"), false },
	{ "wire type 7", &phoenix__pair__descriptor, BYTES("\x0f\x00"), false },
	{ "an unknown number", &phoenix__pair__descriptor, BYTES("\x50\x01"), true },
	{ "unknown 32 and 64 bits", &phoenix__pair__descriptor,
	  BYTES("\x55\x01\x02\x03\x04\x59\x01\x02\x03\x04\x05\x06\x07\x08"), true },
	{ "unknown 64 bits cut off", &phoenix__pair__descriptor, BYTES("\x59\x01\x02\x03"), false },
	{ "a body twice", &phoenix__envelope__descriptor, BYTES("\x32\x00\x32\x00"), false },
	{ "what is inside counts", &phoenix__envelope__descriptor, BYTES("\x3a\x02\x08\x80"),
	  false },
};

static void bytes_are_judged(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(bytes_cases); i++) {
		const struct bytes_case *each = &bytes_cases[i];
		PH_AUTO_FREE uint8_t *exact = ph_memdup(each->bytes, each->length);

		print_message("# %s\n", each->name);
		assert_int_equal(limits_allow(each->message, exact, each->length),
				 each->is_allowed);
	}
}

/* So many empty sub-messages or unknown fields of two bytes each. */
static bool allows(const ProtobufCMessageDescriptor *message, uint8_t tag, size_t count)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(2 * count);

	for (size_t i = 0; i < count; i++)
		bytes[2 * i] = tag;
	return limits_allow(message, bytes, 2 * count);
}

static void repetitions_are_counted(void **state)
{
	const ProtobufCMessageDescriptor *publish = &phoenix__publish_request__descriptor;
	const ProtobufCMessageDescriptor *list = &phoenix__container_list_reply__descriptor;

	assert_true(allows(publish, 0x0a, LIMITS_REPEATED));
	assert_false(allows(publish, 0x0a, LIMITS_REPEATED + 1));
	assert_false(allows(publish, 0x0a, 70000)); /* more than a counter of 16 bits */
	assert_true(allows(list, 0x0a, 4096));
	assert_false(allows(list, 0x0a, 4097));
	assert_true(allows(publish, 0x50, LIMITS_REPEATED));
	assert_false(allows(publish, 0x50, LIMITS_REPEATED + 1));
}

/* A message of defaults has no bytes. */
static void empty_messages_are_allowed(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(services); i++)
		for (unsigned int j = 0; j < services[i]->n_methods; j++)
			assert_true(limits_allow(services[i]->methods[j].input, NULL, 0));
}

/* Exact copies, so that an overread is seen. */
static void random_bytes_are_survived(void **state)
{
	unsigned int seed = 5;
	size_t allowed = 0;

	for (int round = 0; round < 100000; round++) {
		size_t length = (size_t)rand_r(&seed) % 24;
		PH_AUTO_FREE uint8_t *bytes = malloc(length ? length : 1);

		for (size_t i = 0; i < length; i++)
			bytes[i] = (uint8_t)(rand_r(&seed) % 5 ? rand_r(&seed) % 64 :
								 rand_r(&seed));
		allowed += limits_allow(&phoenix__verify_item__descriptor, bytes, length);
	}
	assert_true(allowed > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_has_a_row),
		cmocka_unit_test(an_agents_streams_are_bounded),
		cmocka_unit_test(every_repeated_field_has_a_row),
		cmocka_unit_test(counts_of_repeated_fields),
		cmocka_unit_test(bytes_are_judged),
		cmocka_unit_test(repetitions_are_counted),
		cmocka_unit_test(empty_messages_are_allowed),
		cmocka_unit_test(random_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
