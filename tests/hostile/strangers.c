/* Before the handshake is done. Every connection ends here: with a refusal, or turned away. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/hostile/behaviours.h"

#define PATIENCE_MS 2000

static const char *await_end(int fd)
{
	return hostile_await_end(fd, PATIENCE_MS) ? "closed by the controller" : "left open";
}

/* Connect, send these bytes, see what happens. */
static const char *say(const struct hostile *hostile, const void *bytes, size_t length)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);

	hostile_send(fd, bytes, length, PATIENCE_MS);
	return await_end(fd);
}

/* The claim and what answers it; false when nothing does. */
static bool claim(int fd, const struct hostile *hostile, const struct handshake_claim *claim,
		  struct handshake *handshake, struct handshake_frame *ret_challenge)
{
	uint8_t nonce[HANDSHAKE_NONCE_SIZE], header[FRAME_HEADER_SIZE];
	struct handshake_frame frame;

	handshake_random(nonce, sizeof(nonce));
	handshake_init_agent(handshake, claim, hostile->key, nonce, &frame);
	if (!hostile_send_frame(fd, frame.bytes, frame.length))
		return false;
	ret_challenge->length = HANDSHAKE_CHALLENGE_SIZE;
	return recv(fd, header, sizeof(header), MSG_WAITALL) == sizeof(header) &&
	       recv(fd, ret_challenge->bytes, HANDSHAKE_CHALLENGE_SIZE, MSG_WAITALL) ==
		       HANDSHAKE_CHALLENGE_SIZE;
}

static const char *noise(const struct hostile *hostile)
{
	uint8_t bytes[4096];

	handshake_random(bytes, sizeof(bytes));
	bytes[0] = bytes[1] = 0; /* or it would be a length of gigabytes, which is another case */
	return say(hostile, bytes, sizeof(bytes));
}

static const char *another_protocol(const struct hostile *hostile)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: phoenix\r\n\r\n";

	return say(hostile, text, sizeof(text) - 1);
}

static const char *four_gibibytes(const struct hostile *hostile)
{
	return say(hostile, "\xff\xff\xff\xff", 4);
}

static const char *a_large_frame(const struct hostile *hostile)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(256 * 1024);

	frame_write_header(bytes, 255 * 1024);
	return say(hostile, bytes, 256 * 1024);
}

static const char *empty_frames(const struct hostile *hostile)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(400000);

	return say(hostile, bytes, 400000);
}

static const char *half_a_header(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);

	hostile_send(fd, "\0\0", 2, PATIENCE_MS);
	return "closed by us";
}

static const char *half_a_frame(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);

	hostile_send(fd,
		     "\0\0\0\xb4"
		     "PHOENIX",
		     11, PATIENCE_MS);
	return "closed by us";
}

static const char *silence(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);

	return hostile_await_end(fd, 7000) ? "closed by the controller" : "left open";
}

static const char *a_byte_at_a_time(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	uint64_t until = hostile_now() + 7000;

	hostile_send(fd, "\0\0\0\xb4", 4, PATIENCE_MS);
	while (hostile_now() < until) {
		if (!hostile_send(fd, "x", 1, 100))
			return "closed by the controller";
		usleep(200000);
	}
	return "left open";
}

static const char *half_closed(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);

	shutdown(fd, SHUT_WR);
	return await_end(fd);
}

static const char *a_request_first(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	Phoenix__HeartbeatRequest heartbeat = PHOENIX__HEARTBEAT_REQUEST__INIT;

	hostile_request(fd, 1, "Heartbeat", &heartbeat);
	return await_end(fd);
}

static const char *events_first(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	Phoenix__PublishRequest publish = PHOENIX__PUBLISH_REQUEST__INIT;

	hostile_request(fd, 1, "Publish", &publish);
	return await_end(fd);
}

static const char *an_answer_first(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;

	envelope.id = 1;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_RESPONSE;
	hostile_send_envelope(fd, &envelope);
	return await_end(fd);
}

/* ---- handshakes ---- */

static const char *claimed(const struct hostile *hostile, const struct handshake_claim *said,
			   const uint8_t *proof)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	struct handshake_frame challenge;
	struct handshake handshake;

	if (claim(fd, hostile, said, &handshake, &challenge) && proof)
		hostile_send_frame(fd, proof, HANDSHAKE_PROOF_FRAME_SIZE);
	return await_end(fd);
}

static const char *another_containers_name(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);

	text_copy(said.name, sizeof(said.name), "neighbour");
	return claimed(hostile, &said, NULL);
}

static const char *a_container_that_is_not(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);

	text_copy(said.name, sizeof(said.name), "nobody");
	return claimed(hostile, &said, NULL);
}

static const char *another_start(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);

	text_copy(said.boot_id, sizeof(said.boot_id), "0123456789abcdef0123456789abcdef");
	return claimed(hostile, &said, NULL);
}

static const char *a_protocol_of_the_future(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);

	said.protocol_oldest = said.protocol = 999;
	return claimed(hostile, &said, NULL);
}

static const char *a_wrong_proof(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);
	uint8_t proof[HANDSHAKE_PROOF_FRAME_SIZE];

	handshake_random(proof, sizeof(proof));
	return claimed(hostile, &said, proof);
}

