/*
 * The containers' network, in a network namespace of its own for every test: made, found right,
 * repaired, undone; and that packets really take the way they should.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/network/forwarder.h"
#include "controller/host/network/network.h"
#include "tests/component/host_fixture.h"

#define NEEDS_ROOT(state)                                                                          \
	do {                                                                                       \
		if (!*(state))                                                                     \
			skip();                                                                    \
	} while (0)

/* Run a command that belongs to the test's scenery. */
static void __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
	PH_AUTO_STR struct str command = STR_INIT;
	va_list arguments;

	va_start(arguments, format);
	str_vappendf(&command, format, arguments);
	va_end(arguments);
	if (system(str_text(&command)) != 0)
		fail_msg("scenery: %s", str_text(&command));
}

/* What a command prints, cut at 4 kB; the caller frees it. */
static char *output_of(const char *command)
{
	FILE *pipe = popen(command, "re");
	char *text = ph_alloc(4096);

	assert_non_null(pipe);
	text[fread(text, 1, 4095, pipe)] = '\0';
	pclose(pipe);
	return text;
}

static bool prints(const char *command, const char *expected)
{
	PH_AUTO_FREE char *text = output_of(command);

	return strstr(text, expected) != NULL;
}

static int setup(void **state)
{
	int result = host_fixture_setup(state);
	struct host_fixture *fixture = *state;

	if (!fixture)
		return result;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fixture->config.dns = true;
	shell("ip link set dev lo up");
	return 0;
}

static int teardown(void **state)
{
	struct host_fixture *fixture = *state;

	if (fixture)
		forwarder_stop(&fixture->config, NULL);
	return host_fixture_teardown(state);
}

static pid_t forwarder_pid(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *path = host_fixture_path(fixture, "run/network/dnsmasq.pid");
	PH_AUTO_FILE FILE *file = fopen(path, "re");
	int pid = 0;

	if (!file || fscanf(file, "%d", &pid) != 1)
		return 0;
	return pid;
}

/* Whether a process lives; a zombie that nobody reaps does not. */
static bool is_alive(pid_t pid)
{
	char path[64], program[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return readlink(path, program, sizeof(program)) > 0;
}

/* End a forwarder the hard way. */
static void kill_process(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	for (int i = 0; i < 5000 && is_alive(pid); i++)
		usleep(1000);
	assert_false(is_alive(pid));
}

/* Ask the forwarder; true when anything answers. */
static bool dns_answers(const char *address)
{
	static const unsigned char query[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
					     "\x07phoenix\x04test\x00\x00\x01\x00\x01";
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(53) };
	PH_AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	unsigned char answer[512];

	inet_pton(AF_INET, address, &server.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&server, sizeof(server)), 0);
	if (send(fd, query, sizeof(query) - 1, 0) < 0 || poll(&wait, 1, 3000) != 1)
		return false;
	return recv(fd, answer, sizeof(answer), 0) > 12 && answer[0] == 0x12 && answer[1] == 0x34;
}

static void assert_ensure(const struct host_fixture *fixture, int expected,
			  struct network_status *ret_status)
{
	struct ph_error error = { 0 };
	int result = network_ensure(&fixture->config, ret_status, &error);

	if (result != expected)
		fail_msg("ensure: %d instead of %d: %s: %s (%s)", result, expected, error.what,
			 error.why, error.where);
}

static void assert_remove(const struct host_fixture *fixture, int expected)
{
	struct ph_error error = { 0 };
	int result = network_remove(&fixture->config, NULL, &error);

	if (result != expected)
		fail_msg("remove: %d instead of %d: %s: %s (%s)", result, expected, error.what,
			 error.why, error.where);
}

static void assert_nothing_left(const struct host_fixture *fixture)
{
	pid_t pid = forwarder_pid(fixture);

	assert_false(prints("ip link show", "phxtest"));
	assert_false(prints("nft list tables", "phoenix"));
	assert_true(pid == 0 || !is_alive(pid));
	assert_true(host_fixture_entries(fixture, "run/network") <= (pid ? 1 : 0));
}

