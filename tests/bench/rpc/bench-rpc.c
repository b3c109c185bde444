/*
 * What a call costs: Agent.Health over a Unix socket between two processes on one CPU, against an
 * echo of the same numbers of bytes by nothing but epoll, read and write. Rounds of both are
 * interleaved; the medians of the rounds' percentiles are printed as JSON. When the floor itself
 * moved by more than a quarter between rounds, the machine was too busy and nothing is reported.
 *
 *   bench-rpc [ROUNDS [CALLS [CPU]]]
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/agent.pb-c.h"

#define ROUNDS 9
#define ROUNDS_MINIMUM 5
#define ROUNDS_MAXIMUM 101
#define CALLS 20000
#define CALLS_MAXIMUM 10000000
#define WARM_UP_CALLS 2000
#define DEADLINE_MS 5000 /* as callers give in earnest */
#define DRIFT_MAXIMUM 0.25

struct percentiles {
	double p50; /* microseconds */
	double p99;
};

struct series {
	struct percentiles rounds[ROUNDS_MAXIMUM];
	size_t count;
};

struct bench {
	size_t rounds;
	size_t calls;
	int cpu;
	uint64_t *samples;    /* owned: nanoseconds, one per call */
	size_t request_bytes; /* on the wire, frame headers included */
	size_t reply_bytes;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-rpc: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int compare_samples(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return (a > b) - (a < b);
}

static void series_add(struct series *series, uint64_t *samples, size_t count)
{
	struct percentiles *round = &series->rounds[series->count++];

	qsort(samples, count, sizeof(*samples), compare_samples);
	round->p50 = (double)samples[count / 2] / 1000;
	round->p99 = (double)samples[count * 99 / 100] / 1000;
}

/* The medians over the rounds, and how far the p50 moved between them. */
static struct percentiles series_medians(const struct series *series, double *ret_drift)
{
	double p50[ROUNDS_MAXIMUM], p99[ROUNDS_MAXIMUM];
	size_t last = series->count - 1;

	for (size_t i = 0; i < series->count; i++) {
		p50[i] = series->rounds[i].p50;
		p99[i] = series->rounds[i].p99;
	}
	qsort(p50, series->count, sizeof(*p50), compare_doubles);
	qsort(p99, series->count, sizeof(*p99), compare_doubles);
	*ret_drift = (p50[last] - p50[0]) / p50[last / 2];
	return (struct percentiles){ .p50 = p50[last / 2], .p99 = p99[last / 2] };
}

/* --- what is served --- */

/* A health reply as agents give it: four conditions, about 200 bytes. */
static void serve_health(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
			 Phoenix__HealthReply_Closure closure, void *closure_data)
{
	static const char *const types[] = { "AgentConnected", "DockerResponding", "StorageSound",
					     "Confined" };
	Phoenix__HealthReply reply = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Condition conditions[ARRAY_LENGTH(types)];
	Phoenix__Condition *pointers[ARRAY_LENGTH(types)];

	for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
		phoenix__condition__init(&conditions[i]);
		conditions[i].type = (char *)types[i];
		conditions[i].status = PHOENIX__CONDITION__STATUS__TRUE;
		conditions[i].reason = (char *)"AsExpected";
		conditions[i].message = (char *)"looked at";
		conditions[i].last_transition_ms = 1763935200123;
		pointers[i] = &conditions[i];
	}
	reply.conditions = pointers;
	reply.n_conditions = ARRAY_LENGTH(types);
	reply.resident_bytes = 700000;
	reply.uptime_ms = 86400000;
	closure(&reply, closure_data);
}

static void end_process(void *user, const struct ph_error *error)
{
	_exit(0);
}

