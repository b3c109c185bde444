#include "tests/fleet/fleet_host.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/host.pb-c.h"

#define PAGE 256
#define KEY_SIZE 32
#define DATA_ROOT "/var/lib/docker"

struct fleet_host {
	Phoenix__Host_Service service; /* first */
	struct fleet_host_config config;
	uv_loop_t loop;
	struct listener *listener;
	int program; /* the agent's, in memory */
	char groups[256];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "fleet host: %s: %s\n", what, strerror(errno));
	exit(1);
}

void fleet_name(size_t index, char name[64])
{
	snprintf(name, 64, "c%05zu", index);
}

bool fleet_index(const char *name, size_t *ret_index)
{
	char again[64];

	*ret_index = name[0] == 'c' ? strtoul(name + 1, NULL, 10) : FLEET_MAXIMUM;
	if (*ret_index >= FLEET_MAXIMUM)
		return false;
	fleet_name(*ret_index, again);
	return text_equal(name, again);
}

/* Where control groups are: the second version's, or systemd's own of the first. */
static void find_groups(char path[256])
{
	PH_AUTO_FILE FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *entry;

	path[0] = '\0';
	while (mounts && (entry = getmntent(mounts)))
		if (text_equal(entry->mnt_type, "cgroup2") ||
		    (!path[0] && text_equal(entry->mnt_type, "cgroup") &&
		     hasmntopt(entry, "name=systemd")))
			text_copy(path, 256, entry->mnt_dir);
	if (!path[0])
		die("no control groups");
}

/* ---- an agent ---- */

static void write_file(const char *path, const char *text)
{
	PH_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path);
}

static void set_ids(pid_t pid, size_t index)
{
	char path[64], map[64];

	snprintf(map, sizeof(map), "0 %zu %d\n", FLEET_IDS_FIRST + index * FLEET_IDS_EACH,
		 FLEET_IDS_EACH);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	write_file(path, map);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	write_file(path, map);
}

static void set_group(const struct fleet_host *host, pid_t pid, const char *name)
{
	char path[400], text[16];

	snprintf(path, sizeof(path), "%s/phoenix.payload.%s", host->groups, name);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		die(path);
	snprintf(path, sizeof(path), "%s/phoenix.payload.%s/cgroup.procs", host->groups, name);
	snprintf(text, sizeof(text), "%d", pid);
	write_file(path, text);
}

static void open_log(const struct fleet_host *host, const char *name)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", host->config.log_dir ? host->config.log_dir : "",
		 name);
	fd = open(host->config.log_dir ? path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

/* In the new process, which waits until it has its ids. */
static _Noreturn void become_agent(const struct fleet_host *host,
				   const Phoenix__AgentPushRequest *push, int ready, int key)
{
	char address[256], byte, *none[] = { NULL };
	const char *arguments[] = {
		"phoenix-agent", "--socket", address,    "--boot-id", push->boot_id,
		"--name",        push->name, "--key-fd", "3",         NULL
	};
	struct rlimit few = { 1024, 4096 };

	snprintf(address, sizeof(address), "unix:%s/agents/%s/agent.sock", host->config.run_dir,
		 push->name);
	if (read(ready, &byte, 1) != 1 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		_exit(1);
	open_log(host, push->name);
	if (host->config.has_mounts &&
	    (unshare(CLONE_NEWNS) < 0 ||
	     mount("fleet", DATA_ROOT, "tmpfs", 0, "mode=711,size=64m") < 0))
		_exit(1);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_NOFILE, &few);
	if (key == 3)
		fcntl(key, F_SETFD, 0);
	else if (dup2(key, 3) < 0)
		_exit(1);
	fexecve(host->program, (char **)arguments, none);
	_exit(1);
}

static pid_t start_agent(const struct fleet_host *host, const Phoenix__AgentPushRequest *push,
			 size_t index)
{
	int ready[2], key[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(key, O_CLOEXEC) < 0 ||
	    write(key[1], push->key.data, KEY_SIZE) != KEY_SIZE)
		die("pipe");
	close(key[1]);
	pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL,
			     NULL);
	if (pid < 0)
		die("clone");
	if (pid == 0)
		become_agent(host, push, ready[0], key[0]);
	set_ids(pid, index);
	set_group(host, pid, push->name);
	if (write(ready[1], "g", 1) != 1)
		die("pipe");
	close(ready[0]);
	close(ready[1]);
	close(key[0]);
	return pid;
}