static void made_found_and_undone(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;

	NEEDS_ROOT(state);
	shell("echo 0 > /proc/sys/net/ipv4/ip_forward");
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_string_equal(status.bridge, "phxtest0");
	assert_string_equal(status.gateway, "10.213.0.1");
	assert_string_equal(status.subnet, "10.213.0.0/24");
	assert_int_equal(status.mtu, 1500);
	assert_true(status.masquerade && status.dns);
	assert_int_equal(status.finding_count, 0);
	assert_true(prints("ip -4 address show dev phxtest0", "10.213.0.1/24"));
	assert_true(prints("nft list ruleset", "masquerade"));
	assert_true(prints("cat /proc/sys/net/ipv4/ip_forward", "1"));
	assert_true(dns_answers("10.213.0.1"));

	assert_ensure(fixture, NETWORK_UNCHANGED, &status);
	assert_true(status.masquerade && status.dns);

	assert_remove(fixture, NETWORK_CHANGED);
	assert_nothing_left(fixture);
	assert_true(prints("cat /proc/sys/net/ipv4/ip_forward", "0"));
	assert_remove(fixture, NETWORK_UNCHANGED);
}

/* What somebody breaks, and that exactly this is repaired. */
static const struct {
	const char *name;
	const char *command;
} breaks[] = {
	{ "the rules are gone", "nft delete table ip phoenix_phxtest0" },
	{ "a rule is gone", "nft flush chain ip phoenix_phxtest0 postrouting" },
	{ "a rule was added", "nft add rule ip phoenix_phxtest0 forward drop" },
	{ "the address is gone", "ip address flush dev phxtest0" },
	{ "the bridge is down", "ip link set dev phxtest0 down" },
	{ "the bridge is gone", "ip link delete dev phxtest0" },
	{ "another MTU", "ip link set dev phxtest0 mtu 1300" },
	{ "forwarding is off", "echo 0 > /proc/sys/net/ipv4/ip_forward" },
};

static void repaired(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;

	NEEDS_ROOT(state);
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	for (size_t i = 0; i < ARRAY_LENGTH(breaks); i++) {
		PH_AUTO_FREE char *before = output_of("nft list ruleset; ip -4 address show dev "
						      "phxtest0 | grep -o 'inet.*brd'");
		PH_AUTO_FREE char *after = NULL;

		shell("%s", breaks[i].command);
		assert_ensure(fixture, NETWORK_CHANGED, &status);
		after = output_of("nft list ruleset; ip -4 address show dev phxtest0 | "
				  "grep -o 'inet.*brd'");
		if (strcmp(before, after) != 0)
			fail_msg("%s: %s\n%s", breaks[i].name, before, after);
		assert_true(dns_answers("10.213.0.1"));
		assert_ensure(fixture, NETWORK_UNCHANGED, &status);
	}
	assert_remove(fixture, NETWORK_CHANGED);
	assert_nothing_left(fixture);
}

static void forwarder_is_replaced_when_dead(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *pid_file = NULL;
	struct network_status status;
	pid_t first, second, child;

	NEEDS_ROOT(state);
	child = fork(); /* the forwarder outlives who started it */
	if (child == 0)
		_exit(network_ensure(&fixture->config, &status, NULL) != NETWORK_CHANGED);
	assert_int_equal(waitpid(child, &first, 0), child);
	assert_int_equal(first, 0);
	first = forwarder_pid(fixture);
	assert_true(first > 0 && is_alive(first));
	assert_ensure(fixture, NETWORK_UNCHANGED, &status);

	kill_process(first);
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	second = forwarder_pid(fixture);
	assert_true(second > 0 && second != first);

	/* A pid file that names a stranger: he is left alone. */
	kill_process(second);
	pid_file = host_fixture_path(fixture, "run/network/dnsmasq.pid");
	child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "dnsmasq");
		pause();
	}
	shell("echo %d > %s", child, pid_file);
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	assert_true(dns_answers("10.213.0.1"));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);

	fixture->config.dns = false;
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_false(status.dns);
	assert_ensure(fixture, NETWORK_UNCHANGED, &status);
	assert_remove(fixture, NETWORK_CHANGED);
	assert_nothing_left(fixture);
}

