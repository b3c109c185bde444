/*
 * Two nested containers. The first waits while it is looked at: by the host, and through exec. The
 * second is made of the built layers, on the bridge, and is started twice: what it wrote the first
 * time has to be there the second time.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "agent/storage/docker_run.h"
#include "common/cleanup.h"
#include "common/str.h"

#define HOLD_MS 5000
#define REACHED_MS 2000 /* for what a container that has ended sent over the bridge */

#define LOOK "journalctl -u docker in the container; AppArmor messages in the host's kernel log"

static void take_lines(struct nested_words *words, char *text)
{
	char *place = NULL;

	*words = (struct nested_words){ 0 };
	for (char *line = strtok_r(text, "\n", &place); line; line = strtok_r(NULL, "\n", &place))
		nested_take_line(words, line);
}

/* ---- the first one ---- */

static void close_input(struct docker_run *run)
{
	if (run->input >= 0)
		close(run->input);
	run->input = -1;
}

/* Where the driver keeps the container's layer: it has to be gone afterwards. */
static void note_layer(struct docker_run *run)
{
	const char *const inspect[] = { "inspect", "--format", "{{.GraphDriver.Data.MergedDir}}",
					run->name, NULL };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	char *slash;

	if (docker_run_command(inspect, DOCKER_INFO_MS, &ended, NULL) < 0 ||
	    ended.output[0] != '/')
		return;
	ended.output[strcspn(ended.output, "\n")] = '\0';
	slash = strrchr(ended.output, '/');
	*slash = '\0';
	text_copy(run->layer, sizeof(run->layer), ended.output);
}

static void check_exec(struct docker_run *run)
{
	const char *const exec[] = { "exec", run->name, "/phoenix-agent", "nested", "exec",
				     run->nonce, NULL };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	struct nested_words words;

	if (docker_run_command(exec, DOCKER_RUN_MS, &ended, &error) < 0) {
		outcome_fail(&outcome, 0, "%s", error.why);
	} else {
		take_lines(&words, ended.output);
		if (text_equal(words.nonce, run->nonce))
			outcome_pass(&outcome, "a second program ran in it");
		else
			outcome_fail(&outcome, 0, "it answered '%s'", words.nonce);
	}
	docker_run_add(run, "docker.exec", "a program is started in a running container", LOOK,
		       &outcome);
}

/* The nested program waits now: let the host look, look ourselves, then let it end. */
static void nested_is_ready(struct docker_run *run)
{
	struct pollfd held = { .fd = run->wanted->hold_fd, .events = POLLIN };
	struct outcome outcome = { 0 };

	outcome_pass(&outcome, "%s", run->name);
	docker_run_add(run, "docker.nested-running", "the nested container runs", "", &outcome);
	if (held.fd >= 0)
		poll(&held, 1, HOLD_MS);
	report_begin(run->report);
	check_exec(run);
	note_layer(run);
	report_begin(run->report);
	close_input(run);
}

static void nested_line(void *user, enum command_stream stream, const char *line)
{
	struct docker_run *run = user;
	bool was_ready = run->words.is_ready;

	if (stream != COMMAND_OUTPUT)
		return;
	nested_take_line(&run->words, line);
	if (run->words.is_ready && !was_ready)
		nested_is_ready(run);
}

static int run_nested(struct docker_run *run, struct ph_error *error)
{
	const char *const argv[] = { "docker",    "--host", DOCKER_HOST, "run",   "--rm",
				     "--interactive", "--network", "none", "--name",
				     run->name,   "--label", DOCKER_LABEL, run->image,
				     "/phoenix-agent", "nested", "hold", run->nonce, NULL };
	struct command command = { .argv = argv, .deadline_ms = DOCKER_RUN_MS,
				   .line = nested_line, .user = run };
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(error, -errno, NULL, NULL, "pipe");
	run->input = ends[1];
	command.input_fd = ends[0];
	r = command_succeed(&command, NULL, error);
	close(ends[0]);
	close_input(run);
	return r;
}

