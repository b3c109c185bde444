/*
 * A whole fleet on one controller: N real phoenix-agent processes and a real phoenixd (tests/fleet). How
 * long until all are connected, what the operator waits for their health, what an agent costs in memory,
 * what their heartbeats cost, and how soon all are back after kill -9 of phoenixd. The floor of the same run
 * is fleet_floor.h's. Prints JSON; needs root.
 *
 *   bench-fleet N [BIN]      BIN: folder of the programs (default: ../bin beside this one)
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/bench/fleet_floor.h"
#include "tests/fleet/fleet.h"

#define ROUNDS 5
#define IDLE_SECONDS 30 /* three heartbeats and two looks at the whole fleet */
#define STORM_SECONDS 300
#define RESTART_SECONDS 120
#define SAMPLE 100 /* agents whose memory is read */
#define MS(nanoseconds) ((double)(nanoseconds) / 1e6)

/* Bytes on the wire, frame headers included, as strace shows them for containers without Docker. */
static const struct floor_sizes sizes = { .request = 43, .reply = 205, .heartbeat = 25, .taken = 8 };

struct memory {
	uint64_t resident, proportional; /* KiB */
};

struct figures {
	struct floor_figures floor;
	double storm_ms, restart_ms, killed_ms;
	double api_ms[ROUNDS], cli_ms[ROUNDS], json_ms[ROUNDS];
	size_t listed, told, connected_before, connected_after;
	unsigned int pushes, pushes_after;
	double storm_seconds, restart_seconds; /* of a processor, phoenixd's */
	double heartbeat_percent, agent_percent;
	struct memory controller, agent;
	double kernel_kib_each, all_kib_each;
};

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double median(const double *values, size_t count)
{
	double sorted[16];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	return sorted[count / 2];
}

/* ---- what /proc says ---- */

static uint64_t read_field(const char *path, const char *field)
{
	PH_AUTO_FILE FILE *file = fopen(path, "re");
	char line[256];
	uint64_t value = 0;

	while (file && fgets(line, sizeof(line), file))
		if (text_has_prefix(line, field))
			value = strtoull(line + strlen(field), NULL, 10);
	return value;
}

static struct memory memory_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	return (struct memory){ read_field(path, "Rss:"), read_field(path, "Pss:") };
}

/* Processor seconds of a process, and of its children that have ended. */
static double seconds_of(pid_t pid)
{
	PH_AUTO_FILE FILE *file = NULL;
	unsigned long user = 0, system = 0, child_user = 0, child_system = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu",
			    &user, &system, &child_user, &child_system) != 4)
		return 0;
	return (double)(user + system + child_user + child_system) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds_of_agents(const struct fleet *fleet)
{
	double total = 0;

	for (size_t i = 0; i < fleet->count; i++)
		total += seconds_of(fleet->shared->agents[i]);
	return total;
}

static struct memory memory_of_agents(const struct fleet *fleet)
{
	size_t step = fleet->count > SAMPLE ? fleet->count / SAMPLE : 1, count = 0;
	struct memory total = { 0 };

	for (size_t i = 0; i < fleet->count; i += step, count++) {
		struct memory one = memory_of(fleet->shared->agents[i]);

		total.resident += one.resident;
		total.proportional += one.proportional;
	}
	return (struct memory){ total.resident / count, total.proportional / count };
}

/* ---- the questions ---- */

static int count_containers(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ListReply *item = (const Phoenix__ListReply *)message;
	struct figures *figures = user;

	figures->listed += item->n_containers;
	for (size_t i = 0; i < item->n_containers; i++) {
		figures->connected_after += text_equal(item->containers[i]->agent_state, "connected");
		figures->told += item->containers[i]->claimed_ms != 0;
	}
	return 0;
}

static double ask_api(struct fleet *fleet, struct figures *figures)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct client *client = fleet_connect(fleet, 60000);
	struct ph_error error = { 0 };
	uint64_t start = fleet_now(), end;

	figures->listed = figures->told = figures->connected_after = 0;
	if (client_collect(client, "Health", &request.base, count_containers, figures, &error) < 0) {
		fprintf(stderr, "bench-fleet: health: %s\n", error.why);
		errno = -error.code;
		fleet_die(fleet, "health");
	}
	end = fleet_now();
	client_close(client);
	return MS(end - start);
}

/* Wait until every agent has told how it is, which it is asked for when its session begins. */
static void await_claims(struct fleet *fleet, struct figures *figures)
{
	uint64_t end = fleet_now() + STORM_SECONDS * UINT64_C(1000000000);

	for (ask_api(fleet, figures); figures->told < fleet->count; ask_api(fleet, figures)) {
		if (fleet_now() > end) {
			errno = ETIMEDOUT;
			fleet_die(fleet, "the first answers about health");
		}
		usleep(100000);
	}
}