/* Hosts on which the network must not be made, and stays as it is. */
static const struct {
	const char *name;
	const char *scenery;
	int expected;
	const char *why;
} refusals[] = {
	{ "the name is another interface", "ip link add phxtest0 type veth peer name d1", -EEXIST,
	  "no bridge" },
	{ "a bridge of the administrator",
	  "ip link add phxtest0 type bridge; ip address add 192.168.7.1/24 dev phxtest0", -EEXIST,
	  "192.168.7.1/24" },
	{ "the subnet is taken",
	  "ip link add d0 type bridge; ip link set d0 up; ip address add 10.213.0.7/24 dev d0",
	  -EADDRINUSE, "on d0" },
	{ "a part of the subnet is taken",
	  "ip link add d0 type bridge; ip link set d0 up; ip route add 10.213.0.64/26 dev d0",
	  -EADDRINUSE, "10.213.0.64/26" },
};

static void refused(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++) {
		struct ph_error error = { 0 };
		PH_AUTO_FREE char *before = NULL, *after = NULL;
		int result;

		assert_int_equal(unshare(CLONE_NEWNET), 0);
		shell("%s", refusals[i].scenery);
		before = output_of("ip address show; ip route show; nft list ruleset");
		result = network_ensure(&fixture->config, &status, &error);
		if (result != refusals[i].expected || !strstr(error.why, refusals[i].why))
			fail_msg("%s: %d (%s)", refusals[i].name, result, error.why);
		assert_true(error.remedy[0]);
		after = output_of("ip address show; ip route show; nft list ruleset");
		assert_string_equal(before, after);
		assert_remove(fixture, NETWORK_UNCHANGED);
	}
}

static void foreign_empty_bridge_is_adopted_and_kept(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;

	NEEDS_ROOT(state);
	shell("ip link add phxtest0 mtu 1450 type bridge");
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_int_equal(status.mtu, 1450);
	assert_ensure(fixture, NETWORK_UNCHANGED, &status);
	assert_remove(fixture, NETWORK_CHANGED);
	assert_true(prints("ip link show", "phxtest0"));
	assert_false(prints("ip address show dev phxtest0", "10.213"));
}

static void findings(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;

	NEEDS_ROOT(state);
	shell("ip link add d0 mtu 1400 type bridge; ip link set d0 up; "
	      "ip address add 10.0.0.5/8 dev d0; ip route add default via 10.0.0.1");
	shell("nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; "
	      "policy drop; }; }'");
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_int_equal(status.mtu, 1400);
	assert_int_equal(status.finding_count, 2);
	assert_non_null(strstr(status.findings[0].what, "10.0.0.0/8"));
	assert_non_null(strstr(status.findings[1].what, "ip filter FORWARD"));
	assert_non_null(strstr(status.findings[1].remedy, "DOCKER-USER -i phxtest0"));
	assert_remove(fixture, NETWORK_CHANGED);
	assert_true(prints("nft list ruleset", "FORWARD"));
}

/* Put a script in a program's place, in the test's mount namespace. */
static char *replace_program(const struct host_fixture *fixture, const char *program,
			     const char *script)
{
	PH_AUTO_FREE char *path = host_fixture_path(fixture, "program");
	FILE *file = fopen(path, "we");

	fputs(script, file);
	fclose(file);
	assert_int_equal(chmod(path, *script ? 0755 : 0644), 0);
	assert_int_equal(mount(path, program, NULL, MS_BIND, NULL), 0);
	return ph_strdup(program);
}

static void poor_hosts(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *nft = NULL, *dnsmasq = NULL;
	struct network_status status;
	struct ph_error error = { 0 };

	NEEDS_ROOT(state);
	nft = replace_program(fixture, "/usr/sbin/nft",
			      "#!/bin/sh\necho 'Error: Operation not supported' >&2; exit 1\n");
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_false(status.masquerade);
	assert_int_equal(status.finding_count, 1);
	assert_non_null(strstr(status.findings[0].what, "Operation not supported"));
	assert_true(status.dns && dns_answers("10.213.0.1"));
	assert_ensure(fixture, NETWORK_UNCHANGED, &status);
	assert_remove(fixture, NETWORK_CHANGED);
	assert_int_equal(umount(nft), 0);

	dnsmasq = replace_program(fixture, "/usr/sbin/dnsmasq", "");
	assert_int_equal(network_ensure(&fixture->config, &status, &error), -ENOENT);
	assert_non_null(strstr(error.remedy, "dnsmasq-base"));
	assert_int_equal(umount(dnsmasq), 0);
	assert_remove(fixture, NETWORK_CHANGED);
	assert_nothing_left(fixture);
}

