/*
 * phoenix-host over its socket, with real containers: every verb, twice; peers and requests that
 * are refused; a kill and a restart; and that nothing is left. In a mount and a network namespace of
 * its own, so that a test that dies leaves nothing on the machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "proto/host.pb-c.h"
#include "tests/support/cmocka.h"
#include "tests/support/loop.h"

#define USER 61234
#define ID_BASE 7000000
#define IDS 65536
#define NAME "phoenix-test-host"
#define KEY "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define BOOT_ID "0123456789abcdef"
#define CALL_TIMEOUT_MS 50000

#define TEXT(constant) ((char *)(constant))

#define NEEDS_HOST(state)                                                                          \
	do {                                                                                       \
		if (!*(state)) {                                                                   \
			print_message("SKIP: needs root and namespaces of its own\n");             \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

struct host {
	char base[32]; /* everything lies below; short: RUN has to fit into sun_path */
	char socket[96];
	pid_t pid; /* of phoenix-host */
};

static const char *why_not; /* NULL: the tests can run here */

static int __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
	PH_AUTO_STR struct str command = STR_INIT;
	va_list arguments;

	va_start(arguments, format);
	str_vappendf(&command, format, arguments);
	va_end(arguments);
	return system(str_text(&command));
}

/* The scenery: namespaces, an own sysfs (its class/net is the namespace's), own subordinate ids. */

static bool enter_namespaces(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		return false;
	return shell("set -e; mount --make-rprivate /; mkdir -p /tmp/phoenix-test-sys;"
		     "mount -t sysfs sysfs /tmp/phoenix-test-sys;"
		     "mount --rbind /sys/fs/cgroup /tmp/phoenix-test-sys/fs/cgroup;"
		     "test ! -d /sys/kernel/security/apparmor ||"
		     " mount --rbind /sys/kernel/security /tmp/phoenix-test-sys/kernel/security;"
		     "mount --move /tmp/phoenix-test-sys /sys; rmdir /tmp/phoenix-test-sys;"
		     "ip link set lo up") == 0;
}

static void write_file(const struct host *host, const char *name, const char *text)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", host->base, name);
	PH_AUTO_FILE FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static void write_configuration(const struct host *host, const char *agent)
{
	PH_AUTO_FREE char *text = ph_format(
		"user: %d\ngroup: %d\nrun_dir: %s/run\nstate_dir: %s/state\nagent: %s\n"
		"profiles_dir: %s/profiles\nnetwork:\n  bridge: phxtest1\n  subnet: 10.214.0.0/24\n"
		"  dns: false\nlog_level: warning\n",
		USER, USER, host->base, host->base, agent, PH_SOURCE_DIR);

	write_file(host, "phoenix.yaml", text);
}

static void make_images(const struct host *host)
{
	assert_int_equal(shell("set -e; cd %s; mkdir -p root/etc root/sbin root/bin root/var/lib/dpkg "
			       "root/proc root/sys root/dev root/tmp state/spool;"
			       "echo 'PRETTY_NAME=\"Test GNU/Linux\"' >root/etc/os-release;"
			       "touch root/var/lib/dpkg/status; cp %s/tests/inmate root/sbin/init;"
			       "cp root/sbin/init root/bin/sh; tar -C root -cf plain.tar .;"
			       "echo 'PRETTY_NAME=\"Other GNU/Linux\"' >root/etc/os-release;"
			       "tar -C root -cf other.tar .;"
			       "mkdir -p outside root/var/lib; ln -s %s/outside root/var/lib/docker;"
			       "tar -C root -cf hostile.tar .; rm -r root",
			       host->base, PH_BINARY_DIR, host->base),
			 0);
}

static int wait_for_socket(const struct host *host)
{
	for (int i = 0; i < 500; i++) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };
		PH_AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		text_copy(address.sun_path, sizeof(address.sun_path), host->socket);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return 0;
		usleep(10000);
	}
	return -ETIMEDOUT;
}

static void start_host(struct host *host, const char *fault)
{
	PH_AUTO_FREE char *configuration = ph_format("%s/phoenix.yaml", host->base);

	host->pid = fork();
	if (host->pid == 0) {
		if (fault)
			setenv("PHOENIX_FAULT", fault, 1);
		execl(PH_BINARY_DIR "/bin/phoenix-host", "phoenix-host", "--config", configuration,
		      (char *)NULL);
		_exit(127);
	}
	assert_int_equal(wait_for_socket(host), 0);
}

static int stop_host(struct host *host, int number)
{
	int status;

	assert_int_equal(kill(host->pid, number), 0);
	assert_int_equal(waitpid(host->pid, &status, 0), host->pid);
	return status;
}

/* Calls: one connection per call, until its end. */

struct call {
	struct test_loop loop;
	struct channel *channel;
	ProtobufCMessage *reply;
	struct ph_error error;
	int finished;
	int closed;
};

static void call_closed(void *user, const struct ph_error *error)
{
	struct call *call = user;

	call->channel = NULL;
	call->closed = 1;
}

static void call_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct call *call = user;

	call->reply = message_copy(reply);
	if (error)
		call->error = *error;
	call->finished = 1;
}

/* The reply, which the caller frees; NULL and the error of a failed call. */
static void *call(const struct host *host, const char *verb, const void *request,
		  struct ph_error *ret_error)
{
	static const struct rpc_handlers handlers = { .finished = call_finished };
	struct call call = { 0 };
	struct channel_config config = { .closed = call_closed, .user = &call };
	struct address address;
	int fd;