static const char *a_wrong_key(const struct hostile *hostile)
{
	struct hostile other = *hostile;
	struct handshake_claim said = hostile_claim(hostile);
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	struct handshake_frame challenge, proof = { .length = 0 };
	struct handshake handshake;
	struct ph_error error = { 0 };

	other.key[0] ^= 1;
	if (claim(fd, &other, &said, &handshake, &challenge))
		handshake_receive(&handshake, challenge.bytes, challenge.length, &proof, &error);
	hostile_send_frame(fd, proof.bytes, HANDSHAKE_PROOF_FRAME_SIZE);
	return await_end(fd);
}

/* The proof of one handshake in another one. */
static const char *a_replayed_proof(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);
	struct handshake_frame challenge, proof = { .length = 0 };
	struct handshake handshake;
	struct ph_error error = { 0 };
	int fd = hostile_connect(hostile);

	if (claim(fd, hostile, &said, &handshake, &challenge))
		handshake_receive(&handshake, challenge.bytes, challenge.length, &proof, &error);
	close(fd);
	return proof.length ? claimed(hostile, &said, proof.bytes) : "no proof was had";
}

static const char *the_proof_first(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	uint8_t proof[HANDSHAKE_PROOF_FRAME_SIZE] = { 0 };

	hostile_send_frame(fd, proof, sizeof(proof));
	return await_end(fd);
}

/* The controller's own challenge, sent back to it. */
static const char *a_reflected_challenge(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	struct handshake_frame challenge;
	struct handshake handshake;

	if (claim(fd, hostile, &said, &handshake, &challenge))
		hostile_send_frame(fd, challenge.bytes, challenge.length);
	return await_end(fd);
}

static const char *a_claim_twice(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	struct handshake_frame challenge;
	struct handshake handshake;

	if (claim(fd, hostile, &said, &handshake, &challenge))
		claim(fd, hostile, &said, &handshake, &challenge);
	return await_end(fd);
}

/* ---- connections ---- */

/* A whole claim, cut after each byte. */
static const char *a_close_at_every_byte(const struct hostile *hostile)
{
	struct handshake_claim said = hostile_claim(hostile);
	uint8_t bytes[FRAME_HEADER_SIZE + HANDSHAKE_FRAME_MAXIMUM];
	uint8_t nonce[HANDSHAKE_NONCE_SIZE] = { 0 };
	struct handshake_frame frame;
	struct handshake handshake;

	handshake_init_agent(&handshake, &said, hostile->key, nonce, &frame);
	frame_write_header(bytes, (uint32_t)frame.length);
	memcpy(bytes + FRAME_HEADER_SIZE, frame.bytes, frame.length);
	for (size_t length = 0; length <= FRAME_HEADER_SIZE + frame.length; length++) {
		PH_AUTO_CLOSE int fd = hostile_connect(hostile);

		hostile_send(fd, bytes, length, 100);
	}
	return "closed by us";
}

static const char *a_storm_of_connections(const struct hostile *hostile)
{
	for (int i = 0; i < 5000; i++) {
		PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	}
	return "5000 came and went";
}

static const char *connections_that_stay(const struct hostile *hostile)
{
	static int fds[900];

	for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
		fds[i] = hostile_connect(hostile);
	usleep(500000);
	for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return "900 at a time";
}

static const char *many_processes(const struct hostile *hostile)
{
	for (int i = 0; i < 100; i++)
		if (fork() == 0) {
			int fd = hostile_connect(hostile);

			hostile_await_end(fd, 500);
			_exit(0);
		}
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	return "100 processes";
}

/* As many descriptors as a message holds, again and again. */
static const char *descriptors(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_connect(hostile);
	char control[CMSG_SPACE(250 * sizeof(int))] = { 0 };
	struct iovec byte = { .iov_base = (char[]){ 0 }, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &byte,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(250 * sizeof(int));
	for (int i = 0; i < 250; i++)
		memcpy(CMSG_DATA(header) + (size_t)i * sizeof(int), &fd, sizeof(fd));
	for (int i = 0; i < 20; i++)
		if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	return await_end(fd);
}

/* A user of the container who is not its root. */
static const char *another_user(const struct hostile *hostile)
{
	int status;

	if (fork() == 0) {
		if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
			_exit(2);
		_exit(hostile_connect(hostile) < 0 ? 0 : 1);
	}
	wait(&status);
	return status == 0 ? "could not connect" : "CONNECTED";
}

const struct behaviour stranger_behaviours[] = {
	{ "noise", noise },
	{ "another protocol", another_protocol },
	{ "a length of 4 GiB", four_gibibytes },
	{ "a large frame", a_large_frame },
	{ "empty frames", empty_frames },
	{ "half a header", half_a_header },
	{ "half a frame", half_a_frame },
	{ "silence", silence },
	{ "a byte at a time", a_byte_at_a_time },
	{ "half closed", half_closed },
	{ "a request first", a_request_first },
	{ "events first", events_first },
	{ "an answer first", an_answer_first },
	{ "another container's name", another_containers_name },
	{ "a container that does not exist", a_container_that_is_not },
	{ "another start", another_start },
	{ "a protocol of the future", a_protocol_of_the_future },
	{ "a wrong proof", a_wrong_proof },
	{ "a wrong key", a_wrong_key },
	{ "a replayed proof", a_replayed_proof },
	{ "the proof first", the_proof_first },
	{ "a reflected challenge", a_reflected_challenge },
	{ "a claim twice", a_claim_twice },
	{ "descriptors", descriptors },
	{ "another user", another_user },
	{ "a close at every byte", a_close_at_every_byte },
	{ "a storm of connections", a_storm_of_connections },
	{ "connections that stay", connections_that_stay },
	{ "many processes", many_processes },
	{ 0 },
};