static void ports_keep_the_bridge(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;
	struct ph_error error = { 0 };

	NEEDS_ROOT(state);
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	shell("ip link add phxv7 type veth peer name d7; ip link set phxv7 master phxtest0");
	assert_int_equal(network_remove(&fixture->config, NULL, &error), -EBUSY);
	assert_non_null(strstr(error.why, "phxv7"));
	assert_true(dns_answers("10.213.0.1"));
	shell("ip link delete phxv7");
	assert_remove(fixture, NETWORK_CHANGED);
	assert_nothing_left(fixture);
}

static void configuration_changes(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;

	NEEDS_ROOT(state);
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	fixture->config.subnet = 10U << 24 | 214U << 16; /* another subnet */
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_false(prints("ip address show", "10.213"));
	assert_false(prints("nft list ruleset", "10.213"));
	assert_true(prints("ip address show", "10.214.0.1/24"));
	assert_true(dns_answers("10.214.0.1"));
	assert_ensure(fixture, NETWORK_UNCHANGED, &status);

	snprintf(fixture->config.bridge, sizeof(fixture->config.bridge), "phxtest1");
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	assert_false(prints("ip link show", "phxtest0"));
	assert_false(prints("nft list tables", "phxtest0"));
	assert_ensure(fixture, NETWORK_UNCHANGED, &status);

	snprintf(fixture->config.bridge, sizeof(fixture->config.bridge), "phxtest2");
	assert_remove(fixture, NETWORK_CHANGED);
	assert_nothing_left(fixture);
}

static void bad_configurations(void **state)
{
	struct host_fixture *fixture = *state;
	static const char *const names[] = { "", "-x", "a b", "x;y", "../x", "x\"y" };
	struct network_status status;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		snprintf(fixture->config.bridge, sizeof(fixture->config.bridge), "%s", names[i]);
		assert_int_equal(network_ensure(&fixture->config, &status, NULL), -EINVAL);
	}
}

