/*
 * A phoenixd that has been taken over: sends forged requests to phoenix-host with phoenixd's own
 * credentials, one connection each, and prints TAP. That they have no effect is for the script to
 * see, which started it (tests/system/forged.sh).
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/host.pb-c.h"
#include "proto/rpc.pb-c.h"
#include "tests/hostile/forged.h"

#define ANSWER_MS 30000

static const char usage[] =
	"Usage: forge SOCKET UID GID CONTAINER FOREIGN IMAGE IDS SLOT ADDRESS GATEWAY FREE-ADDRESS FREE-IDS\n";

static int become(const char *uid, const char *gid)
{
	gid_t group = (gid_t)strtoul(gid, NULL, 10);
	uid_t user = (uid_t)strtoul(uid, NULL, 10);

	if (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0 ||
	    setresuid(user, user, user) < 0)
		return -errno;
	return 0;
}

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !text_copy(address.sun_path, sizeof(address.sun_path), path) ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror(path);
		exit(2);
	}
	return fd;
}

static void send_request(int fd, const struct forged *forged)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	PH_AUTO_FREE uint8_t *frame = NULL;
	size_t length;

	request.method = (char *)forged->verb;
	request.timeout_ms = ANSWER_MS;
	request.payload = (ProtobufCBinaryData){ forged->length, forged->bytes };
	envelope.id = 1;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	length = phoenix__envelope__get_packed_size(&envelope);
	frame = ph_alloc(FRAME_HEADER_SIZE + length);
	frame_write_header(frame, (uint32_t)length);
	phoenix__envelope__pack(&envelope, frame + FRAME_HEADER_SIZE);
	if (send(fd, frame, FRAME_HEADER_SIZE + length, MSG_NOSIGNAL) < 0)
		perror("send");
}

/* The answer; NULL when the connection was closed instead, or nothing came. */
static Phoenix__Envelope *receive_answer(int fd, const char **ret_what)
{
	struct frame_reader reader;
	Phoenix__Envelope *answer = NULL;
	const uint8_t *payload;
	uint8_t bytes[4096];
	size_t length;

	frame_reader_init(&reader, 0);
	*ret_what = "no answer";
	while (!answer) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		ssize_t got = poll(&wait, 1, ANSWER_MS) == 1 ? recv(fd, bytes, sizeof(bytes), 0) :
							       -1;

		if (got <= 0) {
			*ret_what = got == 0 ? "the connection was closed" : "no answer";
			break;
		}
		frame_reader_feed(&reader, bytes, (size_t)got);
		if (frame_reader_next(&reader, &payload, &length) == FRAME_READY)
			answer = phoenix__envelope__unpack(NULL, length, payload);
	}
	frame_reader_fini(&reader);
	return answer;
}

/* Whether an answer to a verb says that something was changed. */
static bool says_changed(const char *verb, const ProtobufCBinaryData *response)
{
	Phoenix__ContainerObservation *observation;
	bool changed;

	if (strncmp(verb, "Container", 9) != 0)
		return true;
	observation = phoenix__container_observation__unpack(NULL, response->len, response->data);
	changed = !observation || observation->changed;
	if (observation)
		phoenix__container_observation__free_unpacked(observation, NULL);
	return changed;
}

/* Names go into a line of TAP: what is not printable is shown as '?'. */
static void print_line(bool is_ok, size_t number, const char *name, const char *note)
{
	printf("%s %zu - ", is_ok ? "ok" : "not ok", number);
	for (; *name; name++)
		putchar(*name >= 0x20 && *name < 0x7f && *name != '#' ? *name : '?');
	putchar('\n');
	if (!note)
		return;
	fputs("# ", stdout);
	for (; *note; note++)
		putchar(*note >= 0x20 && *note < 0x7f ? *note : '?');
	putchar('\n');
}

/* What came of it, as one of forged_outcome; -1: no end of it was seen. */
static int judge(const struct forged *forged, const Phoenix__Envelope *answer, const char **what)
{
	if (!answer)
		return strcmp(*what, "no answer") == 0 ? -1 : FORGED_REFUSED;
	if (answer->body_case == PHOENIX__ENVELOPE__BODY_END && answer->end->failure) {
		*what = answer->end->failure->why;
		return FORGED_REFUSED;
	}
	if (answer->body_case != PHOENIX__ENVELOPE__BODY_RESPONSE)
		return -1;
	if (says_changed(forged->verb, &answer->response)) {
		*what = "it was done";
		return FORGED_DONE;
	}
	*what = "there was nothing to do";
	return FORGED_UNCHANGED;
}

static bool try_one(const char *path, size_t number, const struct forged *forged)
{
	PH_AUTO_CLOSE int fd = dial(path);
	Phoenix__Envelope *answer;
	const char *what;
	bool is_ok;
	int outcome;

	send_request(fd, forged);
	answer = receive_answer(fd, &what);
	outcome = judge(forged, answer, &what);
	is_ok = outcome == (int)forged->expected ||
		(forged->expected == FORGED_UNCHANGED && outcome == FORGED_REFUSED);
	print_line(is_ok, number, forged->name, what);
	if (answer)
		phoenix__envelope__free_unpacked(answer, NULL);
	return is_ok;
}

static uint32_t number(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	struct forged_place place;
	struct forged_list list;
	size_t failed = 0;

	if (argc != 13) {
		fputs(usage, stderr);
		return 2;
	}
	place = (struct forged_place){
		.container = argv[4],
		.foreign = argv[5],
		.image = argv[6],
		.ids_first = number(argv[7]),
		.slot = number(argv[8]),
		.address = argv[9],
		.gateway = argv[10],
		.free_address = argv[11],
		.free_ids = number(argv[12]),
	};
	if (become(argv[2], argv[3]) < 0) {
		perror("forge: become phoenixd's user");
		return 2;
	}
	forged_list_init(&list, &place);
	for (size_t i = 0; i < list.count; i++)
		failed += !try_one(argv[1], i + 1, &list.items[i]);
	printf("1..%zu\n", list.count);
	forged_list_fini(&list);
	return failed ? 1 : 0;
}