static void check_nonce(struct docker_run *run)
{
	struct outcome outcome = { 0 };

	if (text_equal(run->words.nonce, run->nonce))
		outcome_pass(&outcome, "came back");
	else
		outcome_fail(&outcome, 0, "got '%s'", run->words.nonce);
	docker_run_add(run, "docker.nonce", "the nonce comes back from inside",
		       "the docker program is not what it seems: look at which docker", &outcome);
}

/* A copy is no mount of its own: it is of the data-root's type. */
static bool is_data_root_type(const struct docker_run *run, const char *magic)
{
	struct statfs status;
	char expected[32];

	if (statfs(run->wanted->data_root, &status) < 0)
		return false;
	snprintf(expected, sizeof(expected), "%lx", (unsigned long)status.f_type);
	return text_equal(expected, magic);
}

/* fuse-overlayfs 1.x mounts type fuse.fuse-overlayfs, 2.x type fuse. */
static bool is_wanted_root(const struct docker_run *run)
{
	const char *type = run->words.root_type;

	if (text_equal(run->wanted->driver, "overlay2"))
		return text_equal(type, "overlay");
	if (text_equal(run->wanted->driver, "vfs"))
		return is_data_root_type(run, run->words.root_magic);
	return text_equal(type, "fuse.fuse-overlayfs") || text_equal(type, "fuse");
}

static void check_root(struct docker_run *run)
{
	struct outcome outcome = { 0 };

	if (is_wanted_root(run))
		outcome_pass(&outcome, "%s, 0x%s", run->words.root_type, run->words.root_magic);
	else
		outcome_fail(&outcome, 0, "root is '%s'", run->words.root_type);
	docker_run_add(run, "docker.root", "seen from inside, the root is the driver's mount",
		       "dockerd uses another driver than planned: phoenixctl apply again",
		       &outcome);
}

static void check_layers(struct docker_run *run)
{
	struct outcome outcome = { 0 };

	if (text_equal(run->words.changed, "yes"))
		outcome_pass(&outcome, "written and deleted");
	else
		outcome_fail(&outcome, 0, "'%s'", run->words.changed);
	docker_run_add(run, "docker.layers", "inside, a lower file is written and another deleted",
		       "the driver cannot hold image layers here", &outcome);
}

bool docker_check_run(struct docker_run *run)
{
	struct ph_error error = { 0 };
	int r = run_nested(run, &error);

	docker_run_judge(run, "docker.run", "a container runs without registry and network", LOOK,
			 r, &error, "exit code 0");
	if (r < 0)
		return false;
	check_nonce(run);
	check_root(run);
	check_layers(run);
	return true;
}

/* ---- the second one ---- */

/* What a container on the bridge connects to: any address of ours, a port of the kernel's choice. */
static int listen_here(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	PH_AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t length = sizeof(address);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	*ret_port = ntohs(address.sin_port);
	return take_fd(&fd);
}

/* Whether somebody connected and sent the nonce: the kernel has kept both, also of an ended peer. */
static bool was_reached(int listener, const char *nonce)
{
	struct pollfd ready = { .fd = listener, .events = POLLIN };

	while (poll(&ready, 1, REACHED_MS) > 0) {
		PH_AUTO_CLOSE int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		struct pollfd sent = { .fd = peer, .events = POLLIN };
		char text[64];
		ssize_t length;

		if (peer < 0 || poll(&sent, 1, REACHED_MS) <= 0)
			continue;
		length = recv(peer, text, sizeof(text) - 1, MSG_DONTWAIT);
		text[length > 0 ? length : 0] = '\0';
		if (text_equal(text, nonce))
			return true;
	}
	return false;
}

static int run_second(struct docker_run *run, const char *network, uint16_t port,
		      struct nested_words *words, struct ph_error *error)
{
	char port_text[8];
	const char *const arguments[] = { "run",     "--network",  network,
					  "--name",  run->second,  "--label",
					  DOCKER_LABEL, run->built[0] ? run->built : run->image,
					  "/phoenix-agent", "nested", "reach",
					  run->nonce, port_text,    NULL };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	int r;