static void run_phoenix_server(int fd)
{
	Phoenix__Agent_Service service;
	struct channel_config config = {
		.service = (ProtobufCService *)&service,
		.closed = end_process,
	};
	struct channel *channel;
	uv_loop_t loop;

	phoenix__agent__init(&service, NULL);
	service.health = serve_health;
	if (uv_loop_init(&loop) < 0 || channel_open(&loop, fd, &config, &channel) < 0)
		_exit(1);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static int open_epoll(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll");
	return epoll;
}

/* Wait for exactly length bytes; false when the other side has gone. */
static bool take_bytes(int epoll, int fd, uint8_t *bytes, size_t length)
{
	struct epoll_event event;
	ssize_t got;

	while (length > 0) {
		if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
			return false;
		got = read(fd, bytes, length);
		if (got <= 0)
			return false;
		length -= (size_t)got;
	}
	return true;
}

static void run_raw_server(int fd, size_t request_bytes, size_t reply_bytes)
{
	uint8_t bytes[4096] = { 0 };
	int epoll = open_epoll(fd);

	while (take_bytes(epoll, fd, bytes, request_bytes))
		if (write(fd, bytes, reply_bytes) != (ssize_t)reply_bytes)
			break;
}

/* --- who calls --- */

struct caller {
	struct bench *bench;
	struct channel *channel;
	uv_loop_t loop;
	size_t wanted;
	size_t done;
	uint64_t begun_ns;
	uint64_t replied; /* bytes of the replies' messages, so that they are looked at */
};

static void call_again(struct caller *caller);

static void call_finished(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__HealthReply *reply = (const Phoenix__HealthReply *)message;
	struct caller *caller = user;
	uint64_t now = now_ns();

	if (error || reply->n_conditions != 4) {
		fprintf(stderr, "bench-rpc: the call failed: %s\n", error ? error->why : "reply");
		exit(1);
	}
	caller->bench->samples[caller->done++] = now - caller->begun_ns;
	if (caller->done < caller->wanted)
		call_again(caller);
	else
		uv_stop(&caller->loop);
}

static void call_again(struct caller *caller)
{
	static const struct rpc_handlers handlers = { .finished = call_finished };
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;

	caller->begun_ns = now_ns();
	if (channel_call(caller->channel, &phoenix__agent__descriptor, "Health", &request.base,
			 DEADLINE_MS, &handlers, caller, NULL) < 0)
		die("call");
}

static void run_phoenix_round(struct caller *caller, size_t calls)
{
	caller->wanted = calls;
	caller->done = 0;
	call_again(caller);
	uv_run(&caller->loop, UV_RUN_DEFAULT);
}

static void run_raw_round(struct bench *bench, int epoll, int fd, size_t calls)
{
	uint8_t bytes[4096] = { 0 };

	for (size_t i = 0; i < calls; i++) {
		uint64_t begun = now_ns();

		if (write(fd, bytes, bench->request_bytes) != (ssize_t)bench->request_bytes ||
		    !take_bytes(epoll, fd, bytes, bench->reply_bytes))
			die("echo");
		bench->samples[i] = now_ns() - begun;
	}
}

/* --- the processes --- */

/* Fork a server; it dies with us. Returns our end of the socket. */
static int fork_server(const struct bench *bench, bool is_raw)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid > 0) {
		close(fds[1]);
		return fds[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(fds[0]);
	if (is_raw)
		run_raw_server(fds[1], bench->request_bytes, bench->reply_bytes);
	else
		run_phoenix_server(fds[1]);
	_exit(0);
}

/* How many bytes a call puts on the wire each way: play a client by hand and count. */
static void measure_frames(struct bench *bench)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	uint8_t frame[1024];
	size_t length;
	ssize_t got;
	int fd = fork_server(bench, false);

	request.method = (char *)"Health";
	request.timeout_ms = DEADLINE_MS;
	envelope.id = 10000; /* of as many bytes as most ids of the run */
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	length = phoenix__envelope__pack(&envelope, frame + FRAME_HEADER_SIZE);
	frame_write_header(frame, (uint32_t)length);
	bench->request_bytes = FRAME_HEADER_SIZE + length;
	if (write(fd, frame, bench->request_bytes) < 0)
		die("write");
	got = read(fd, frame, sizeof(frame));
	if (got < FRAME_HEADER_SIZE)
		die("read");
	bench->reply_bytes = (size_t)got;
	close(fd);
}