/* As an operator asks, who sends the output elsewhere; or a script, which wants "--json". */
static double ask_cli(struct fleet *fleet, const char *option)
{
	char program[320], address[128];
	uint64_t start = fleet_now();
	int status = 0;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/phoenixctl", fleet->bin);
	snprintf(address, sizeof(address), "%s/control.sock", fleet->run_dir);
	pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(127);
		execl(program, "phoenixctl", "--socket", address, "health", option, NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	/* 3: asked, and some are not ready: nothing was verified here. */
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3))
		fprintf(stderr, "bench-fleet: phoenixctl ended with status %d\n", WEXITSTATUS(status));
	return MS(fleet_now() - start);
}

/* ---- the story ---- */

static void measure_storm(struct fleet *fleet, struct figures *figures, uint64_t *since)
{
	uint64_t slab = read_field("/proc/meminfo", "SUnreclaim:") + read_field("/proc/meminfo", "KernelStack:") +
			read_field("/proc/meminfo", "PageTables:");
	uint64_t free_before = read_field("/proc/meminfo", "MemAvailable:");
	uint64_t start = fleet_now(), after;

	fleet_start(fleet);
	figures->connected_before = fleet_wait_connected(fleet, STORM_SECONDS, since);
	figures->storm_ms = MS(fleet_now() - start);
	figures->storm_seconds = seconds_of(fleet->daemon);
	figures->pushes = fleet->shared->pushes;
	await_claims(fleet, figures);
	after = read_field("/proc/meminfo", "SUnreclaim:") + read_field("/proc/meminfo", "KernelStack:") +
		read_field("/proc/meminfo", "PageTables:");
	figures->kernel_kib_each = ((double)after - (double)slab) / (double)fleet->count;
	figures->all_kib_each = ((double)free_before -
				 (double)read_field("/proc/meminfo", "MemAvailable:")) /
				(double)fleet->count;
	figures->controller = memory_of(fleet->daemon);
	figures->agent = memory_of_agents(fleet);
}

static void measure_idle(struct fleet *fleet, struct figures *figures)
{
	double own = seconds_of(fleet->daemon), agents = seconds_of_agents(fleet);
	uint64_t start = fleet_now();
	double seconds;

	sleep(IDLE_SECONDS);
	seconds = MS(fleet_now() - start) / 1000;
	figures->heartbeat_percent = (seconds_of(fleet->daemon) - own) / seconds * 100;
	figures->agent_percent = (seconds_of_agents(fleet) - agents) / seconds * 100 /
				 (double)fleet->count;
}

/* phoenixd is started again 200 ms after its end, as its unit says. */
static void measure_restart(struct fleet *fleet, struct figures *figures, uint64_t *since)
{
	uint64_t killed = fleet_now(), started;

	fleet_kill(fleet);
	usleep(200000);
	started = fleet_now();
	fleet_start(fleet);
	if (fleet_wait_connected(fleet, RESTART_SECONDS, since) < fleet->count)
		fprintf(stderr, "bench-fleet: not all agents are back\n");
	figures->restart_ms = MS(fleet_now() - started);
	figures->killed_ms = MS(fleet_now() - killed);
	figures->restart_seconds = seconds_of(fleet->daemon);
	await_claims(fleet, figures);
	figures->pushes_after = fleet->shared->pushes - figures->pushes;
}

static void print_rounds(const char *name, const double *values, size_t count)
{
	printf("  \"%s\": [", name);
	for (size_t i = 0; i < count; i++)
		printf("%s%.2f", i ? ", " : "", values[i]);
	printf("],\n");
}

static void print_machine(void)
{
	struct utsname name;
	char date[32];
	time_t now = time(NULL);

	uname(&name);
	strftime(date, sizeof(date), "%Y-%m-%d", gmtime(&now));
	printf("  \"date\": \"%s\", \"kernel\": \"%s\", \"processors\": %ld, \"memory_mib\": %llu,\n", date,
	       name.release, sysconf(_SC_NPROCESSORS_ONLN),
	       (unsigned long long)read_field("/proc/meminfo", "MemTotal:") / 1024);
}