	test_loop_init(&call.loop);
	assert_int_equal(address_parse(host->socket, &address, NULL), 0);
	fd = address_connect(&address);
	assert_true(fd >= 0);
	assert_int_equal(channel_open(&call.loop.loop, fd, &config, &call.channel), 0);
	assert_int_equal(channel_call(call.channel, &phoenix__host__descriptor, verb, request,
				      CALL_TIMEOUT_MS, &handlers, &call, NULL),
			 0);
	test_loop_until(&call.loop, &call.finished, 1);
	if (call.channel)
		channel_close(call.channel);
	test_loop_until(&call.loop, &call.closed, 1);
	assert_int_equal(test_loop_fini(&call.loop), 0);
	if (ret_error)
		*ret_error = call.error;
	return call.reply;
}

/* A call that has to work. */
static void *ask(const struct host *host, const char *verb, const void *request)
{
	struct ph_error error;
	void *reply = call(host, verb, request, &error);
	char text[1024];

	if (!reply)
		fail_msg("%s: %s", verb, error_format(&error, text, sizeof(text)));
	return reply;
}

/* A call that has to fail; returns its code. */
static int refused(const struct host *host, const char *verb, const void *request,
		   struct ph_error *ret_error)
{
	struct ph_error error;
	void *reply = call(host, verb, request, &error);

	if (reply)
		fail_msg("%s was done", verb);
	if (ret_error)
		*ret_error = error;
	return error.code;
}

static Phoenix__ContainerObservation *ask_container(const struct host *host, const char *verb,
						    const char *name)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = (char *)name;
	return ask(host, verb, &request);
}

/* The same, of which only whether it changed something is wanted. */
static bool changes(const struct host *host, const char *verb, const char *name)
{
	Phoenix__ContainerObservation *reply = ask_container(host, verb, name);
	bool changed = reply->changed;

	message_free(reply);
	return changed;
}

struct order {
	Phoenix__ContainerCreateRequest request;
	Phoenix__ContainerSpec spec;
	Phoenix__Resources resources;
	Phoenix__IdRange ids;
};

static void order_init(struct order *order, const char *name, uint32_t number)
{
	static char addresses[3][16];

	phoenix__container_create_request__init(&order->request);
	phoenix__container_spec__init(&order->spec);
	phoenix__resources__init(&order->resources);
	phoenix__id_range__init(&order->ids);
	order->resources.memory_bytes = 256 << 20;
	order->resources.cpu_percent = 150;
	order->resources.pids = 200;
	order->ids.first = ID_BASE + number * IDS;
	order->ids.count = IDS;
	order->spec.name = (char *)name;
	order->spec.image = TEXT("plain");
	order->spec.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
	order->spec.resources = &order->resources;
	order->request.spec = &order->spec;
	order->request.ids = &order->ids;
	snprintf(addresses[number], sizeof(addresses[0]), "10.214.0.%u", 20 + number);
	order->request.address = addresses[number];
	order->request.slot = 4000 + number;
}

static bool create(const struct host *host, const struct order *order)
{
	Phoenix__ContainerObservation *reply = ask(host, "ContainerCreate", &order->request);
	bool changed = reply->changed;

	assert_true(reply->exists);
	assert_false(reply->running);
	message_free(reply);
	return changed;
}

static void ensure_image(const struct host *host, const char *name)
{
	Phoenix__ImageImportRequest request = PHOENIX__IMAGE_IMPORT_REQUEST__INIT;
	PH_AUTO_FREE char *file = ph_format("%s.tar", name);

	assert_int_equal(shell("cp %s/%s %s/state/spool/", host->base, file, host->base), 0);
	request.name = (char *)name;
	request.spool_file = file;
	message_free(ask(host, "ImageImport", &request));
}

static void ensure_network(const struct host *host)
{
	Phoenix__NetworkEnsureRequest request = PHOENIX__NETWORK_ENSURE_REQUEST__INIT;
	Phoenix__NetworkReply *reply = ask(host, "NetworkEnsure", &request);

	assert_string_equal(reply->bridge, "phxtest1");
	assert_string_equal(reply->gateway, "10.214.0.1");
	message_free(reply);
}

/* Nothing of any container of these tests is left on the machine. */
static void assert_nothing_left(const struct host *host)
{
	PH_AUTO_FREE char *below = ph_format("%s/state", host->base);

	assert_int_not_equal(shell("grep -q %s /proc/self/mounts", below), 0);
	assert_int_equal(shell("test -z \"$(ls -A %s/state/containers %s/state/data %s/run/agents "
			       "%s/run/log 2>/dev/null | grep -v :$ | grep .)\"",
			       host->base, host->base, host->base, host->base),
			 0);
	assert_int_not_equal(shell("ip -o link | grep -q phxv"), 0);
	assert_int_not_equal(shell("find /sys/fs/cgroup -maxdepth 2 -name 'phoenix.*%s*' | grep .",
				   NAME),
			     0);
}

static int host_setup(void **state)
{
	struct host *host;

	*state = NULL;
	if (why_not)
		return 0;
	host = ph_alloc(sizeof(*host));
	snprintf(host->base, sizeof(host->base), "/tmp/phx-XXXXXX");
	assert_non_null(mkdtemp(host->base));
	chmod(host->base, 0755);
	snprintf(host->socket, sizeof(host->socket), "%s/run/host.sock", host->base);
	write_file(host, "subids", "root:7000000:262144\n");
	assert_int_equal(shell("cd %s && mount --bind subids /etc/subuid && "
			       "mount --bind subids /etc/subgid",
			       host->base),
			 0);
	write_configuration(host, PH_BINARY_DIR "/tests/inmate");
	make_images(host);
	start_host(host, NULL);
	ensure_network(host);
	ensure_image(host, "plain");
	*state = host;
	return 0;
}