static void run_rounds(struct bench *bench, struct series *floor, struct series *phoenix)
{
	struct channel_config config = { .closed = end_process };
	struct caller caller = { .bench = bench };
	int raw = fork_server(bench, true);
	int served = fork_server(bench, false);
	int epoll = open_epoll(raw);

	if (uv_loop_init(&caller.loop) < 0 ||
	    channel_open(&caller.loop, served, &config, &caller.channel) < 0)
		die("channel");
	run_raw_round(bench, epoll, raw, WARM_UP_CALLS);
	run_phoenix_round(&caller, WARM_UP_CALLS);
	for (size_t i = 0; i < bench->rounds; i++) {
		run_raw_round(bench, epoll, raw, bench->calls);
		series_add(floor, bench->samples, bench->calls);
		run_phoenix_round(&caller, bench->calls);
		series_add(phoenix, bench->samples, bench->calls);
	}
}

static void print_rounds(const char *name, const struct series *series)
{
	printf("  \"%s\": [", name);
	for (size_t i = 0; i < series->count; i++)
		printf("%s%.2f", i ? ", " : "", series->rounds[i].p50);
	printf("],\n");
}

static int report(const struct bench *bench, const struct series *floor,
		  const struct series *phoenix)
{
	double floor_drift, phoenix_drift;
	struct percentiles raw = series_medians(floor, &floor_drift);
	struct percentiles ours = series_medians(phoenix, &phoenix_drift);

	if (floor_drift > DRIFT_MAXIMUM) {
		fprintf(stderr,
			"bench-rpc: no report: the floor moved by %.0f %% between rounds (at most "
			"%.0f %%); the machine is busy, run it again\n",
			100 * floor_drift, 100 * DRIFT_MAXIMUM);
		return 1;
	}
	printf("{\n  \"benchmark\": \"rpc\", \"rounds\": %zu, \"calls\": %zu, \"cpu\": %d,\n",
	       bench->rounds, bench->calls, bench->cpu);
	printf("  \"request_bytes\": %zu, \"reply_bytes\": %zu,\n", bench->request_bytes,
	       bench->reply_bytes);
	printf("  \"floor_us\": {\"p50\": %.2f, \"p99\": %.2f, \"drift\": %.3f},\n", raw.p50,
	       raw.p99, floor_drift);
	printf("  \"phoenix_us\": {\"p50\": %.2f, \"p99\": %.2f, \"drift\": %.3f},\n", ours.p50,
	       ours.p99, phoenix_drift);
	print_rounds("floor_rounds_us", floor);
	print_rounds("phoenix_rounds_us", phoenix);
	printf("  \"ratio\": {\"p50\": %.3f, \"p99\": %.3f}\n}\n", ours.p50 / raw.p50,
	       ours.p99 / raw.p99);
	return 0;
}

/* The last CPU by default: interrupts tend to be served on the first. */
static int pick_cpu(void)
{
	cpu_set_t allowed;
	int last = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		die("sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			last = cpu;
	return last;
}

static size_t number_argument(int count, char **arguments, int index, size_t lowest, size_t highest,
			      size_t otherwise)
{
	uint64_t value;

	if (index >= count)
		return otherwise;
	if (text_to_u64(arguments[index], highest, &value) < 0 || value < lowest) {
		fprintf(stderr,
			"bench-rpc: \"%s\" is not a number from %zu to %zu\n"
			"usage: bench-rpc [ROUNDS [CALLS [CPU]]]\n",
			arguments[index], lowest, highest);
		exit(2);
	}
	return (size_t)value;
}

int main(int count, char **arguments)
{
	struct series floor = { 0 }, phoenix = { 0 };
	struct bench bench = { 0 };
	cpu_set_t one;

	bench.rounds = number_argument(count, arguments, 1, ROUNDS_MINIMUM, ROUNDS_MAXIMUM, ROUNDS);
	bench.calls = number_argument(count, arguments, 2, WARM_UP_CALLS, CALLS_MAXIMUM, CALLS);
	bench.cpu = (int)number_argument(count, arguments, 3, 0, CPU_SETSIZE - 1,
					 (size_t)pick_cpu());
	bench.samples = ph_alloc_array(bench.calls, sizeof(*bench.samples));
	CPU_ZERO(&one);
	CPU_SET((size_t)bench.cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		die("sched_setaffinity");
	measure_frames(&bench);
	run_rounds(&bench, &floor, &phoenix);
	return report(&bench, &floor, &phoenix);
}
