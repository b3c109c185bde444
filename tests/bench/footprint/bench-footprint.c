/*
 * What the agent costs a container: the size of its binary, its memory and processor time when it is
 * connected and idle, and the time from exec to its hello. This program is the controller that the
 * agent dials. Each agent runs in an empty root without privileges, so that it finds nothing of this
 * machine to look after; without an init it supervises, which is the dearer case. The floor is a
 * static program that does nothing, run the same way, in turn with the agent. Other programs of the kind,
 * where they are installed, are measured after it.
 *
 *   bench-footprint AGENT NOTHING [ROUNDS]
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/handshake.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/agent.pb-c.h"
#include "proto/rpc.pb-c.h"
#include "tests/bench/footprint/others.h"
#include "tests/bench/footprint/process.h"

#define ROUNDS 9
#define ROUNDS_MINIMUM 5
#define ROUNDS_MAXIMUM 101
#define STARTS 20 /* in one round; the round's figure is their median */
#define IDLE_AGENTS 5
#define IDLE_SECONDS 10
#define HEARTBEAT_MS 10000 /* as phoenixd asks for */
#define DEADLINE_MS 10000
#define DRIFT_MAXIMUM 0.25
#define NOBODY 65534
#define SOCKET_NAME "agent.sock"
#define KEY_FD 199 /* above all that is open here: dup2() to itself would leave it close-on-exec */
#define KEY_FD_TEXT "199"

struct bench {
	char folder[64]; /* the empty root, with the socket in it */
	int listener;
	int agent; /* the two programs, open */
	int nothing;
	int null; /* where the agent's log goes */
	size_t rounds;
};

struct agent {
	pid_t pid;
	int fd;
	struct frame_reader reader;
	uint64_t hello_ns; /* from the fork to the decoded hello */
};

static const uint8_t agent_key[HANDSHAKE_KEY_SIZE] = { 1 };

static int find_key(void *user, const struct handshake_claim *claim,
		    uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	memcpy(ret_key, agent_key, sizeof(agent_key));
	return HANDSHAKE_WELCOME;
}

/* Fork with only async-signal-safe calls in the child: the same for both programs. */
static pid_t start(const struct bench *bench, int program)
{
	static const char *const arguments[] = {
		"phoenix-agent", "--socket", "unix:/" SOCKET_NAME, "--boot-id", "bench",
		"--name",        "bench",    "--key-fd",           KEY_FD_TEXT, NULL
	};
	static char *const environment[] = { NULL };
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0 ||
	    write(ends[1], agent_key, sizeof(agent_key)) != sizeof(agent_key))
		process_die("pipe");
	close(ends[1]);
	pid = vfork();
	if (pid < 0)
		process_die("vfork");
	if (pid > 0) {
		close(ends[0]);
		return pid;
	}
	/* Whoever changes its user loses the signal: it comes last. */
	if (dup2(bench->null, STDOUT_FILENO) >= 0 && dup2(bench->null, STDERR_FILENO) >= 0 &&
	    dup2(ends[0], KEY_FD) >= 0 && chroot(bench->folder) == 0 && chdir("/") == 0 &&
	    setgid(NOBODY) == 0 && setuid(NOBODY) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		fexecve(program, (char *const *)arguments, environment);
	_exit(127);
}

static void wait_readable(int fd)
{
	struct pollfd poll_for = { .fd = fd, .events = POLLIN };

	errno = 0;
	if (poll(&poll_for, 1, DEADLINE_MS) <= 0)
		process_die("the agent says nothing");
}

/* Take the next frame of the agent; borrowed until the next one. */
static const uint8_t *receive_frame(struct agent *agent, size_t *ret_length)
{
	const uint8_t *payload;
	uint8_t bytes[4096];

	while (frame_reader_next(&agent->reader, &payload, ret_length) != FRAME_READY) {
		ssize_t got;

		wait_readable(agent->fd);
		got = read(agent->fd, bytes, sizeof(bytes));
		if (got <= 0)
			process_die("the agent hung up");
		frame_reader_feed(&agent->reader, bytes, (size_t)got);
	}
	return payload;
}

