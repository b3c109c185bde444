/*
 * Within a session: the key was held and the hello was good, for a container's root has both. What is
 * answered by the controller is answered as it should be; what is not ends the session and nothing else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/handshake_dial.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/hostile/behaviours.h"

#define PATIENCE_MS 2000
#define FLOOD_MS 1500
#define EVENTS 64

static const char *await_end(int fd)
{
	return hostile_await_end(fd, PATIENCE_MS) ? "closed by the controller" : "left open";
}

/* ---- frames ---- */

static const char *frame(const struct hostile *hostile, const void *payload, size_t length)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);

	hostile_send_frame(fd, payload, length);
	return await_end(fd);
}

static const char *no_envelope(const struct hostile *hostile)
{
	return frame(hostile, "PHOENIX", 7);
}

static const char *two_bodies(const struct hostile *hostile)
{
	return frame(hostile, "\x08\x01\x32\x00\x32\x00", 6);
}

static const char *a_number_without_end(const struct hostile *hostile)
{
	return frame(hostile, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 14);
}

static const char *unknown_fields(const struct hostile *hostile)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(250 * 1024);

	for (size_t i = 0; i < 250 * 1024; i += 2) /* field 10, one byte */
		bytes[i] = 0x50;
	return frame(hostile, bytes, 250 * 1024);
}

/* Lengths within lengths, as deep as a frame allows. */
static const char *nesting(const struct hostile *hostile)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(30000);

	memset(bytes, 0x0b, 30000); /* the begin of a group, again and again */
	return frame(hostile, bytes, 30000);
}

static const char *four_gibibytes(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);

	hostile_send(fd, "\xff\xff\xff\xff", 4, PATIENCE_MS);
	return await_end(fd);
}

static const char *half_a_frame(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);

	hostile_send(fd,
		     "\0\3\xff\xff"
		     "half",
		     8, PATIENCE_MS);
	return "closed by us";
}

/* ---- requests ---- */

static const char *a_second_hello(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);
	Phoenix__HelloRequest hello = PHOENIX__HELLO_REQUEST__INIT;

	hello.boot_id = (char *)hostile->boot_id;
	hello.protocol = hello.protocol_oldest = 1;
	hostile_request(fd, 2, "Hello", &hello);
	return await_end(fd);
}

static const char *flood(const struct hostile *hostile, const char *method, const void *message,
			 const Phoenix__Envelope *envelope)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);
	uint64_t until = hostile_now() + FLOOD_MS, id = 2;
	char bytes[65536];

	while (hostile_now() < until) {
		bool is_sent = envelope ? hostile_send_envelope(fd, envelope) :
					  hostile_request(fd, id++, method, message);

		if (!is_sent)
			return "stopped by the controller";
		while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			continue;
	}
	return "until we stopped";
}

static const char *a_flood_of_heartbeats(const struct hostile *hostile)
{
	Phoenix__HeartbeatRequest heartbeat = PHOENIX__HEARTBEAT_REQUEST__INIT;

	return flood(hostile, "Heartbeat", &heartbeat, NULL);
}

static const char *unknown_methods(const struct hostile *hostile)
{
	return flood(hostile, "Exec", NULL, NULL);
}

static const char *methods_of_others(const struct hostile *hostile)
{
	return flood(hostile, "ContainerDestroy", NULL, NULL);
}

static const char *answers_to_nothing(const struct hostile *hostile)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;

	envelope.id = UINT64_MAX;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_RESPONSE;
	return flood(hostile, NULL, NULL, &envelope);
}

static const char *items_of_nothing(const struct hostile *hostile)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;

	envelope.body_case = PHOENIX__ENVELOPE__BODY_ITEM;
	return flood(hostile, NULL, NULL, &envelope);
}

static const char *cancels(const struct hostile *hostile)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Cancel cancel = PHOENIX__CANCEL__INIT;

	envelope.id = 1;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_CANCEL;
	envelope.cancel = &cancel;
	return flood(hostile, NULL, NULL, &envelope);
}

static const char *credit(const struct hostile *hostile)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Credit more = PHOENIX__CREDIT__INIT;

	more.items = UINT32_MAX;
	envelope.id = 1;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_CREDIT;
	envelope.credit = &more;
	return flood(hostile, NULL, NULL, &envelope);
}