static int host_teardown(void **state)
{
	struct host *host = *state;
	static const char *const names[] = { NAME, NAME "-2" };
	int status;

	if (!host)
		return 0;
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		changes(host, "ContainerDestroy", names[i]);
	assert_nothing_left(host);
	status = stop_host(host, SIGTERM);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0); /* no leak either */
	assert_int_equal(shell("umount /etc/subuid /etc/subgid; ip link del phxtest1; "
			       "rm -rf --one-file-system %s",
			       host->base),
			 0);
	free(host);
	return 0;
}

/* The story of one container: every verb changes something once, and nothing the second time. */
static void test_life(void **state)
{
	struct host *host = *state;
	Phoenix__ContainerObservation *seen;
	struct order order;
	uint32_t init;
	uint64_t ticks;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	assert_true(create(host, &order));
	assert_false(create(host, &order));
	assert_true(changes(host, "ContainerStart", NAME));
	seen = ask_container(host, "ContainerStart", NAME);
	assert_false(seen->changed);
	assert_true(seen->running);
	assert_int_equal(seen->processes, 2);
	assert_int_equal(seen->n_nested, 1);
	assert_non_null(strstr(seen->nested[0]->key, "init"));
	assert_int_equal(seen->ids->first, ID_BASE);
	assert_string_equal(seen->address, "10.214.0.20");
	assert_true(seen->memory_bytes > 0);
	assert_true(seen->init_start_ticks > 0);
	init = seen->init_pid;
	ticks = seen->init_start_ticks;
	message_free(seen);
	assert_int_equal(shell("grep -q '^ *0 *7000000 *65536$' /proc/%u/uid_map", init), 0);
	assert_int_equal(shell("ip -o link show master phxtest1 | grep -q phxv4000"), 0);
	assert_int_equal(shell("grep -q ' /dev/phoenix .*ro,nosuid,nodev,noexec' /proc/%u/mounts &&"
			       "grep -q ' /var/lib/docker ' /proc/%u/mounts",
			       init, init),
			 0);
	assert_true(changes(host, "ContainerStop", NAME));
	assert_false(changes(host, "ContainerStop", NAME));
	assert_true(changes(host, "ContainerStart", NAME));
	seen = ask_container(host, "ContainerObserve", NAME);
	assert_true(seen->init_pid != init || seen->init_start_ticks != ticks);
	message_free(seen);
	assert_true(changes(host, "ContainerDestroy", NAME));
	assert_false(changes(host, "ContainerDestroy", NAME));
	seen = ask_container(host, "ContainerObserve", NAME);
	assert_false(seen->exists);
	message_free(seen);
	assert_nothing_left(host);
}

static void test_limits(void **state)
{
	static const char *const limits[] = {
		"memory.limit_in_bytes=268435456", "memory.max=268435456",  "pids.max=200",
		"cpu.cfs_quota_us=150000",         "cpu.max=150000 100000",
	};
	struct host *host = *state;
	struct order order;
	int held = 0;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	changes(host, "ContainerStart", NAME);
	for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
		const char *value = strchr(limits[i], '=') + 1;
		int length = (int)(value - 1 - limits[i]);

		held += shell("test \"$(cat /sys/fs/cgroup/phoenix.payload.%s/%.*s "
			      "/sys/fs/cgroup/*/phoenix.payload.%s/%.*s 2>/dev/null)\" = \"%s\"",
			      NAME, length, limits[i], NAME, length, limits[i], value) == 0;
	}
	assert_int_equal(held, 3); /* of either version */
	changes(host, "ContainerDestroy", NAME);
}

/* What the agent writes to its listener; the connection stays open in ret_fd. */
static void read_hello(int listener, char *text, size_t size, struct ucred *ret_peer, int *ret_fd)
{
	socklen_t length = sizeof(*ret_peer);
	size_t used = 0;
	int fd;

	alarm(20);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &length), 0);
	while (used == 0 || text[used - 1] != '\n') {
		ssize_t got = read(fd, text + used, size - 1 - used);

		assert_true(got > 0);
		used += (size_t)got;
	}
	alarm(0);
	text[used] = '\0';
	*ret_fd = fd;
}