/* phoenixd's side of the handshake: part of what a start takes. */
static void shake_hands(struct agent *agent)
{
	const struct handshake_policy policy = {
		.transport = HANDSHAKE_UNIX, .protocol_oldest = 1, .protocol = 1, .find = find_key
	};
	uint8_t nonce[HANDSHAKE_NONCE_SIZE], header[FRAME_HEADER_SIZE];
	struct handshake handshake;
	struct handshake_frame reply;
	struct ph_error error;
	const uint8_t *payload;
	size_t length;
	int result;

	handshake_random(nonce, sizeof(nonce));
	handshake_init_controller(&handshake, &policy, nonce);
	do {
		payload = receive_frame(agent, &length);
		result = handshake_receive(&handshake, payload, length, &reply, &error);
		frame_write_header(header, (uint32_t)reply.length);
		if (result < 0 ||
		    (reply.length && (write(agent->fd, header, sizeof(header)) < 0 ||
				      write(agent->fd, reply.bytes, reply.length) < 0)))
			process_die("the handshake fails");
	} while (result != HANDSHAKE_DONE);
}

/* Take the next request of the agent; the caller frees it. */
static Phoenix__Envelope *receive(struct agent *agent)
{
	Phoenix__Envelope *envelope;
	size_t length;
	const uint8_t *payload = receive_frame(agent, &length);

	envelope = phoenix__envelope__unpack(NULL, length, payload);
	if (!envelope || envelope->body_case != PHOENIX__ENVELOPE__BODY_REQUEST)
		process_die("the agent sends something else than a request");
	return envelope;
}

static void answer(struct agent *agent, uint64_t id, const ProtobufCMessage *reply)
{
	uint8_t body[256], wire[512];
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	size_t length;

	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_RESPONSE;
	envelope.response.data = body;
	envelope.response.len = protobuf_c_message_pack(reply, body);
	length = phoenix__envelope__pack(&envelope, wire + FRAME_HEADER_SIZE);
	frame_write_header(wire, (uint32_t)length);
	if (write(agent->fd, wire, FRAME_HEADER_SIZE + length) < 0)
		process_die("write to the agent");
}

/* Answer one request: a hello gets this heartbeat, a heartbeat gets a reply. */
static void serve(struct agent *agent, uint32_t heartbeat_ms)
{
	Phoenix__HelloReply hello = PHOENIX__HELLO_REPLY__INIT;
	Phoenix__HeartbeatReply heartbeat = PHOENIX__HEARTBEAT_REPLY__INIT;
	Phoenix__Envelope *envelope = receive(agent);

	hello.protocol = 1;
	hello.container = (char *)"bench";
	hello.heartbeat_ms = heartbeat_ms;
	if (strcmp(envelope->request->method, "Hello") == 0)
		answer(agent, envelope->id, &hello.base);
	else if (strcmp(envelope->request->method, "Heartbeat") == 0)
		answer(agent, envelope->id, &heartbeat.base);
	else
		process_die("the agent asks for something unknown");
	phoenix__envelope__free_unpacked(envelope, NULL);
}

static void greet(const struct bench *bench, struct agent *agent)
{
	uint64_t begin = process_now_ns(CLOCK_MONOTONIC);
	Phoenix__Envelope *envelope;
	Phoenix__HelloReply reply = PHOENIX__HELLO_REPLY__INIT;

	agent->pid = start(bench, bench->agent);
	wait_readable(bench->listener);
	agent->fd = accept4(bench->listener, NULL, NULL, SOCK_CLOEXEC);
	if (agent->fd < 0)
		process_die("accept");
	frame_reader_init(&agent->reader, 0);
	shake_hands(agent);
	envelope = receive(agent);
	agent->hello_ns = process_now_ns(CLOCK_MONOTONIC) - begin;
	if (strcmp(envelope->request->method, "Hello") != 0)
		process_die("the agent's first request is no hello");
	reply.protocol = 1;
	reply.container = (char *)"bench";
	reply.heartbeat_ms = HEARTBEAT_MS;
	answer(agent, envelope->id, &reply.base);
	phoenix__envelope__free_unpacked(envelope, NULL);
}

