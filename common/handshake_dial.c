#include "common/handshake_dial.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/frame.h"

/* Wait for an event until a moment; 0, or a negative errno. */
static int wait_for(int fd, short events, uint64_t until_ms)
{
	struct pollfd wait = { .fd = fd, .events = events };
	uint64_t now = clock_monotonic_ms();
	int ready = poll(&wait, 1, until_ms > now ? (int)(until_ms - now) : 0);

	if (ready < 0)
		return errno == EINTR ? 0 : -errno;
	return ready == 0 ? -ETIMEDOUT : 0;
}

static int send_all(int fd, const struct handshake_frame *frame, uint64_t until_ms)
{
	uint8_t bytes[FRAME_HEADER_SIZE + HANDSHAKE_FRAME_MAXIMUM];
	size_t length = FRAME_HEADER_SIZE + frame->length, used = 0;

	frame_write_header(bytes, (uint32_t)frame->length);
	memcpy(bytes + FRAME_HEADER_SIZE, frame->bytes, frame->length);
	while (used < length) {
		ssize_t sent = send(fd, bytes + used, length - used, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r = sent < 0 ? -errno : 0;

		if (sent > 0)
			used += (size_t)sent;
		if (r == -EAGAIN)
			r = wait_for(fd, POLLOUT, until_ms);
		if (r < 0 && r != -EINTR)
			return r;
	}
	return 0;
}

/* Read exactly length bytes: what follows the frame belongs to rpc. */
static int receive_all(int fd, uint8_t *bytes, size_t length, uint64_t until_ms)
{
	size_t used = 0;

	while (used < length) {
		ssize_t got = recv(fd, bytes + used, length - used, MSG_DONTWAIT);
		int r = got < 0 ? -errno : 0;

		if (got == 0)
			return -ECONNRESET;
		if (got > 0)
			used += (size_t)got;
		if (r == -EAGAIN)
			r = wait_for(fd, POLLIN, until_ms);
		if (r < 0 && r != -EINTR)
			return r;
	}
	return 0;
}

static int receive_frame(int fd, struct handshake_frame *frame, uint64_t until_ms)
{
	uint8_t header[FRAME_HEADER_SIZE];
	int r = receive_all(fd, header, sizeof(header), until_ms);

	if (r < 0)
		return r;
	frame->length = (size_t)header[0] << 24 | (size_t)header[1] << 16 |
			(size_t)header[2] << 8 | header[3];
	if (frame->length > sizeof(frame->bytes))
		return -EPROTO;
	return receive_all(fd, frame->bytes, frame->length, until_ms);
}

int handshake_dial(int fd, const struct handshake_claim *claim,
		   const uint8_t key[HANDSHAKE_KEY_SIZE], int timeout_ms, uint16_t *ret_protocol,
		   struct ph_error *error)
{
	uint64_t until_ms = clock_monotonic_ms() + (uint64_t)timeout_ms;
	struct handshake_frame frame, answer = { .length = 0 };
	struct handshake handshake;
	uint8_t nonce[HANDSHAKE_NONCE_SIZE];
	int r;

	handshake_random(nonce, sizeof(nonce));
	handshake_init_agent(&handshake, claim, key, nonce, &frame);
	r = send_all(fd, &frame, until_ms);
	if (r == 0)
		r = receive_frame(fd, &frame, until_ms);
	if (r < 0) {
		handshake_fini(&handshake);
		return error_errno(error, r, NULL, NULL, "shake hands with the controller");
	}
	r = handshake_receive(&handshake, frame.bytes, frame.length, &answer, error);
	if (r < 0)
		return r;
	r = send_all(fd, &answer, until_ms);
	if (r < 0)
		return error_errno(error, r, NULL, NULL, "shake hands with the controller");
	*ret_protocol = handshake.protocol;
	return 0;
}
