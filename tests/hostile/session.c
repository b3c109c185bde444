#include "tests/hostile/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/frame.h"
#include "common/handshake_dial.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define PATIENCE_MS 3000

uint64_t hostile_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int hostile_connect(const struct hostile *hostile)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	text_copy(address.sun_path, sizeof(address.sun_path), hostile->socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -ECONNREFUSED;
}

struct handshake_claim hostile_claim(const struct hostile *hostile)
{
	struct handshake_claim claim = { .protocol_oldest = 1, .protocol = 1 };

	text_copy(claim.name, sizeof(claim.name), hostile->name);
	text_copy(claim.boot_id, sizeof(claim.boot_id), hostile->boot_id);
	handshake_claim_unix(&claim);
	return claim;
}

int hostile_prove(const struct hostile *hostile)
{
	struct handshake_claim claim = hostile_claim(hostile);
	struct ph_error error = { 0 };
	uint16_t protocol;
	int r, fd;

	/* The controller may turn us away for a while: connections are rationed. */
	for (int i = 0; i < 10; i++) {
		fd = hostile_connect(hostile);
		r = fd < 0 ? fd :
			     handshake_dial(fd, &claim, hostile->key, PATIENCE_MS, &protocol,
					    &error);
		if (r == 0)
			return fd;
		if (fd >= 0)
			close(fd);
		usleep(400000);
	}
	return r;
}

static bool say_hello(int fd, const struct hostile *hostile)
{
	Phoenix__HelloRequest hello = PHOENIX__HELLO_REQUEST__INIT;
	Phoenix__Envelope *answer;
	bool is_welcome;

	hello.protocol = hello.protocol_oldest = 1;
	hello.version = (char *)"hostile";
	hello.boot_id = (char *)hostile->boot_id;
	hello.pid = (uint32_t)getpid();
	if (!hostile_request(fd, 1, "Hello", &hello))
		return false;
	do {
		answer = hostile_receive(fd, PATIENCE_MS);
		is_welcome = answer && answer->body_case == PHOENIX__ENVELOPE__BODY_RESPONSE;
		if (!answer)
			return false;
		phoenix__envelope__free_unpacked(answer, NULL);
	} while (!is_welcome);
	return true;
}

int hostile_enter(const struct hostile *hostile)
{
	int fd = hostile_prove(hostile);

	if (fd < 0 || say_hello(fd, hostile))
		return fd;
	close(fd);
	return -EPROTO;
}

bool hostile_send(int fd, const void *bytes, size_t length, int patience_ms)
{
	uint64_t until = hostile_now() + (uint64_t)patience_ms;
	const char *at = bytes;

	while (length > 0) {
		ssize_t sent = send(fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		struct pollfd wait = { .fd = fd, .events = POLLOUT };

		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0 && (hostile_now() >= until || poll(&wait, 1, 100) < 0))
			return false;
		if (sent > 0) {
			at += sent;
			length -= (size_t)sent;
		}
	}
	return true;
}

bool hostile_send_frame(int fd, const void *payload, size_t length)
{
	uint8_t *frame = ph_alloc(FRAME_HEADER_SIZE + length);
	bool is_sent;

	frame_write_header(frame, (uint32_t)length);
	if (length)
		memcpy(frame + FRAME_HEADER_SIZE, payload, length);
	is_sent = hostile_send(fd, frame, FRAME_HEADER_SIZE + length, PATIENCE_MS);
	free(frame);
	return is_sent;
}

bool hostile_send_envelope(int fd, const Phoenix__Envelope *envelope)
{
	size_t length;
	uint8_t *bytes = message_pack(envelope, &length);
	bool is_sent = hostile_send_frame(fd, bytes, length);

	free(bytes);
	return is_sent;
}

bool hostile_request(int fd, uint64_t id, const char *method, const void *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	bool is_sent;

	request.method = (char *)method;
	if (message)
		request.payload.data = message_pack(message, &request.payload.len);
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	is_sent = hostile_send_envelope(fd, &envelope);
	free(request.payload.data);
	return is_sent;
}

/* Read exactly length bytes; false at the end, or when they do not come in time. */
static bool receive_all(int fd, void *bytes, size_t length, uint64_t until)
{
	char *at = bytes;

	while (length > 0) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		uint64_t now = hostile_now();
		ssize_t got;

		if (poll(&wait, 1, until > now ? (int)(until - now) : 0) <= 0)
			return false;
		got = recv(fd, at, length, 0);
		if (got <= 0)
			return false;
		at += got;
		length -= (size_t)got;
	}
	return true;
}

Phoenix__Envelope *hostile_receive(int fd, int patience_ms)
{
	uint64_t until = hostile_now() + (uint64_t)patience_ms;
	Phoenix__Envelope *envelope = NULL;
	uint8_t header[FRAME_HEADER_SIZE];
	uint8_t *payload;
	size_t length;

	if (!receive_all(fd, header, sizeof(header), until))
		return NULL;
	length = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 |
		 header[3];
	if (length > FRAME_LIMIT)
		return NULL;
	payload = ph_alloc(length);
	if (receive_all(fd, payload, length, until))
		envelope = phoenix__envelope__unpack(NULL, length, payload);
	free(payload);
	return envelope;
}

uint64_t hostile_await_call(int fd, const char *method, int patience_ms)
{
	uint64_t until = hostile_now() + (uint64_t)patience_ms;
	uint64_t id = 0;

	while (!id && hostile_now() < until) {
		Phoenix__Envelope *envelope = hostile_receive(fd, (int)(until - hostile_now()));

		if (!envelope)
			return 0;
		if (envelope->body_case == PHOENIX__ENVELOPE__BODY_REQUEST &&
		    strcmp(envelope->request->method, method) == 0)
			id = envelope->id;
		phoenix__envelope__free_unpacked(envelope, NULL);
	}
	return id;
}

bool hostile_await_end(int fd, int patience_ms)
{
	uint64_t until = hostile_now() + (uint64_t)patience_ms;
	char bytes[4096];

	while (hostile_now() < until) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };

		ssize_t got = poll(&wait, 1, 100) > 0 ?
				      recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) :
				      1;

		if (got == 0 || (got < 0 && errno != EAGAIN))
			return true;
	}
	return false;
}
