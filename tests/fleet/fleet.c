#include "tests/fleet/fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/handshake.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/store/store.h"
#include "proto/state.pb-c.h"

#define USER "nobody" /* phoenixd's, in the place of "phoenix" */
#define SUBNET 0x0ad10000 /* 10.209.0.0 */
#define BATCH 100
#define DESCRIPTORS 131072

uint64_t fleet_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

_Noreturn void fleet_die(struct fleet *fleet, const char *what)
{
	fprintf(stderr, "fleet: %s: %s\n", what, strerror(errno));
	fleet_fini(fleet);
	exit(1);
}

static void give_away(struct fleet *fleet, const char *path)
{
	const struct passwd *user = getpwnam(USER);

	if (!user || chown(path, user->pw_uid, user->pw_gid) < 0)
		fleet_die(fleet, path);
}

static void make_directory(struct fleet *fleet, const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0)
		fleet_die(fleet, path);
	give_away(fleet, path);
}

static void write_file(struct fleet *fleet, const char *path, mode_t mode, const void *bytes,
		       size_t length)
{
	PH_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		fleet_die(fleet, path);
}

/* ---- the state ---- */

static void make_container(struct fleet *fleet, size_t index)
{
	uint8_t key[HANDSHAKE_KEY_SIZE];
	char path[256], name[64];

	fleet_name(index, name);
	snprintf(path, sizeof(path), "%s/agents/%s", fleet->run_dir, name);
	make_directory(fleet, path, 0755);
	handshake_random(key, sizeof(key));
	snprintf(path, sizeof(path), "%s/db/keys/%s", fleet->state_dir, name);
	write_file(fleet, path, 0600, key, sizeof(key));
	give_away(fleet, path);
}

/* As phoenixd writes it when a container has been made. */
static uint8_t *make_record(size_t index, const char *name, size_t *ret_length)
{
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__IdRange ids = PHOENIX__ID_RANGE__INIT;
	char address[16], incarnation[33];
	uint8_t random[16];

	handshake_random(random, sizeof(random));
	spec.name = (char *)name;
	spec.image = (char *)"base";
	spec.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
	spec.storage_driver = (char *)"fuse-overlayfs";
	spec.docker_source = (char *)"none";
	ids.first = (uint32_t)(FLEET_IDS_FIRST + index * FLEET_IDS_EACH);
	ids.count = FLEET_IDS_EACH;
	record.spec = &spec;
	record.ids = &ids;
	record.address = ipv4_to_text((uint32_t)(SUBNET + 2 + index), address);
	record.slot = (uint32_t)index;
	record.incarnation = bytes_to_hex(random, sizeof(random), incarnation);
	record.phase = (char *)"running";
	return message_pack(&record, ret_length);
}

static void commit(struct fleet *fleet, struct store *store, size_t first)
{
	struct store_operation puts[BATCH];
	char keys[BATCH][96], name[64];
	size_t count = 0, length;

	for (; count < BATCH && first + count < fleet->count; count++) {
		fleet_name(first + count, name);
		snprintf(keys[count], sizeof(keys[count]), "container/%s", name);
		puts[count].type = STORE_PUT;
		puts[count].key = keys[count];
		puts[count].value = make_record(first + count, name, &length);
		puts[count].length = length;
	}
	if (store_commit(store, NULL, 0, puts, count, NULL, NULL) != 0)
		fleet_die(fleet, "store");
	for (size_t i = 0; i < count; i++)
		free((void *)puts[i].value);
}

static int give_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	const struct passwd *user = getpwnam(USER);

	return chown(path, user->pw_uid, user->pw_gid);
}

static void make_state(struct fleet *fleet)
{
	struct store *store;
	char path[256];

	snprintf(path, sizeof(path), "%s/db", fleet->state_dir);
	make_directory(fleet, path, 0700);
	snprintf(path, sizeof(path), "%s/db/keys", fleet->state_dir);
	make_directory(fleet, path, 0700);
	snprintf(path, sizeof(path), "%s/agents", fleet->run_dir);
	make_directory(fleet, path, 0755);
	for (size_t i = 0; i < fleet->count; i++)
		make_container(fleet, i);
	snprintf(path, sizeof(path), "%s/db/state.db", fleet->state_dir);
	if (store_open(path, &store, NULL) < 0)
		fleet_die(fleet, path);
	for (size_t i = 0; i < fleet->count; i += BATCH)
		commit(fleet, store, i);
	store_close(store);
	snprintf(path, sizeof(path), "%s/db", fleet->state_dir);
	nftw(path, give_one, 16, FTW_PHYS);
}

static void make_config(struct fleet *fleet)
{
	char path[256], text[512];
	int length = snprintf(text, sizeof(text),
			      "user: " USER "\ngroup: nogroup\nrun_dir: %s\nstate_dir: %s\n",
			      fleet->run_dir, fleet->state_dir);

	snprintf(path, sizeof(path), "%s/config.yaml", fleet->base);
	write_file(fleet, path, 0644, text, (size_t)length);
}

/* phoenixd has two for each agent: where it listens, and the session. */
static void raise_descriptors(size_t count)
{
	struct rlimit limit = { DESCRIPTORS, DESCRIPTORS };

	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= 2 * count + 100)
		return;
	fprintf(stderr, "fleet: %zu agents need %zu descriptors, and this machine grants %llu: ulimit -n\n",
		count, 2 * count + 100, (unsigned long long)limit.rlim_cur);
	exit(1);
}