/* kill -9 at any moment: doing it again completes it, undoing leaves nothing. */
static void killed(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;

	NEEDS_ROOT(state);
	for (int round = 0; round < 24; round++) {
		pid_t child = fork();

		if (child == 0)
			_exit(network_ensure(&fixture->config, &status, NULL) < 0);
		usleep((unsigned int)round * 4000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		if (round % 2)
			assert_true(network_ensure(&fixture->config, &status, NULL) >= 0);
		assert_true(network_remove(&fixture->config, NULL, NULL) >= 0);
		assert_false(prints("ip link show", "phxtest"));
		assert_false(prints("nft list tables", "phoenix"));
		assert_int_equal(forwarder_stop(&fixture->config, NULL), 0); /* none was left */
	}
}

/* ---- packets: a container and the world, each a child in a namespace of its own -------------- */

static pid_t namespace_child(void)
{
	int ready[2];
	char byte = 0;
	pid_t child;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) == 0 && write(ready[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return child;
}

/* A UDP socket made in the namespace of a process. */
static int socket_in(pid_t process)
{
	PH_AUTO_FREE char *path = ph_format("/proc/%d/ns/net", process);
	PH_AUTO_CLOSE int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	PH_AUTO_CLOSE int theirs = open(path, O_RDONLY | O_CLOEXEC);
	int fd;

	assert_int_equal(setns(theirs, CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(ours, CLONE_NEWNET), 0);
	assert_true(fd >= 0);
	return fd;
}

static void bind_to(int fd, const char *address, uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, address, &name.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
}

/* Send from one socket to the world's; the source address the world sees, "" for none. */
static void send_out(int from, int world, char source[16])
{
	struct sockaddr_in target = { .sin_family = AF_INET, .sin_port = htons(7777) };
	struct sockaddr_in seen = { 0 };
	struct pollfd wait = { .fd = world, .events = POLLIN };
	socklen_t length = sizeof(seen);
	char byte;

	source[0] = '\0';
	inet_pton(AF_INET, "198.51.100.2", &target.sin_addr);
	assert_int_equal(sendto(from, "x", 1, 0, (struct sockaddr *)&target, sizeof(target)), 1);
	if (poll(&wait, 1, 1000) == 1 &&
	    recvfrom(world, &byte, 1, 0, (struct sockaddr *)&seen, &length) == 1)
		inet_ntop(AF_INET, &seen.sin_addr, source, 16);
}

static void packets(void **state)
{
	struct host_fixture *fixture = *state;
	struct network_status status;
	pid_t container, world;
	int inside, forged, outside;
	char source[16];

	NEEDS_ROOT(state);
	assert_ensure(fixture, NETWORK_CHANGED, &status);
	container = namespace_child();
	world = namespace_child();
	shell("ip link add up0 type veth peer name eth0 netns %d; ip link set up0 up; "
	      "ip address add 198.51.100.1/24 dev up0; "
	      "nsenter -t %d -n sh -c 'ip link set eth0 up; ip address add 198.51.100.2/24 dev eth0'",
	      world, world);
	shell("ip link add phxv1 type veth peer name eth0 netns %d; "
	      "ip link set phxv1 master phxtest0 up; nsenter -t %d -n sh -c 'ip link set eth0 up; "
	      "ip address add 10.213.0.9/24 dev eth0; ip address add 203.0.113.9/32 dev eth0; "
	      "ip route add default via 10.213.0.1'",
	      container, container);
	inside = socket_in(container);
	forged = socket_in(container);
	outside = socket_in(world);
	bind_to(inside, "10.213.0.9", 5555);
	bind_to(forged, "203.0.113.9", 5556);
	bind_to(outside, "198.51.100.2", 7777);

	send_out(inside, outside, source);
	assert_string_equal(source, "198.51.100.1"); /* masqueraded */
	send_out(forged, outside, source);
	assert_string_equal(source, ""); /* dropped */
	send_out(inside, outside, source);
	assert_string_equal(source, "198.51.100.1");

	close(inside);
	close(forged);
	close(outside);
	kill(container, SIGKILL);
	kill(world, SIGKILL);
	waitpid(container, NULL, 0);
	waitpid(world, NULL, 0);
	shell("ip link delete phxv1 2>/dev/null || true");
	assert_remove(fixture, NETWORK_CHANGED);
	assert_nothing_left(fixture);
}

static const struct {
	const char *name;
	bool dns;
	const char *host; /* resolv.conf of the host */
	int expected;
	const char *text;
} resolv_cases[] = {
	{ "our forwarder", true, "", 0, "nameserver 10.213.0.1\n" },
	{ "the host's", false, "search x\nnameserver 192.0.2.53\n", 0, "nameserver 192.0.2.53\n" },
	{ "two of them", false, "nameserver 192.0.2.53\n nameserver 2001:db8::53\noptions x\n", 0,
	  "nameserver 192.0.2.53\nnameserver 2001:db8::53\n" },
	{ "only the host itself", false, "nameserver 127.0.0.53\nnameserver ::1\n", -ENOENT, NULL },
	{ "none", false, "# nothing\n", -ENOENT, NULL },
	{ "garbage", false, "nameserver $(reboot)\n", -ENOENT, NULL },
};

static void resolv_confs(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *path = NULL;

	NEEDS_ROOT(state);
	path = host_fixture_path(fixture, "resolv.conf");
	for (size_t i = 0; i < ARRAY_LENGTH(resolv_cases); i++) {
		PH_AUTO_FREE char *text = NULL;
		FILE *file = fopen(path, "we");

		fputs(resolv_cases[i].host, file);
		fclose(file);
		assert_int_equal(mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
		fixture->config.dns = resolv_cases[i].dns;
		assert_int_equal(network_resolv_conf(&fixture->config, &text, NULL),
				 resolv_cases[i].expected);
		if (resolv_cases[i].text)
			assert_string_equal(text, resolv_cases[i].text);
		assert_int_equal(umount("/etc/resolv.conf"), 0);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(made_found_and_undone),
		TEST(repaired),
		TEST(forwarder_is_replaced_when_dead),
		TEST(refused),
		TEST(foreign_empty_bridge_is_adopted_and_kept),
		TEST(findings),
		TEST(poor_hosts),
		TEST(ports_keep_the_bridge),
		TEST(configuration_changes),
		TEST(bad_configurations),
		TEST(killed),
		TEST(packets),
		TEST(resolv_confs),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: networks need root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