	snprintf(port_text, sizeof(port_text), "%u", port);
	r = docker_run_command(arguments, DOCKER_RUN_MS, &ended, error);
	if (r == 0)
		take_lines(words, ended.output);
	return r;
}

static bool has_bridge(void)
{
	static const char *const inspect[] = { "network", "inspect", "bridge", NULL };

	return docker_run_command(inspect, DOCKER_INFO_MS, NULL, NULL) == 0;
}

/* Without the bridge the container is still needed for the other checks. */
static int run_second_anyhow(struct docker_run *run, struct nested_words *words,
			     struct outcome *bridge, struct ph_error *error)
{
	const char *const remove[] = { "rm", "--force", run->second, NULL };
	uint16_t port = 0;
	PH_AUTO_CLOSE int listener = listen_here(&port);

	if (listener < 0 || !has_bridge()) {
		outcome_skip(bridge, "dockerd has no default bridge");
	} else if (run_second(run, "bridge", port, words, error) < 0) {
		outcome_fail(bridge, 0, "%s", error->why);
		error_clear(error);
		docker_run_command(remove, DOCKER_RUN_MS, NULL, NULL);
	} else {
		if (was_reached(listener, run->nonce))
			outcome_pass(bridge, "connected over %s", words->gateway);
		else
			outcome_fail(bridge, 0, "the container says: %s", words->reached);
		return 0;
	}
	return run_second(run, "none", port, words, error);
}

static void check_build(struct docker_run *run, struct outcome *build,
			const struct nested_words *words, int ran, const struct ph_error *error)
{
	if (run->built[0] && ran < 0)
		outcome_fail(build, 0, "built, but does not run: %s", error->why);
	else if (run->built[0] && !text_equal(words->layered, "yes"))
		outcome_fail(build, 0, "built, but its layers show: %s", words->layered);
	else if (run->built[0])
		outcome_pass(build, "two layers built and run");
	docker_run_add(run, "docker.build",
		       "an image with a second layer is built, and shows both layers", LOOK, build);
}

static void check_restart(struct docker_run *run)
{
	const char *const start[] = { "start", "--attach", run->second, NULL };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	struct outcome outcome = { 0 };
	struct nested_words words = { 0 };
	struct ph_error error = { 0 };
	int r = docker_run_command(start, DOCKER_RUN_MS, &ended, &error);

	if (r == 0)
		take_lines(&words, ended.output);
	if (r < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else if (!text_equal(words.kept, "yes"))
		outcome_fail(&outcome, 0, "what it had written is not there");
	else
		outcome_pass(&outcome, "started again, content kept");
	docker_run_add(run, "docker.restart",
		       "a stopped container starts again with what it had written", LOOK, &outcome);
}

void docker_check_second(struct docker_run *run)
{
	struct outcome build = { 0 }, bridge = { 0 };
	struct nested_words words = { 0 };
	struct ph_error error = { 0 };
	int r;

	docker_build_layer(run, &build);
	r = run_second_anyhow(run, &words, &bridge, &error);
	check_build(run, &build, &words, r, &error);
	docker_run_add(run, "docker.bridge",
		       "a container on the default bridge reaches its gateway",
		       "ip link, iptables -S and nft list ruleset in the container; the host's "
		       "kernel needs veth, bridge and nf_nat",
		       &bridge);
	if (r == 0)
		check_restart(run);
}

/* ---- afterwards ---- */

void docker_remove_containers(struct docker_run *run, struct ph_error *error)
{
	const char *const list[] = { "ps", "--all", "--quiet", "--filter",
				     "label=" DOCKER_LABEL, NULL };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	char *place = NULL;

	if (docker_run_command(list, DOCKER_INFO_MS, &ended, error) < 0)
		return;
	for (char *id = strtok_r(ended.output, "\n", &place); id; id = strtok_r(NULL, "\n", &place)) {
		const char *const remove[] = { "rm", "--force", "--volumes", id, NULL };

		docker_run_command(remove, DOCKER_RUN_MS, NULL, error);
	}
}