static int listen_for_agent(const struct host *host)
{
	PH_AUTO_FREE char *path = ph_format("%s/run/agents/%s/agent.sock", host->base, NAME);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	text_copy(address.sun_path, sizeof(address.sun_path), path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

/* Ask for an agent; spare_living as in the request. */
static uint32_t push_or_spare(const struct host *host, const char *boot_id, bool spare_living,
			      bool *ret_spared)
{
	Phoenix__AgentPushRequest request = PHOENIX__AGENT_PUSH_REQUEST__INIT;
	Phoenix__AgentPushReply *reply;
	uint32_t pid;

	request.name = TEXT(NAME);
	request.boot_id = (char *)boot_id;
	request.key.data = (uint8_t *)KEY;
	request.key.len = sizeof(KEY) - 1;
	request.spare_living = spare_living;
	reply = ask(host, "AgentPush", &request);
	pid = reply->pid;
	*ret_spared = reply->spared;
	message_free(reply);
	return pid;
}

static uint32_t push(const struct host *host, uint64_t *ret_us)
{
	Phoenix__AgentPushRequest request = PHOENIX__AGENT_PUSH_REQUEST__INIT;
	Phoenix__AgentPushReply *reply;
	uint32_t pid;

	request.name = TEXT(NAME);
	request.boot_id = TEXT(BOOT_ID);
	request.key.data = (uint8_t *)KEY;
	request.key.len = sizeof(KEY) - 1;
	reply = ask(host, "AgentPush", &request);
	pid = reply->pid;
	assert_int_equal(strlen(reply->digest), 64);
	if (ret_us)
		*ret_us = reply->duration_us;
	message_free(reply);
	return pid;
}

static void test_push(void **state)
{
	struct host *host = *state;
	struct order order;
	struct ucred peer;
	uint32_t first, second;
	uint64_t duration_us;
	int listener, fd;
	char text[1024], byte;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	changes(host, "ContainerStart", NAME);
	listener = listen_for_agent(host);
	first = push(host, &duration_us);
	read_hello(listener, text, sizeof(text), &peer, &fd);
	assert_int_equal(peer.pid, (pid_t)first);
	assert_int_equal(peer.uid, ID_BASE);
	assert_non_null(
		strstr(text, "--boot-id " BOOT_ID " uid=0 sid=1 descriptors=4 writable=0\n"));
	assert_non_null(strstr(text, "\n--name " NAME " key=32 more=0\n" KEY "\n"));
	assert_non_null(strstr(text, "\nPATH="));
	assert_null(strstr(text, "PHOENIX_FAULT"));
	print_message("# push: %llu us\n", (unsigned long long)duration_us);

	/* It lives on without the verb that pushed it, and a second one replaces it. */
	assert_int_equal(kill((pid_t)first, 0), 0);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	second = push(host, NULL);
	assert_int_not_equal(first, second);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
	read_hello(listener, text, sizeof(text), &peer, &fd);
	assert_int_equal(peer.pid, (pid_t)second);
	close(fd);
	close(listener);
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

/* Wait until a process has a state: `T` when it is stopped. */
static void await_state(pid_t pid, char wanted)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int tries = 0; tries < 1000; tries++) {
		PH_AUTO_FILE FILE *file = fopen(path, "re");

		assert_non_null(file);
		assert_non_null(fgets(text, sizeof(text), file));
		if (strrchr(text, ')')[2] == wanted)
			return;
		usleep(10000);
	}
	fail_msg("%s never had state %c", path, wanted);
}

/* One that lives is left alone where that is asked for, unless it is stopped or of another boot. */
static void test_push_spares(void **state)
{
	struct host *host = *state;
	struct order order;
	struct ucred peer;
	uint32_t first, second;
	char text[1024];
	int listener, fd;
	bool spared;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	changes(host, "ContainerStart", NAME);
	listener = listen_for_agent(host);
	first = push_or_spare(host, BOOT_ID, true, &spared); /* there is none yet */
	assert_false(spared);
	read_hello(listener, text, sizeof(text), &peer, &fd);
	assert_int_equal(push_or_spare(host, BOOT_ID, true, &spared), first);
	assert_true(spared);
	second = push_or_spare(host, "another-boot", true, &spared);
	assert_false(spared);
	assert_int_not_equal(second, first);
	close(fd);
	read_hello(listener, text, sizeof(text), &peer, &fd);
	assert_int_equal(kill((pid_t)second, SIGSTOP), 0);
	await_state((pid_t)second, 'T');
	assert_int_not_equal(push_or_spare(host, "another-boot", true, &spared), second);
	assert_false(spared);
	close(fd);
	close(listener);
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

static void test_push_refused(void **state)
{
	struct host *host = *state;
	Phoenix__AgentPushRequest request = PHOENIX__AGENT_PUSH_REQUEST__INIT;
	struct order order;

	NEEDS_HOST(state);
	request.name = TEXT(NAME);
	request.boot_id = TEXT(BOOT_ID);
	request.key.data = (uint8_t *)KEY;
	request.key.len = sizeof(KEY) - 1;
	assert_int_equal(refused(host, "AgentPush", &request, NULL), -ENOENT);
	order_init(&order, NAME, 0);
	create(host, &order);
	assert_int_equal(refused(host, "AgentPush", &request, NULL), -ENODEV);
	changes(host, "ContainerStart", NAME);
	stop_host(host, SIGTERM);
	write_configuration(host, "/bin/true"); /* dynamic: its loader would be the container's */
	start_host(host, NULL);
	assert_int_equal(refused(host, "AgentPush", &request, NULL), -ENOEXEC);
	stop_host(host, SIGTERM);
	write_configuration(host, PH_BINARY_DIR "/tests/inmate");
	start_host(host, NULL);
	changes(host, "ContainerDestroy", NAME);
}

/* The container outlives any end of phoenix-host, and the next one knows it. */
static void test_survival(void **state)
{
	struct host *host = *state;
	Phoenix__ContainerObservation *before, *after;
	struct order order;
	int status;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	before = ask_container(host, "ContainerStart", NAME);
	status = stop_host(host, SIGKILL);
	assert_true(WIFSIGNALED(status));
	start_host(host, NULL);
	after = ask_container(host, "ContainerObserve", NAME);
	assert_true(after->running);
	assert_int_equal(before->init_pid, after->init_pid);
	assert_int_equal(before->init_start_ticks, after->init_start_ticks);
	message_free(before);
	message_free(after);
	status = stop_host(host, SIGTERM);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	start_host(host, NULL);
	assert_false(changes(host, "ContainerStart", NAME));
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

/* A monitor that is killed takes its container along; what it leaves is cleared at the next start. */
static void test_killed_monitor(void **state)
{
	struct host *host = *state;
	Phoenix__ContainerObservation *seen;
	struct order order;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	seen = ask_container(host, "ContainerStart", NAME);
	assert_int_equal(shell("kill -9 $(sed -n 's/^PPid:.//p' /proc/%u/status)", seen->init_pid),
			 0);
	for (int i = 0; i < 500 && kill((pid_t)seen->init_pid, 0) == 0; i++)
		usleep(10000);
	message_free(seen);
	assert_true(changes(host, "ContainerStart", NAME));
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

static bool runs(struct host *host, const char *name)
{
	Phoenix__ContainerObservation *seen = ask_container(host, "ContainerObserve", name);
	bool is_running = seen->running;

	message_free(seen);
	return is_running;
}

/* Started again right behind its end, while liblxc may still call it running. */
static void test_killed_init(void **state)
{
	struct host *host = *state;
	struct order order;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	assert_true(changes(host, "ContainerStart", NAME));
	for (int i = 0; i < 5; i++) {
		Phoenix__ContainerObservation *seen = ask_container(host, "ContainerObserve", NAME);

		assert_true(seen->running);
		assert_int_equal(kill((pid_t)seen->init_pid, SIGKILL), 0);
		message_free(seen);
		while (runs(host, NAME))
			continue;
		assert_true(changes(host, "ContainerStart", NAME));
	}
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

static void test_taken(void **state)
{
	struct host *host = *state;
	struct order first, second;
	struct ph_error error;

	NEEDS_HOST(state);
	order_init(&first, NAME, 0);
	create(host, &first);
	order_init(&second, NAME "-2", 1);
	second.ids.first = ID_BASE;
	assert_int_equal(refused(host, "ContainerCreate", &second.request, &error), -EEXIST);
	assert_non_null(strstr(error.why, NAME));
	order_init(&second, NAME "-2", 1);
	second.request.address = TEXT("10.214.0.20");
	assert_int_equal(refused(host, "ContainerCreate", &second.request, NULL), -EADDRINUSE);
	order_init(&second, NAME "-2", 1);
	second.request.slot = 4000;
	assert_int_equal(refused(host, "ContainerCreate", &second.request, NULL), -EEXIST);
	order_init(&second, NAME "-2", 1);
	second.ids.first = 100000;
	assert_int_equal(refused(host, "ContainerCreate", &second.request, &error), -ERANGE);
	assert_non_null(strstr(error.remedy, "/etc/subuid"));
	order_init(&second, NAME "-2", 1);
	second.spec.image = TEXT("absent");
	assert_int_equal(refused(host, "ContainerCreate", &second.request, NULL), -ENOENT);
	assert_int_not_equal(shell("test -e %s/state/containers/" NAME "-2", host->base), 0);
	/* The same container, another range. */
	order_init(&second, NAME, 1);
	assert_int_equal(refused(host, "ContainerCreate", &second.request, NULL), -EEXIST);
	/* Both can be, side by side. */
	order_init(&second, NAME "-2", 1);
	assert_true(create(host, &second));
	assert_true(changes(host, "ContainerStart", NAME));
	assert_true(changes(host, "ContainerStart", NAME "-2"));
	changes(host, "ContainerDestroy", NAME "-2");
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

/* ---- another root ---- */

struct rebuild {
	struct order order;
	Phoenix__ContainerRebuildRequest request;
};

static void rebuild_init(struct rebuild *rebuild, const char *image, bool prepare)
{
	order_init(&rebuild->order, NAME, 0);
	phoenix__container_rebuild_request__init(&rebuild->request);
	rebuild->order.spec.image = (char *)image;
	rebuild->request.spec = &rebuild->order.spec;
	rebuild->request.ids = &rebuild->order.ids;
	rebuild->request.address = rebuild->order.request.address;
	rebuild->request.prepare = prepare;
}

/* Ask for a rebuild that has to work; what is found then are these images. */
static bool rebuild(const struct host *host, const char *image, bool prepare, const char *found)
{
	Phoenix__ContainerObservation *seen;
	struct rebuild rebuild;
	char images[256];
	bool changed;

	rebuild_init(&rebuild, image, prepare);
	seen = ask(host, "ContainerRebuild", &rebuild.request);
	snprintf(images, sizeof(images), "%s %s %s", seen->image, seen->kept_image,
		 seen->prepared_image);
	assert_string_equal(images, found);
	assert_int_equal(strlen(seen->image_digest), 64);
	assert_int_equal(strlen(seen->kept_digest), seen->kept_image[0] ? 64 : 0);
	assert_int_equal(text_empty(seen->kept_clone_method), text_empty(seen->kept_image));
	changed = seen->changed;
	message_free(seen);
	return changed;
}

/* Start it; what it runs on is a system of this name. */
static void start_and_expect(const struct host *host, const char *system)
{
	Phoenix__ContainerObservation *seen = ask_container(host, "ContainerStart", NAME);

	assert_true(seen->running);
	assert_int_equal(shell("grep -q '\"%s GNU/Linux\"' /proc/%u/root/etc/os-release", system,
			       seen->init_pid),
			 0);
	message_free(seen);
}

static void assert_rebuild_refused(const struct host *host, const struct rebuild *rebuild,
				   int expected)
{
	struct ph_error error;
	int code = refused(host, "ContainerRebuild", &rebuild->request, &error);

	if (code != expected)
		fail_msg("%d instead of %d: %s", code, expected, error.why);
}

/* There, back, and the end of the other root; what runs is touched by none of it. */
static void test_rebuild(void **state)
{
	struct host *host = *state;
	Phoenix__ImageNameRequest plain = PHOENIX__IMAGE_NAME_REQUEST__INIT;
	Phoenix__ContainerObservation *seen;
	struct rebuild other;
	struct order order;
	struct ph_error error;
	uint32_t init;

	NEEDS_HOST(state);
	ensure_image(host, "other");
	plain.name = TEXT("plain");
	order_init(&order, NAME, 0);
	create(host, &order);
	start_and_expect(host, "Test");
	rebuild_init(&other, "other", false);
	assert_rebuild_refused(host, &other, -EBUSY);
	assert_false(rebuild(host, "plain", false, "plain  "));
	assert_true(rebuild(host, "other", true, "plain  other"));
	assert_false(rebuild(host, "other", true, "plain  other"));
	assert_false(changes(host, "ContainerStart", NAME));
	assert_true(changes(host, "ContainerStop", NAME));
	assert_true(rebuild(host, "other", false, "other plain "));
	assert_false(rebuild(host, "other", false, "other plain "));
	start_and_expect(host, "Other");
	assert_int_equal(refused(host, "ImageRemove", &plain, &error), -EBUSY);
	assert_non_null(strstr(error.why, NAME));

	/* Applying goes on with what it is now. */
	assert_int_equal(refused(host, "ContainerCreate", &order.request, NULL), -EEXIST);
	order.spec.image = TEXT("other");
	message_free(ask(host, "ContainerCreate", &order.request));
	assert_true(changes(host, "ContainerStop", NAME));
	assert_true(rebuild(host, "plain", false, "plain other "));
	start_and_expect(host, "Test");
	changes(host, "ContainerStop", NAME);
	rebuild(host, "other", false, "other plain ");
	start_and_expect(host, "Other");

	seen = ask_container(host, "ContainerDiscard", NAME);
	init = seen->init_pid;
	assert_true(seen->changed && seen->running && init > 0);
	assert_string_equal(seen->kept_image, "");
	message_free(seen);
	assert_false(changes(host, "ContainerDiscard", NAME));
	assert_int_equal(kill((pid_t)init, 0), 0);
	message_free(ask(host, "ImageRemove", &plain));
	ensure_image(host, "plain");
	assert_true(changes(host, "ContainerDestroy", NAME));
	assert_nothing_left(host);
}

/* What a killed monitor has left of a container is ended before its root is another. */
static void test_rebuild_ends_what_is_left(void **state)
{
	struct host *host = *state;
	struct order order;

	NEEDS_HOST(state);
	ensure_image(host, "other");
	order_init(&order, NAME, 0);
	create(host, &order);
	assert_int_equal(shell("for at in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/pids; do"
			       " test ! -e $at/cgroup.procs || break; done;"
			       "mkdir $at/phoenix.payload." NAME " && { sleep 1000 & };"
			       "echo $! >%s/left && echo $! >$at/phoenix.payload." NAME "/cgroup.procs",
			       host->base),
			 0);
	assert_true(rebuild(host, "other", true, "plain  other"));
	assert_int_equal(shell("grep -q '^State:.[^ZX]' /proc/$(cat %s/left)/status", host->base), 0);
	assert_true(rebuild(host, "other", false, "other plain "));
	assert_int_not_equal(shell("grep -q '^State:.[^ZX]' /proc/$(cat %s/left)/status 2>/dev/null", host->base), 0);
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

/* A request that is about another container than the one of this name, or about none. */
static void test_rebuild_refused(void **state)
{
	struct host *host = *state;
	Phoenix__ContainerRequest container = PHOENIX__CONTAINER_REQUEST__INIT;
	struct rebuild other;
	struct order order;

	NEEDS_HOST(state);
	ensure_image(host, "other");
	container.name = TEXT(NAME);
	rebuild_init(&other, "other", false);
	assert_rebuild_refused(host, &other, -ENOENT);
	assert_int_equal(refused(host, "ContainerDiscard", &container, NULL), -ENOENT);
	order_init(&order, NAME, 0);
	create(host, &order);
	other.order.ids.first += IDS;
	assert_rebuild_refused(host, &other, -EEXIST);
	rebuild_init(&other, "other", false);
	other.order.ids.count *= 2;
	assert_rebuild_refused(host, &other, -EEXIST);
	rebuild_init(&other, "other", false);
	other.request.address = TEXT("10.214.0.21");
	assert_rebuild_refused(host, &other, -EEXIST);
	rebuild_init(&other, "absent", false);
	assert_rebuild_refused(host, &other, -ENOENT);
	rebuild_init(&other, "absent", true);
	assert_rebuild_refused(host, &other, -ENOENT);
	assert_false(rebuild(host, "plain", false, "plain  "));
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

/* What an adopted container runs on is none of ours to change. */
static void test_rebuild_adopted(void **state)
{
	struct host *host = *state;
	Phoenix__ContainerRequest container = PHOENIX__CONTAINER_REQUEST__INIT;
	struct rebuild other;

	NEEDS_HOST(state);
	assert_int_equal(shell("mkdir %1$s/state/containers/" NAME " && echo '{\"lxc_path\": \"/var/lib/lxc\", "
			       "\"written\": \"\"}' >%1$s/state/containers/" NAME "/adopted.json", host->base),
			 0);
	container.name = TEXT(NAME);
	rebuild_init(&other, "plain", true);
	assert_rebuild_refused(host, &other, -EPERM);
	assert_int_equal(refused(host, "ContainerDiscard", &container, NULL), -EPERM);
	assert_int_equal(shell("rm -r %s/state/containers/" NAME, host->base), 0);
	assert_nothing_left(host);
}

static void test_forged(void **state)
{
	struct host *host = *state;
	Phoenix__ContainerRequest container = PHOENIX__CONTAINER_REQUEST__INIT;
	Phoenix__ImageImportRequest import = PHOENIX__IMAGE_IMPORT_REQUEST__INIT;
	struct order order;

	NEEDS_HOST(state);
	container.name = TEXT("../../etc");
	assert_int_equal(refused(host, "ContainerDestroy", &container, NULL), -EINVAL);
	import.name = TEXT("plain");
	import.spool_file = TEXT("../../etc/shadow");
	assert_int_equal(refused(host, "ImageImport", &import, NULL), -EINVAL);
	order_init(&order, NAME, 0);
	order.request.profile = TEXT("unconfined\nlxc.hook.start = /bin/sh");
	assert_int_equal(refused(host, "ContainerCreate", &order.request, NULL), -EINVAL);
	order_init(&order, NAME, 0);
	order.spec.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;
	assert_int_equal(refused(host, "ContainerCreate", &order.request, NULL), -EINVAL);
	assert_nothing_left(host);
}

/* The data-root's place in the image is a symlink to the host: nothing is mounted or made there. */
static void test_hostile_image(void **state)
{
	struct host *host = *state;
	struct order order;
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct ph_error error;

	NEEDS_HOST(state);
	ensure_image(host, "hostile");
	order_init(&order, NAME, 0);
	order.spec.image = TEXT("hostile");
	create(host, &order);
	request.name = TEXT(NAME);
	assert_int_equal(refused(host, "ContainerStart", &request, &error), -EIO);
	assert_int_not_equal(shell("grep -q '%s/outside' /proc/self/mounts", host->base), 0);
	assert_int_equal(shell("test -z \"$(ls -A %s/outside)\"", host->base), 0);
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

static void test_failed_start(void **state)
{
	struct host *host = *state;
	Phoenix__NetworkRemoveRequest remove = PHOENIX__NETWORK_REMOVE_REQUEST__INIT;
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct ph_error error;
	struct order order;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	message_free(ask(host, "NetworkRemove", &remove));
	request.name = TEXT(NAME);
	assert_int_equal(refused(host, "ContainerStart", &request, &error), -EIO);
	assert_non_null(strstr(error.why, "phxtest1")); /* liblxc's own words */
	assert_non_null(strstr(error.what, "start the container " NAME));
	assert_int_not_equal(shell("find /sys/fs/cgroup -maxdepth 2 -name 'phoenix.*%s' | grep -q .",
				   NAME),
			     0);
	ensure_network(host);
	assert_true(changes(host, "ContainerStart", NAME));
	changes(host, "ContainerDestroy", NAME);
	assert_nothing_left(host);
}

#ifdef PH_FAULTS
static void test_faults(void **state)
{
	static const struct {
		const char *fault;
		const char *verb;
		bool is_done; /* a second call without the fault finds it done */
	} cases[] = {
		{ "ContainerStart:before", "ContainerStart", false },
		{ "ContainerStart:after", "ContainerStart", true },
		{ "ContainerStop:before", "ContainerStop", false },
		{ "ContainerStop:after", "ContainerStop", true },
		{ "ContainerDestroy:before", "ContainerDestroy", false },
		{ "ContainerDestroy:after", "ContainerDestroy", true },
	};
	struct host *host = *state;
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct order order;

	NEEDS_HOST(state);
	request.name = TEXT(NAME);
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		order_init(&order, NAME, 0);
		message_free(ask(host, "ContainerCreate", &order.request));
		if (strcmp(cases[i].verb, "ContainerStart") != 0)
			changes(host, "ContainerStart", NAME);
		stop_host(host, SIGTERM);
		start_host(host, cases[i].fault);
		assert_int_equal(refused(host, cases[i].verb, &request, NULL), -EIO);
		stop_host(host, SIGTERM);
		start_host(host, NULL);
		if (changes(host, cases[i].verb, NAME) == cases[i].is_done)
			fail_msg("%s", cases[i].fault);
		changes(host, "ContainerDestroy", NAME);
	}
	assert_nothing_left(host);
}
#endif

static void test_probe(void **state)
{
	struct host *host = *state;
	Phoenix__ProbeRequest request = PHOENIX__PROBE_REQUEST__INIT;
	Phoenix__ConfineEnsureRequest ensure = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;
	Phoenix__ProbeReply *probe;
	Phoenix__ConfineReply *confine;
	struct ph_error error;

	NEEDS_HOST(state);
	probe = ask(host, "Probe", &request);
	assert_int_equal(probe->n_id_ranges, 1);
	assert_int_equal(probe->id_ranges[0]->first, ID_BASE);
	assert_int_equal(probe->id_ranges[0]->count, 262144);
	assert_true(strlen(probe->lxc_version) > 0);
	assert_true(strlen(probe->cgroup) > 0);
	/* The parser is asked once, also where nothing can be confined. */
	if (probe->parser_version[0])
		assert_int_equal(shell("grep -q apparmor_parser %s/state/policy/parser", host->base), 0);
	if (!probe->apparmor) {
		assert_true(strlen(probe->apparmor_reason) > 0);
		assert_true(strlen(probe->apparmor_remedy) > 0);
		assert_int_equal(refused(host, "ConfineEnsure", &ensure, &error), -EOPNOTSUPP);
		assert_non_null(strstr(error.remedy, "best-effort"));
		ensure.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
		confine = ask(host, "ConfineEnsure", &ensure);
		assert_string_equal(confine->profile, "");
		assert_true(strlen(confine->reason) > 0);
		message_free(confine);
	}
	message_free(probe);
}

/* Under the profile where the kernel can: the host sees it on every process, the agent's too. */
static void test_confined(void **state)
{
	struct host *host = *state;
	Phoenix__ConfineEnsureRequest ensure = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;
	Phoenix__ConfineRemoveRequest remove = PHOENIX__CONFINE_REMOVE_REQUEST__INIT;
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	Phoenix__ContainerObservation *seen;
	Phoenix__ConfineReply *confine;
	struct ph_error error;
	struct order order;

	NEEDS_HOST(state);
	confine = call(host, "ConfineEnsure", &ensure, &error);
	if (!confine) {
		print_message("SKIP: %s\n", error.why);
		skip();
	}
	assert_string_equal(confine->profile, "lxc-phoenix-v2");
	order_init(&order, NAME, 0);
	order.spec.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;
	order.request.profile = confine->profile;
	create(host, &order);
	changes(host, "ContainerStart", NAME);
	push(host, NULL);
	seen = ask_container(host, "ContainerObserve", NAME);
	assert_string_equal(seen->label, "lxc-phoenix-v2 (enforce)");
	assert_string_equal(seen->expected_profile, "lxc-phoenix-v2");
	assert_int_equal(seen->processes, 3); /* init, what is nested in it, the agent */
	assert_int_equal(seen->processes_off_label, 0);
	assert_int_equal(seen->n_nested, 1);
	assert_string_equal(seen->nested[0]->value, "lxc-phoenix-v2 (enforce)");
	message_free(seen);
	assert_int_equal(refused(host, "ConfineRemove", &remove, NULL), -EBUSY);
	changes(host, "ContainerStop", NAME);
	message_free(ask(host, "ConfineRemove", &remove));
	request.name = TEXT(NAME); /* no profile in the kernel: it is not started without */
	assert_int_equal(refused(host, "ContainerStart", &request, NULL), -EPERM);
	changes(host, "ContainerDestroy", NAME);
	message_free(confine);
	assert_nothing_left(host);
}

/* Whether the socket talks to a peer of this uid and gid: a refused one is hung up on at once. */
static bool is_welcome(const struct host *host, uid_t uid)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };
		struct timeval patience = { .tv_usec = 300000 };
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		char byte;

		text_copy(address.sun_path, sizeof(address.sun_path), host->socket);
		if (setgroups(0, NULL) < 0 || setresgid(USER, USER, USER) < 0 ||
		    setresuid(uid, uid, uid) < 0 ||
		    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(3);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		_exit(recv(fd, &byte, 1, 0) == 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 3);
	return WEXITSTATUS(status) == 0;
}

static void test_peers(void **state)
{
	struct host *host = *state;
	struct stat status;

	NEEDS_HOST(state);
	assert_int_equal(stat(host->socket, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0660);
	assert_int_equal(status.st_uid, 0);
	assert_int_equal(status.st_gid, USER);
	assert_true(is_welcome(host, USER));
	assert_false(is_welcome(host, USER + 1));
}

static void test_list(void **state)
{
	struct host *host = *state;
	Phoenix__ContainerListRequest request = PHOENIX__CONTAINER_LIST_REQUEST__INIT;
	Phoenix__ContainerListReply *list;
	struct order order;

	NEEDS_HOST(state);
	order_init(&order, NAME, 0);
	create(host, &order);
	assert_int_equal(shell("mkdir %s/state/containers/stranger", host->base), 0);
	list = ask(host, "ContainerList", &request);
	assert_int_equal(list->n_containers, 2);
	assert_string_equal(list->containers[0]->name, NAME);
	assert_string_equal(list->containers[0]->failure, "");
	assert_string_equal(list->containers[1]->name, "stranger");
	assert_true(strlen(list->containers[1]->failure) > 0);
	message_free(list);
	assert_int_equal(shell("rmdir %s/state/containers/stranger", host->base), 0);
	changes(host, "ContainerDestroy", NAME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers),         cmocka_unit_test(test_probe),
		cmocka_unit_test(test_forged),        cmocka_unit_test(test_life),
		cmocka_unit_test(test_limits),        cmocka_unit_test(test_push),
		cmocka_unit_test(test_push_spares),  cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_rebuild_refused), cmocka_unit_test(test_rebuild_adopted),
		cmocka_unit_test(test_rebuild_ends_what_is_left),
		cmocka_unit_test(test_push_refused),  cmocka_unit_test(test_confined),
		cmocka_unit_test(test_list),          cmocka_unit_test(test_taken),
		cmocka_unit_test(test_survival),      cmocka_unit_test(test_killed_monitor),
		cmocka_unit_test(test_killed_init),
		cmocka_unit_test(test_hostile_image), cmocka_unit_test(test_failed_start),
#ifdef PH_FAULTS
		cmocka_unit_test(test_faults),
#endif
	};

	if (geteuid() != 0)
		why_not = "not root";
	else if (!enter_namespaces())
		why_not = "no namespaces of its own";
	if (why_not)
		print_message("# skipped: %s\n", why_not);
	return cmocka_run_group_tests(tests, host_setup, host_teardown);
}