static void report(size_t count, const struct figures *figures)
{
	const struct floor_figures *floor = &figures->floor;
	double api = median(figures->api_ms, ROUNDS), cli = median(figures->cli_ms, ROUNDS);
	double query = median(floor->query, FLOOR_ROUNDS);

	printf("{\n  \"benchmark\": \"fleet\", \"agents\": %zu,\n", count);
	print_machine();
	printf("  \"real\": \"phoenixd (release, unprivileged user, seccomp), phoenix-agent (release, root of a user "
	       "and pid namespace of its own), phoenixctl, keys, handshake, look at the peer's id map, control "
	       "group and pid namespace\",\n");
	printf("  \"faked\": \"phoenix-host and LXC (no root file system, network, bind mount, Docker; one copy of "
	       "the agent's program for all), AppArmor, the records of the containers\",\n");
	printf("  \"floor\": {\"storm_ms\": %.1f, \"query_ms\": %.2f, \"restart_ms\": %.1f, "
	       "\"heartbeat_percent\": %.3f},\n",
	       floor->storm, query, floor->restart, floor->heartbeat_percent);
	print_rounds("floor_query_rounds_ms", floor->query, FLOOR_ROUNDS);
	printf("  \"storm\": {\"ms\": %.1f, \"phoenixd_processor_ms\": %.0f, \"connected\": %zu, \"pushes\": %u},\n",
	       figures->storm_ms, figures->storm_seconds * 1000, figures->connected_before, figures->pushes);
	printf("  \"health\": {\"api_ms\": %.2f, \"cli_ms\": %.2f, \"json_ms\": %.2f},\n", api, cli,
	       median(figures->json_ms, ROUNDS));
	print_rounds("health_api_rounds_ms", figures->api_ms, ROUNDS);
	print_rounds("health_cli_rounds_ms", figures->cli_ms, ROUNDS);
	print_rounds("health_json_rounds_ms", figures->json_ms, ROUNDS);
	printf("  \"memory_kib\": {\"phoenixd_rss\": %llu, \"phoenixd_pss\": %llu, \"agent_rss\": %llu, "
	       "\"agent_pss\": %llu, \"kernel_each\": %.1f, \"everything_each\": %.1f},\n",
	       (unsigned long long)figures->controller.resident,
	       (unsigned long long)figures->controller.proportional,
	       (unsigned long long)figures->agent.resident,
	       (unsigned long long)figures->agent.proportional, figures->kernel_kib_each,
	       figures->all_kib_each);
	printf("  \"idle\": {\"seconds\": %d, \"phoenixd_percent\": %.2f, \"agent_percent_each\": %.4f},\n",
	       IDLE_SECONDS, figures->heartbeat_percent, figures->agent_percent);
	printf("  \"restart\": {\"from_start_ms\": %.1f, \"from_kill_ms\": %.1f, \"phoenixd_processor_ms\": %.0f, \"connected\": %zu, "
	       "\"pushed_anew\": %u},\n",
	       figures->restart_ms, figures->killed_ms, figures->restart_seconds * 1000, figures->connected_after,
	       figures->pushes_after);
	printf("  \"ratio\": {\"storm\": %.2f, \"health_api\": %.2f, \"health_cli\": %.2f, \"restart\": %.2f, "
	       "\"heartbeat\": %.2f}\n}\n",
	       figures->storm_ms / floor->storm, api / query, cli / query,
	       figures->restart_ms / floor->restart,
	       figures->heartbeat_percent / floor->heartbeat_percent);
}

/* The folder of the programs: beside the one that this program is in. */
static void find_programs(char bin[256])
{
	char path[256];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[length < 0 ? 0 : length] = '\0';
	for (int i = 0; i < 2 && strrchr(path, '/'); i++)
		*strrchr(path, '/') = '\0';
	snprintf(bin, 256, "%.250s/bin", path);
}

int main(int count, char **arguments)
{
	struct figures figures = { 0 };
	struct fleet fleet;
	uint64_t agents, since = 0;
	char bin[256];

	find_programs(bin);
	if (count < 2 || count > 3 || text_to_u64(arguments[1], FLEET_MAXIMUM, &agents) < 0 || !agents) {
		fprintf(stderr, "usage: bench-fleet N [BIN]   (N: 1 to %d)\n", FLEET_MAXIMUM);
		return 2;
	}
	if (geteuid() != 0) {
		fprintf(stderr, "bench-fleet: needs root, for the agents' namespaces\n");
		return 1;
	}
	fleet_init(&fleet, count > 2 ? arguments[2] : bin, (size_t)agents, getenv("PH_KEEP") ? FLEET_LOGS : 0);
	floor_measure(fleet.base, fleet.count, &sizes, &figures.floor);
	measure_storm(&fleet, &figures, &since);
	for (size_t i = 0; i < ROUNDS; i++) {
		figures.api_ms[i] = ask_api(&fleet, &figures);
		figures.cli_ms[i] = ask_cli(&fleet, NULL);
		figures.json_ms[i] = ask_cli(&fleet, "--json");
	}
	measure_idle(&fleet, &figures);
	measure_restart(&fleet, &figures, &since);
	report((size_t)agents, &figures);
	if (getenv("PH_KEEP")) {
		fprintf(stderr, "kept: %s\n", fleet.base);
		pause();
	}
	fleet_fini(&fleet);
	return figures.connected_after == agents ? 0 : 1;
}