/* Ask without reading what is answered. */
static const char *questions_without_reading(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);
	PH_AUTO_FREE char *method = ph_alloc(4096);
	uint64_t until = hostile_now() + 8000, id = 2;

	memset(method, 'x', 4000); /* sixty of them come back with each refusal */
	while (hostile_now() < until)
		if (!hostile_request(fd, id++, method, NULL))
			return "closed by the controller";
	return "until we stopped";
}

/* ---- events ---- */

static const char *publish(const struct hostile *hostile, const char *type, const char *message,
			   size_t count, unsigned int times)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);
	Phoenix__PublishRequest request = PHOENIX__PUBLISH_REQUEST__INIT;
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	Phoenix__Event *events[EVENTS + 1];
	uint64_t until = hostile_now() + FLOOD_MS;
	char bytes[65536];

	event.container = (char *)"neighbour";
	event.type = (char *)type;
	event.message = (char *)message;
	event.seq = UINT64_MAX;
	for (size_t i = 0; i < count; i++)
		events[i] = &event;
	request.n_events = count;
	request.events = events;
	for (uint64_t id = 2; id < 2 + times && hostile_now() < until; id++) {
		if (!hostile_request(fd, id, "Publish", &request))
			return "stopped by the controller";
		while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			continue;
	}
	usleep(300000);
	return "published";
}

static const char *a_million_events(const struct hostile *hostile)
{
	return publish(hostile, "flood", "x", EVENTS, UINT32_MAX - 2);
}

static const char *large_events(const struct hostile *hostile)
{
	PH_AUTO_FREE char *text = ph_alloc(60001);

	memset(text, 'x', 60000);
	return publish(hostile, "large", text, 1, 200);
}

static const char *too_many_events_at_once(const struct hostile *hostile)
{
	return publish(hostile, "many", "x", EVENTS + 1, 1);
}

static const char *events_of_others(const struct hostile *hostile)
{
	return publish(hostile, "agent.lost", "a lie about the neighbour", 1, 1);
}

static const char *events_for_a_terminal(const struct hostile *hostile)
{
	return publish(hostile, "x\033]0;PWNED\007", "\033[2J\nok 1 - PWNED\r\x7f\x9b", 1, 1);
}

static const char *a_type_of_60_kilobytes(const struct hostile *hostile)
{
	PH_AUTO_FREE char *text = ph_alloc(60001);

	memset(text, 't', 60000);
	return publish(hostile, text, "x", 1, 1);
}

/* ---- answers to the controller's own calls: it asks for health as soon as there is a session ---- */

static const char *answer(const struct hostile *hostile, Phoenix__Envelope__BodyCase body,
			  const void *bytes, size_t length, unsigned int times)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;

	envelope.id = hostile_await_call(fd, "Health", 20000);
	if (!envelope.id)
		return "nothing was asked";
	envelope.body_case = body;
	envelope.response = (ProtobufCBinaryData){ length, (uint8_t *)bytes };
	for (unsigned int i = 0; i < times; i++)
		if (!hostile_send_envelope(fd, &envelope))
			return "stopped by the controller";
	usleep(300000);
	return "answered";
}

static const char *a_large_answer(const struct hostile *hostile)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(200 * 1024);

	return answer(hostile, PHOENIX__ENVELOPE__BODY_RESPONSE, bytes, 200 * 1024, 1);
}

/* Two bytes each, more than a hundred once decoded. */
static const char *an_answer_that_swells(const struct hostile *hostile)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(32 * 1024);

	for (size_t i = 0; i < 32 * 1024; i += 2)
		bytes[i] = 0x0a;
	return answer(hostile, PHOENIX__ENVELOPE__BODY_RESPONSE, bytes, 32 * 1024, 1);
}

static const char *an_answer_of_noise(const struct hostile *hostile)
{
	uint8_t bytes[1000];

	handshake_random(bytes, sizeof(bytes));
	return answer(hostile, PHOENIX__ENVELOPE__BODY_RESPONSE, bytes, sizeof(bytes), 1);
}

static const char *a_stream_as_answer(const struct hostile *hostile)
{
	return answer(hostile, PHOENIX__ENVELOPE__BODY_ITEM, NULL, 0, 5000);
}

static const char *an_answer_a_thousand_times(const struct hostile *hostile)
{
	return answer(hostile, PHOENIX__ENVELOPE__BODY_RESPONSE, NULL, 0, 1000);
}

static const char *no_answer(const struct hostile *hostile)
{
	return answer(hostile, PHOENIX__ENVELOPE__BODY_RESPONSE, NULL, 0, 0);
}