void fleet_init(struct fleet *fleet, const char *bin, size_t count, unsigned int flags)
{
	struct fleet_host_config host = { .run_dir = fleet->run_dir, .count = count };
	char path[320];

	*fleet = (struct fleet){ .count = count, .base = "/tmp/phxf-XXXXXX" };
	text_copy(fleet->bin, sizeof(fleet->bin), bin);
	umask(0022);
	raise_descriptors(count);
	if (!mkdtemp(fleet->base) || chmod(fleet->base, 0755) < 0)
		fleet_die(fleet, fleet->base);
	snprintf(fleet->run_dir, sizeof(fleet->run_dir), "%s/r", fleet->base);
	snprintf(fleet->state_dir, sizeof(fleet->state_dir), "%s/s", fleet->base);
	snprintf(fleet->log_dir, sizeof(fleet->log_dir), "%s/l", fleet->base);
	make_directory(fleet, fleet->run_dir, 0755);
	make_directory(fleet, fleet->state_dir, 0755);
	make_directory(fleet, fleet->log_dir, 0755);
	if (chmod(fleet->log_dir, 0777) < 0)
		fleet_die(fleet, fleet->log_dir);
	make_state(fleet);
	make_config(fleet);
	snprintf(path, sizeof(path), "%s/phoenixd.log", fleet->base);
	fleet->daemon_log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	fleet->shared = mmap(NULL, sizeof(*fleet->shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "%s/phoenix-agent", bin);
	host.agent = path;
	host.log_dir = flags & FLEET_LOGS ? fleet->log_dir : NULL;
	host.has_mounts = flags & FLEET_MOUNTS;
	host.shared = fleet->shared;
	fleet->host = fleet_host_start(&host);
}

/* ---- its processes ---- */

void fleet_start(struct fleet *fleet)
{
	char program[320], config[128];
	const struct passwd *user = getpwnam(USER);
	pid_t parent = getpid();

	snprintf(program, sizeof(program), "%s/phoenixd", fleet->bin);
	snprintf(config, sizeof(config), "%s/config.yaml", fleet->base);
	fleet->daemon = fork();
	if (fleet->daemon < 0)
		fleet_die(fleet, "fork");
	if (fleet->daemon > 0)
		return;
	/* As its unit starts it; and a process that then changes its user itself would outlive us. */
	if (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	dup2(fleet->daemon_log, STDERR_FILENO);
	execl(program, "phoenixd", "--config", config, NULL);
	_exit(127);
}

void fleet_kill(struct fleet *fleet)
{
	if (fleet->daemon <= 0)
		return;
	kill(fleet->daemon, SIGKILL);
	waitpid(fleet->daemon, NULL, 0);
	fleet->daemon = 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	return remove(path);
}

void fleet_fini(struct fleet *fleet)
{
	fleet_kill(fleet);
	for (size_t i = 0; fleet->shared && i < fleet->count; i++)
		if (atomic_load(&fleet->shared->agents[i]) > 0)
			kill(atomic_load(&fleet->shared->agents[i]), SIGKILL);
	if (fleet->host > 0) {
		kill(fleet->host, SIGKILL);
		waitpid(fleet->host, NULL, 0);
		fleet_host_clean(fleet->count);
	}
	if (fleet->shared)
		munmap(fleet->shared, sizeof(*fleet->shared));
	if (fleet->daemon_log > 0)
		close(fleet->daemon_log);
	nftw(fleet->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*fleet = (struct fleet){ 0 };
}

struct client *fleet_connect(struct fleet *fleet, uint32_t timeout_ms)
{
	uint64_t end = fleet_now() + 60 * UINT64_C(1000000000);
	struct client *client = NULL;
	char address[128];
	struct ph_error error;

	snprintf(address, sizeof(address), "unix:%s/control.sock", fleet->run_dir);
	while (client_open(address, timeout_ms, &client, &error) < 0) {
		if (fleet_now() > end || waitpid(fleet->daemon, NULL, WNOHANG) != 0) {
			errno = -error.code;
			fleet_die(fleet, "phoenixd does not answer; see its log");
		}
		usleep(5000);
	}
	return client;
}

struct waiting {
	size_t wanted, connected;
	uint64_t since;
	bool is_connected[FLEET_MAXIMUM];
};

static int count_sessions(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__EventsItem *item = (const Phoenix__EventsItem *)message;
	struct waiting *waiting = user;

	for (size_t i = 0; i < item->n_events; i++) {
		size_t index;

		waiting->since = item->events[i]->seq + 1;
		if (!text_equal(item->events[i]->type, "agent.connected") ||
		    !fleet_index(item->events[i]->container, &index))
			continue;
		waiting->connected += !waiting->is_connected[index];
		waiting->is_connected[index] = true;
	}
	return waiting->connected >= waiting->wanted ? -ECANCELED : 0;
}

size_t fleet_wait_connected(struct fleet *fleet, unsigned int seconds, uint64_t *since)
{
	PH_AUTO_FREE struct waiting *waiting = ph_alloc(sizeof(*waiting));
	Phoenix__EventsRequest request = PHOENIX__EVENTS_REQUEST__INIT;
	struct client *client = fleet_connect(fleet, seconds * 1000);
	struct ph_error error;

	waiting->wanted = fleet->count;
	waiting->since = *since;
	request.since = *since;
	request.follow = true;
	client_collect(client, "Events", &request.base, count_sessions, waiting, &error);
	client_close(client);
	*since = waiting->since;
	return waiting->connected;
}