/* ---- verbs ---- */

static void agent_push(Phoenix__Host_Service *service, const Phoenix__AgentPushRequest *input,
		       Phoenix__AgentPushReply_Closure reply, void *request)
{
	struct fleet_host *host = (struct fleet_host *)service;
	Phoenix__AgentPushReply answer = PHOENIX__AGENT_PUSH_REPLY__INIT;
	pid_t before;
	size_t index;

	if (input->key.len != KEY_SIZE || !fleet_index(input->name, &index) ||
	    index >= host->config.count) {
		rpc_fail(request, &(struct ph_error){ .code = -ENOENT });
		return;
	}
	before = atomic_load(&host->config.shared->agents[index]);
	if (before > 0 && input->spare_living && kill(before, 0) == 0) {
		answer.pid = (uint32_t)before;
		answer.spared = true;
		reply(&answer, request);
		return;
	}
	if (before > 0)
		kill(before, SIGKILL);
	answer.pid = (uint32_t)start_agent(host, input, index);
	atomic_store(&host->config.shared->agents[index], (pid_t)answer.pid);
	atomic_fetch_add(&host->config.shared->pushes, 1);
	reply(&answer, request);
}

static void observe(const struct fleet_host *host, size_t index, char name[64],
		    Phoenix__ContainerObservation *ret_observed)
{
	phoenix__container_observation__init(ret_observed);
	fleet_name(index, name);
	ret_observed->name = name;
	ret_observed->exists = index < host->config.count;
	ret_observed->running = ret_observed->exists;
	ret_observed->init_pid = 1;
	ret_observed->processes = 1;
}

static void container_list(Phoenix__Host_Service *service,
			   const Phoenix__ContainerListRequest *input,
			   Phoenix__ContainerListReply_Closure reply, void *request)
{
	struct fleet_host *host = (struct fleet_host *)service;
	Phoenix__ContainerListReply answer = PHOENIX__CONTAINER_LIST_REPLY__INIT;
	Phoenix__ContainerObservation items[PAGE], *list[PAGE];
	char names[PAGE][64];
	size_t index = 0;

	if (input->after[0] && fleet_index(input->after, &index))
		index++;
	for (; index < host->config.count && answer.n_containers < PAGE; index++) {
		size_t at = answer.n_containers++;

		observe(host, index, names[at], &items[at]);
		list[at] = &items[at];
	}
	answer.containers = list;
	answer.more = index < host->config.count;
	reply(&answer, request);
}

static void container_observe(Phoenix__Host_Service *service,
			      const Phoenix__ContainerRequest *input,
			      Phoenix__ContainerObservation_Closure reply, void *request)
{
	struct fleet_host *host = (struct fleet_host *)service;
	Phoenix__ContainerObservation answer;
	char name[64];
	size_t index;

	fleet_index(input->name, &index);
	observe(host, index, name, &answer);
	reply(&answer, request);
}

static void probe(Phoenix__Host_Service *service, const Phoenix__ProbeRequest *input,
		  Phoenix__ProbeReply_Closure reply, void *request)
{
	Phoenix__ProbeReply answer = PHOENIX__PROBE_REPLY__INIT;

	answer.apparmor_reason = (char *)"a fleet of processes";
	answer.apparmor_remedy = (char *)"none";
	reply(&answer, request);
}

static void unwatch(void *user)
{
	rpc_end(user);
}