/* Claims by the names of what the host observes itself. */
static const char *lies_about_health(const struct hostile *hostile)
{
	static const char *const types[] = { "Ready", "Confined", "Running", "AgentConnected",
					     "ProfileCurrent" };
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);
	Phoenix__HealthReply reply = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Condition lies[ARRAY_LENGTH(types)];
	Phoenix__Condition *conditions[ARRAY_LENGTH(types)];
	uint8_t bytes[4096];

	for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
		phoenix__condition__init(&lies[i]);
		lies[i].type = (char *)types[i];
		lies[i].status = PHOENIX__CONDITION__STATUS__TRUE;
		lies[i].reason = (char *)"PWNED";
		lies[i].observed = true;
		conditions[i] = &lies[i];
	}
	reply.conditions = conditions;
	reply.n_conditions = ARRAY_LENGTH(types);
	envelope.id = hostile_await_call(fd, "Health", 20000);
	if (!envelope.id)
		return "nothing was asked";
	envelope.body_case = PHOENIX__ENVELOPE__BODY_RESPONSE;
	envelope.response.data = bytes;
	envelope.response.len = phoenix__health_reply__pack(&reply, bytes);
	hostile_send_envelope(fd, &envelope);
	usleep(300000);
	return "answered";
}

/* ---- the place ---- */

/* A file system over /dev/phoenix, with a socket of our own in it. */
static const char *another_socket(const struct hostile *hostile)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	PH_AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(hostile->socket);
	rename(hostile->socket, "/dev/phoenix/gone");
	chmod(hostile->socket, 0);
	if (mount("tmpfs", "/dev/phoenix", "tmpfs", 0, NULL) < 0)
		return "could not mount";
	text_copy(address.sun_path, sizeof(address.sun_path), hostile->socket);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 5) < 0)
		return "could not listen";
	usleep(500000);
	umount2("/dev/phoenix", MNT_DETACH);
	return hostile_connect(hostile) < 0 ? "NOTHING LISTENS" : "swapped, and back";
}

/* Two sessions at a time: the one that came last holds the key as well. */
static const char *two_sessions(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int first = hostile_enter(hostile);
	PH_AUTO_CLOSE int second = hostile_enter(hostile);

	return first >= 0 && second >= 0 && hostile_await_end(first, PATIENCE_MS) ?
		       "the first was closed" :
		       "one was had";
}

static const char *sessions_without_end(const struct hostile *hostile)
{
	for (int i = 0; i < 40; i++) {
		PH_AUTO_CLOSE int fd = hostile_connect(hostile);
		struct handshake_claim said = hostile_claim(hostile);
		struct ph_error error = { 0 };
		uint16_t protocol;

		if (fd < 0 || handshake_dial(fd, &said, hostile->key, 500, &protocol, &error) < 0)
			continue;
	}
	return "came and went";
}

const struct behaviour insider_behaviours[] = {
	{ "no envelope", no_envelope },
	{ "two bodies", two_bodies },
	{ "a number without end", a_number_without_end },
	{ "unknown fields", unknown_fields },
	{ "nesting", nesting },
	{ "a length of 4 GiB, in a session", four_gibibytes },
	{ "half a frame, in a session", half_a_frame },
	{ "a second hello", a_second_hello },
	{ "a flood of heartbeats", a_flood_of_heartbeats },
	{ "unknown methods", unknown_methods },
	{ "methods of others", methods_of_others },
	{ "answers to nothing", answers_to_nothing },
	{ "items of nothing", items_of_nothing },
	{ "cancels", cancels },
	{ "credit", credit },
	{ "questions without reading", questions_without_reading },
	{ "a million events", a_million_events },
	{ "large events", large_events },
	{ "too many events at once", too_many_events_at_once },
	{ "events of others", events_of_others },
	{ "events for a terminal", events_for_a_terminal },
	{ "a type of 60 kilobytes", a_type_of_60_kilobytes },
	{ "a large answer", a_large_answer },
	{ "an answer that swells", an_answer_that_swells },
	{ "an answer of noise", an_answer_of_noise },
	{ "a stream as answer", a_stream_as_answer },
	{ "an answer a thousand times", an_answer_a_thousand_times },
	{ "no answer", no_answer },
	{ "lies about health", lies_about_health },
	{ "another socket", another_socket },
	{ "two sessions", two_sessions },
	{ "sessions without end", sessions_without_end },
	{ 0 },
};