static void end(struct agent *agent)
{
	kill(agent->pid, SIGKILL);
	waitpid(agent->pid, NULL, 0);
	close(agent->fd);
	frame_reader_fini(&agent->reader);
}

static double agent_round(const struct bench *bench)
{
	double starts[STARTS];

	for (size_t i = 0; i < STARTS; i++) {
		struct agent agent;

		greet(bench, &agent);
		starts[i] = (double)agent.hello_ns / 1e6;
		end(&agent);
	}
	return process_median(starts, STARTS);
}

static double floor_round(const struct bench *bench)
{
	double starts[STARTS];

	for (size_t i = 0; i < STARTS; i++) {
		uint64_t begin = process_now_ns(CLOCK_MONOTONIC);
		int status;
		pid_t pid = start(bench, bench->nothing);

		errno = 0;
		if (waitpid(pid, &status, 0) < 0 || status != 0)
			process_die("the program that does nothing fails");
		starts[i] = (double)(process_now_ns(CLOCK_MONOTONIC) - begin) / 1e6;
	}
	return process_median(starts, STARTS);
}

static void serve_for(struct agent *agents, size_t count, uint64_t seconds)
{
	uint64_t until = process_now_ns(CLOCK_MONOTONIC) + seconds * 1000000000;
	struct pollfd polls[IDLE_AGENTS];

	for (;;) {
		uint64_t now = process_now_ns(CLOCK_MONOTONIC);

		if (now >= until)
			return;
		for (size_t i = 0; i < count; i++)
			polls[i] = (struct pollfd){ .fd = agents[i].fd, .events = POLLIN };
		if (poll(polls, count, (int)((until - now) / 1000000 + 1)) < 0)
			process_die("poll");
		for (size_t i = 0; i < count; i++)
			if (polls[i].revents)
				serve(&agents[i], HEARTBEAT_MS);
	}
}

/* Memory comes after the idle time: heartbeats and supervision have touched what they touch. */
static double measure_idle(const struct bench *bench, struct memory *ret_memory)
{
	struct agent agents[IDLE_AGENTS];
	double rss[IDLE_AGENTS], pss[IDLE_AGENTS], private[IDLE_AGENTS], processor[IDLE_AGENTS];

	for (size_t i = 0; i < IDLE_AGENTS; i++)
		greet(bench, &agents[i]);
	serve_for(agents, IDLE_AGENTS, 1);
	for (size_t i = 0; i < IDLE_AGENTS; i++)
		processor[i] = -(double)process_processor_ns(agents[i].pid);
	serve_for(agents, IDLE_AGENTS, IDLE_SECONDS);
	for (size_t i = 0; i < IDLE_AGENTS; i++) {
		struct memory memory = process_memory(agents[i].pid);

		processor[i] += (double)process_processor_ns(agents[i].pid);
		rss[i] = memory.rss;
		pss[i] = memory.pss;
		private[i] = memory.private;
	}
	for (size_t i = 0; i < IDLE_AGENTS; i++)
		end(&agents[i]);
	ret_memory->rss = process_median(rss, IDLE_AGENTS);
	ret_memory->pss = process_median(pss, IDLE_AGENTS);
	ret_memory->private = process_median(private, IDLE_AGENTS);
	return 100 * process_median(processor, IDLE_AGENTS) / (IDLE_SECONDS * 1e9);
}

static void open_socket(struct bench *bench)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(bench->folder, sizeof(bench->folder), "/tmp/bench-footprint.XXXXXX");
	if (!mkdtemp(bench->folder) || chmod(bench->folder, 0755) < 0)
		process_die("make a folder below /tmp");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" SOCKET_NAME, bench->folder);
	bench->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bench->listener < 0 ||
	    bind(bench->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || listen(bench->listener, 16) < 0)
		process_die(address.sun_path);
}

static void close_socket(struct bench *bench)
{
	PH_AUTO_FREE char *path = ph_format("%s/" SOCKET_NAME, bench->folder);

	unlink(path);
	rmdir(bench->folder);
}

static void print_rounds(const char *name, const double *values, size_t count)
{
	printf("  \"%s\": [", name);
	for (size_t i = 0; i < count; i++)
		printf("%s%.3f", i ? ", " : "", values[i]);
	printf("],\n");
}