/* Nothing is ever denied. */
static void denials_watch(Phoenix__Host_Service *service, const Phoenix__DenialsWatchRequest *input,
			  Phoenix__DenialsItem_Closure reply, void *request)
{
	rpc_request_on_cancel(request, unwatch, request);
}

static void refuse(Phoenix__Host_Service *service, const ProtobufCMessage *input,
		   ProtobufCClosure reply, void *request)
{
	struct ph_error error;

	error_set(&error, -ENOSYS, NULL, NULL, "a fleet of processes has no such verb");
	rpc_fail(request, &error);
}

/* All verbs are refused but these. */
static void fill_service(Phoenix__Host_Service *service)
{
	*service = (Phoenix__Host_Service){ .base = { &phoenix__host__descriptor,
						      protobuf_c_service_invoke_internal, NULL } };
	for (unsigned int i = 0; i < phoenix__host__descriptor.n_methods; i++)
		((__typeof__(&refuse) *)(&service->base + 1))[i] = refuse;
	service->agent_push = agent_push;
	service->container_list = container_list;
	service->container_observe = container_observe;
	service->probe = probe;
	service->denials_watch = denials_watch;
}

/* ---- the process ---- */

static int load_program(const char *path)
{
	PH_AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
	int memory = memfd_create("phoenix-agent", MFD_CLOEXEC);
	struct stat status;

	if (file < 0 || memory < 0 || fstat(file, &status) < 0 ||
	    sendfile(memory, file, NULL, (size_t)status.st_size) != status.st_size)
		die(path);
	fchmod(memory, 0555);
	/* Over /proc, for no process may execute what is open for writing. */
	char again[64];

	snprintf(again, sizeof(again), "/proc/self/fd/%d", memory);
	file = open(again, O_RDONLY | O_CLOEXEC);
	close(memory);
	return take_fd(&file);
}

/* What the agents see of a system: one that systemd runs, so that they don't look after dockerd. */
static void make_system(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("fleet", "/run", "tmpfs", 0, "mode=755") < 0 || mkdir("/run/systemd", 0755) < 0 ||
	    mkdir("/run/systemd/system", 0755) < 0 ||
	    mount("fleet", "/var/lib", "tmpfs", 0, "mode=755") < 0 || mkdir(DATA_ROOT, 0755) < 0)
		die("make a mount namespace");
}

static void connection_closed(void *user, const struct ph_error *error)
{
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	static const char *const streaming[] = { "DenialsWatch", NULL };
	struct fleet_host *host = user;
	const struct channel_config config = { .service = &host->service.base,
					       .streaming = streaming,
					       .closed = connection_closed };
	struct channel *channel;

	channel_open(&host->loop, fd, &config, &channel);
}

static _Noreturn void serve(const struct fleet_host_config *config)
{
	static struct fleet_host host;
	struct address address = { .family = ADDRESS_UNIX };
	struct ph_error error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	host.config = *config;
	fill_service(&host.service);
	find_groups(host.groups);
	host.program = load_program(config->agent);
	make_system();
	uv_loop_init(&host.loop);
	snprintf(address.path, sizeof(address.path), "%s/host.sock", config->run_dir);
	if (listener_open(&host.loop, &address, 0666, accepted, &host, &host.listener, &error) <
	    0) {
		fprintf(stderr, "fleet host: %s\n", error.why);
		exit(1);
	}
	uv_run(&host.loop, UV_RUN_DEFAULT);
	exit(1);
}

pid_t fleet_host_start(const struct fleet_host_config *config)
{
	pid_t pid = fork();

	if (pid == 0)
		serve(config);
	return pid;
}

void fleet_host_clean(size_t count)
{
	char groups[256], path[400], name[64];

	find_groups(groups);
	for (size_t i = 0; i < count; i++) {
		fleet_name(i, name);
		snprintf(path, sizeof(path), "%s/phoenix.payload.%s", groups, name);
		for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < 500; tries++)
			usleep(10000);
	}
}