static void print_surroundings(void)
{
	struct utsname machine;
	time_t now = time(NULL);
	char date[16];

	uname(&machine);
	strftime(date, sizeof(date), "%Y-%m-%d", gmtime(&now));
	printf("  \"machine\": {\"cpus\": %ld, \"kernel\": \"%s\"},\n  \"date\": \"%s\"\n}\n",
	       sysconf(_SC_NPROCESSORS_ONLN), machine.release, date);
}

static int report(const struct bench *bench, double *floor, double *phoenix)
{
	size_t rounds = bench->rounds;
	double drift, idle, raw, ours;
	struct memory memory;
	struct stat binary;

	print_rounds("floor_rounds_ms", floor, rounds);
	print_rounds("phoenix_rounds_ms", phoenix, rounds);
	raw = process_median(floor, rounds);
	ours = process_median(phoenix, rounds);
	drift = floor[rounds - 1] / floor[0] - 1; /* of the sorted rounds: slowest over fastest */
	if (drift > DRIFT_MAXIMUM)
		return (int)(100 * drift);
	idle = measure_idle(bench, &memory);
	if (fstat(bench->agent, &binary) < 0)
		process_die("stat the agent");
	printf("  \"floor\": {\"exec_to_exit_ms\": %.3f, \"drift\": %.3f},\n", raw, drift);
	printf("  \"phoenix\": {\"binary_bytes\": %lld, \"exec_to_hello_ms\": %.3f,\n",
	       (long long)binary.st_size, ours);
	printf("    \"rss_kib\": %.0f, \"pss_kib\": %.0f, \"private_kib\": %.0f,\n", memory.rss,
	       memory.pss, memory.private);
	printf("    \"idle_processor_percent\": %.4f},\n", idle);
	others_report(bench->folder, memory.rss);
	printf("  \"ratio\": %.2f,\n", ours / raw);
	print_surroundings();
	return 0;
}

static int run(struct bench *bench)
{
	double floor[ROUNDS_MAXIMUM], phoenix[ROUNDS_MAXIMUM];
	PH_AUTO_FREE char *text = NULL;
	size_t size;
	FILE *document = open_memstream(&text, &size), *terminal = stdout;
	int drift;

	floor_round(bench); /* both warm */
	agent_round(bench);
	for (size_t i = 0; i < bench->rounds; i++) {
		floor[i] = floor_round(bench);
		phoenix[i] = agent_round(bench);
	}
	stdout = document;
	printf("{\n  \"benchmark\": \"footprint\",\n"
	       "  \"goal\": {\"binary_bytes\": 1572864, \"rss_kib\": 1024, \"exec_to_hello_ms\": 2,"
	       " \"idle_processor_percent\": 0.05, \"rss_below_qemu_ga\": 4},\n  \"rounds\": %zu, \"starts_per_round\": %d,\n",
	       bench->rounds, STARTS);
	drift = report(bench, floor, phoenix);
	stdout = terminal;
	fclose(document);
	if (drift) {
		fprintf(stderr,
			"bench-footprint: no report: the floor moved by %d %% between rounds; the "
			"machine is busy, run it again\n",
			drift);
		return 1;
	}
	fputs(text, stdout);
	return 0;
}

static int open_program(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		process_die(path);
	return fd;
}

int main(int argc, char **argv)
{
	struct bench bench = { .rounds = ROUNDS };
	uint64_t rounds = ROUNDS;
	int status;

	if (argc < 3 || argc > 4 ||
	    (argc == 4 &&
	     (text_to_u64(argv[3], ROUNDS_MAXIMUM, &rounds) < 0 || rounds < ROUNDS_MINIMUM))) {
		fprintf(stderr, "usage: bench-footprint AGENT NOTHING [ROUNDS, %d to %d]\n",
			ROUNDS_MINIMUM, ROUNDS_MAXIMUM);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	bench.rounds = rounds;
	bench.agent = open_program(argv[1]);
	bench.nothing = open_program(argv[2]);
	bench.null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	open_socket(&bench);
	status = run(&bench);
	close_socket(&bench);
	return status;
}
