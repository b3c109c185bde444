/*
 * The real phoenixctl against a fake controller: what it prints where, and what it exits with.
 * PHOENIXCTL is the program; every run is a process.
 */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/support/fake_control.h"
#include "tests/support/scratch.h"

#define PHOENIXCTL PH_BINARY_DIR "/bin/phoenixctl"
#define WORDS 10
#define KILLED 1000 /* added to the signal that ended it */

/* What a hostile agent or a compromised phoenixd would like to have on the terminal. */
#define HOSTILE                                                                                    \
	"x\033]0;pwned\007\033[2J\xc2\x9b"                                                         \
	"31m\xe2\x80\xaey\r\n"

struct bench {
	struct scratch scratch;
	struct fake_control control;
	char socket[300];
	char spool[300];
	char output[300], errors[300]; /* paths */
	pid_t process;
	int code;
	char *out, *err; /* owned: of the last run */
};

static int bench_make(void **state)
{
	struct bench *bench = ph_alloc(sizeof(*bench));
	static const char fleet[] = "version: 1\ncontainers:\n  - {name: web1, image: bookworm}\n";
	static const char bad[] = "version: 1\ncontainers:\n  - {name: ok, image: bookworm}\n"
				  "  - {name: bad1, image: bookworm, confinement: best-effort}\n";
	static const char absent[] = "version: 1\ncontainers: [{name: a, image: absent}]\n";
	static const char wrong[] = "version: 1\ncontainers:\n  - {nme: web1}\n";

	alarm(100);
	scratch_init(&bench->scratch);
	strcpy(bench->socket, scratch_file(&bench->scratch, "s"));
	strcpy(bench->spool, scratch_file(&bench->scratch, "spool"));
	strcpy(bench->output, scratch_file(&bench->scratch, "stdout"));
	strcpy(bench->errors, scratch_file(&bench->scratch, "stderr"));
	assert_int_equal(mkdir(bench->spool, 0700), 0);
	scratch_write(&bench->scratch, "fleet.yaml", fleet, sizeof(fleet) - 1);
	scratch_write(&bench->scratch, "bad.yaml", bad, sizeof(bad) - 1);
	scratch_write(&bench->scratch, "absent.yaml", absent, sizeof(absent) - 1);
	scratch_write(&bench->scratch, "wrong.yaml", wrong, sizeof(wrong) - 1);
	scratch_write(&bench->scratch, "rootfs.tar", "a tar of sorts", 14);
	setenv("PHOENIX_SOCKET", bench->socket, 1);
	setenv("PHOENIX_SPOOL", bench->spool, 1);
	*state = bench;
	return 0;
}

static int bench_free(void **state)
{
	struct bench *bench = *state;

	fake_control_stop(&bench->control);
	scratch_fini(&bench->scratch);
	free(bench->out);
	free(bench->err);
	free(bench);
	return 0;
}

/* Give the next runs another controller. */
static void serve(struct bench *bench, struct fake_control control)
{
	fake_control_stop(&bench->control);
	bench->control = control;
	bench->control.spool = bench->spool;
	fake_control_start(&bench->control, bench->socket);
}

static char *slurp(const char *path)
{
	PH_AUTO_FILE FILE *file = fopen(path, "r");
	struct str text = STR_INIT;
	char buffer[4096];
	size_t length;

	while (file && (length = fread(buffer, 1, sizeof(buffer), file)) > 0)
		str_append_bytes(&text, buffer, length);
	return str_take(&text);
}

static void redirect(const char *path, int to)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || dup2(fd, to) < 0)
		_exit(99);
	close(fd);
}

/* Start a program; output NULL: into the bench's file. */
static void start(struct bench *bench, const char *const *argv, int output)
{
	fflush(NULL);
	bench->process = fork();
	assert_true(bench->process >= 0);
	if (bench->process > 0)
		return;
	if (chdir(bench->scratch.path) < 0)
		_exit(99);
	redirect(bench->errors, STDERR_FILENO);
	if (output >= 0)
		dup2(output, STDOUT_FILENO);
	else
		redirect(bench->output, STDOUT_FILENO);
	execv(argv[0], (char *const *)argv);
	_exit(99);
}

static void finish(struct bench *bench)
{
	int status;

	assert_int_equal(waitpid(bench->process, &status, 0), bench->process);
	bench->code = WIFEXITED(status) ? WEXITSTATUS(status) : KILLED + WTERMSIG(status);
	free(bench->out);
	free(bench->err);
	bench->out = slurp(bench->output);
	bench->err = slurp(bench->errors);
}

/* Split words at blanks and run phoenixctl with them. */
static void begin(struct bench *bench, const char *words, int output)
{
	PH_AUTO_FREE char *copy = ph_strdup(words);
	const char *argv[WORDS + 2] = { PHOENIXCTL };
	char *save = NULL;

	for (size_t i = 1; i <= WORDS; i++)
		argv[i] = strtok_r(i == 1 ? copy : NULL, " ", &save);
	start(bench, argv, output);
}

static void run(struct bench *bench, const char *words)
{
	begin(bench, words, -1);
	finish(bench);
}

static size_t spooled(const struct bench *bench)
{
	PH_AUTO_DIR DIR *directory = opendir(bench->spool);
	size_t count = 0;

	while (readdir(directory))
		count++;
	return count - 2;
}

/* ---- what each command says and exits with ---- */

struct expectation {
	const char *words;
	int code;
	const char *out[4]; /* parts of stdout; none: it is empty */
	const char *err[3];
};

static void check_parts(const struct expectation *expected, const char *stream, const char *text,
			const char *const *parts, size_t count)
{
	if (!parts[0] && text[0])
		fail_msg("%s: %s has: %s", expected->words, stream, text);
	for (size_t i = 0; i < count && parts[i]; i++)
		if (!strstr(text, parts[i]))
			fail_msg("%s: %s lacks '%s': %s", expected->words, stream, parts[i], text);
}

static void check_all(struct bench *bench, const struct expectation *expectations, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct expectation *expected = &expectations[i];

		run(bench, expected->words);
		if (bench->code != expected->code)
			fail_msg("%s: exit %d instead of %d: %s%s", expected->words, bench->code,
				 expected->code, bench->out, bench->err);
		check_parts(expected, "stdout", bench->out, expected->out,
			    ARRAY_LENGTH(expected->out));
		check_parts(expected, "stderr", bench->err, expected->err,
			    ARRAY_LENGTH(expected->err));
		assert_int_equal(spooled(bench), 0);
	}
}

static const struct expectation everything[] = {
	{ "version", 0, { "phoenixctl   " PH_VERSION, "9.9.9", "without AppArmor" }, { 0 } },
	{ "--version", 0, { "9.9.9" }, { 0 } },
	{ "list",
	  0,
	  { "NAME", "web1  running  yes    yes", "BEST-EFFORT (unconfined)",
	    "WARNING: 1 of 2 containers" },
	  { 0 } },
	{ "list --names", 0, { "web1\nweb2\n" }, { 0 } },
	{ "show web1",
	  0,
	  { "web1: running, ready",
	    "Observed by the host:", "Claimed by the agent:", "77 phoenix-agent: lxc-phoenix-v2" },
	  { 0 } },
	{ "show web1", 0, { "cloned by      snapshot (asked for)" }, { 0 } },
	{ "show web1", 0,
	  { "kept           a root file system of image bullseye (copy, 0123456789ab), for going back" }, { 0 } },
	{ "show web2", 0, { "prepared       a root file system of image trixie, not used yet" }, { 0 } },
	{ "show web2",
	  0,
	  { "not ready", "BEST-EFFORT (written so in the fleet file)", "to do  make room",
	    "WARNING: 1 of 1" },
	  { 0 } },
	{ "show web9", 4, { 0 }, { "web9", "to do: " } },
	{ "health web1", 0, { "web1  yes    yes" }, { 0 } },
	{ "health",
	  3,
	  { "web2: DockerResponding is Unknown (Reason): because", "[claimed by the agent]",
	    "WARNING: 1 of 2" },
	  { 0 } },
	{ "health web9", 4, { 0 }, { "web9" } },
	{ "preflight", 0, { "Kernel 6.1.0: nothing stands in Docker's way." }, { 0 } },
	{ "preflight web1",
	  0,
	  { "WARN  preflight.keyring-quota  host\n  150 of 200 keys\n  -> raise kernel.keys.maxkeys",
	    "0 FAIL, 1 WARN, 0 INFO" },
	  { 0 } },
	{ "preflight web2",
	  2,
	  { "FAIL  preflight.runc-clash  web2  [claimed by the agent]\n  reopen fd",
	    "1 FAIL, 1 WARN, 0 INFO" },
	  { 0 } },
	{ "preflight web1 --error lchown", 2, { "web1  [claimed by the agent]\n  lchown" }, { 0 } },
	{ "preflight web9", 4, { 0 }, { "web9" } },
	{ "storage web1",
	  0,
	  { "Wanted auto, in use none yet, chosen by probing now: overlay2", "storage.on-tmpfs",
	    "overlay2  10000     -", "creates files 13x faster" },
	  { 0 } },
	{ "storage", 3, { "Storage of web1", "refused: no driver can hold layers here" }, { 0 } },
	{ "rollout start", 2, { 0 }, { "no fleet file was named" } },
	{ "rollout start -f bad.yaml --only a=b=c", 2, { 0 }, { "to do: " } },
	{ "rollout start -f bad.yaml --only none", 4, { 0 }, { "--only" } },
	{ "rollout start -f bad.yaml",
	  0,
	  { "Rollout r1: halted (failure budget)", "web1  canary  done", "web2  1       reverted" },
	  { 0 } },
	{ "rollout start -f bad.yaml --watch", 3, { "-- halted: failure budget" }, { 0 } },
	{ "rollout status", 3, { "2 containers in 1 waves", "dockerd does not start" }, { 0 } },
	{ "rollout show r1", 3, { "dockerd does not start" }, { 0 } },
	{ "rollout status lost",
	  3, /* although an operator wanted it back */
	  { "REVERT FAILED (operator), not at the last good state: web2\n", "web2  1       NOT REVERTED" },
	  { 0 } },
	{ "rollout status lost --watch", 3, { "-- REVERT FAILED: operator", "rollout revert tries it" }, { 0 } },
	{ "rollout history", 0, { "r1  1970-01-01T00:00:00.000Z  halted  failure budget" }, { 0 } },
	{ "rollout revert", 0, { "Rollout r1" }, { 0 } },
	{ "rollout pause", 2, { 0 }, { "r1" } },
	{ "storage web9", 4, { 0 }, { "web9" } },
	{ "verify web1",
	  0,
	  { "PASSED: 1 passed, 0 failed, 0 known limits, 1 skipped", "storage.whiteout" },
	  { 0 } },
	{ "verify web2",
	  3,
	  { "FAILED: 1 passed, 1 failed", "Others:", "expected: something",
	    "to do: look at the fake" },
	  { 0 } },
	{ "verify", 3, { "Verify report of web1", "Verify report of web2" }, { 0 } },
	{ "verify web9", 4, { 0 }, { "web9" } },
	{ "verify lost", 1, { "lost  [1/2]  verify: FAILED 1.2 s" }, { "at step: verify" } },
	{ "apparmor denials",
	  0,
	  { "CONTAINER  OPERATION  NAME", "web1       mount      /mnt/",
	    "mount /mnt/: it is refused\n  -> leave it", "the kernel's audit stream" },
	  { 0 } },
	{ "apparmor status",
	  3,
	  { "Kernel 6.1.0-45-amd64, apparmor_parser 3.0.8",
	    "lxc-phoenix-v2  enforce  current  -     web1",
	    "old: unconfined since 2023-11-14T22:13:20.000Z",
	    "it runs unconfined\n  -> confine it" },
	  { 0 } },
	{ "apparmor denials web2", 3, { "cannot be read: none, because there is no AppArmor" }, { 0 } },
	{ "apparmor denials web9", 4, { 0 }, { "web9" } },
	{ "apparmor denials A", 2, { 0 }, { "'A' is no container's name" } },
	{ "remove web1", 0, { "web1  [1/2]  stop: done 1.2 s\nweb1 removed\n" }, { 0 } },
	{ "remove web1 web2", 0, { "web1 removed", "web2 removed" }, { 0 } },
	{ "remove web9", 4, { 0 }, { "web9" } },
	{ "remove web9 web2", 4, { "web2 removed" }, { "web9" } },
	{ "remove stuck", 1, { "stuck  [1/2]  destroy: FAILED" }, { "at step: destroy" } },
	{ "remove ../x", 2, { 0 }, { "'../x' is no container's name" } },
	{ "events",
	  0,
	  { "      42  1970-01-01T00:00:00.000Z  info     web1  operation.step", "ERROR",
	    "where: /var/lib/docker" },
	  { 0 } },
	{ "events --since 1",
	  0,
	  { "*** EVENTS ARE MISSING HERE: events 1 to 41 are no "
	    "longer kept" },
	  { 0 } },
	{ "events --since 1 --tail 2", 2, { 0 }, { "exclude each other" } },
	{ "events --tail 0", 2, { 0 }, { "--tail" } },
	{ "events --container A", 2, { 0 }, { "'A' is no container's name" } },
	{ "apply -f fleet.yaml",
	  0,
	  { "web1  [1/2]  create: done 1.2 s\n1 created, 0 changed, "
	    "0 unchanged, 0 failed" },
	  { 0 } },
	{ "-f fleet.yaml apply", 0, { "1 created" }, { 0 } },
	{ "apply -f bad.yaml",
	  1,
	  { "bad1  [1/2]  create: FAILED", "to do  look at the fake",
	    "1 created, 0 changed, 0 unchanged, 1 failed" },
	  { "WARNING: 1 of 2 containers ask for best-effort", "1 of 2 containers failed",
	    "at step: create" } },
	{ "apply -f fleet.yaml --prune --yes",
	  0,
	  { "1 created", "web2 removed" },
	  { "To be removed with their Docker data", "  web2\n" } },
	{ "apply -f fleet.yaml --prune", 1, { 0 }, { "  web2\n", "give --yes" } },
	{ "plan -f fleet.yaml",
	  0,
	  { "  leave   web2: the file does not name it\n", "0 to create, 0 to change" },
	  { 0 } },
	{ "plan -f bad.yaml",
	  2,
	  { "~ change  bad1", "      labels: x: y -> x: z\n          taken over", "1 to change" },
	  { 0 } },
	{ "plan -f fleet.yaml --prune", 2, { "- remove  web2", "1 to remove" }, { 0 } },
	{ "plan -f wrong.yaml", 1, { 0 }, { "wrong.yaml:3:6" } },
	{ "plan -f none.yaml", 1, { 0 }, { "none.yaml" } },
	{ "plan", 2, { 0 }, { "no fleet file" } },
	{ "drift web1", 0, { "2 containers, 0 findings" }, { 0 } },
	{ "drift",
	  3,
	  { "web2  drift.stopped\n  wanted: the container runs\n  found:  Stopped\n  -> apply starts it",
	    "2 containers, 1 findings" },
	  { 0 } },
	{ "drift web9", 4, { 0 }, { "web9" } },
	{ "drift --repair", 1, { "drift.stopped" }, { "give --yes" } },
	{ "drift --repair --yes", 0, { "drift.stopped", "web2  [1/2]  create: done" }, { 0 } },
	{ "adopt",
	  0,
	  { "/var/lib/lxc/old\n  process          UNCONFINED since 2023-11-14T22:13:20.000Z  [observed]",
	    "storage driver   overlay2  [its file system, which its root can write]",
	    "CANNOT BE ADOPTED there is no lxc.idmap", "2 containers of others" },
	  { 0 } },
	{ "adopt /var/lib/lxc/old", 0, { "/var/lib/lxc/old: adopted" }, { 0 } },
	{ "adopt /var/lib/lxc/rooted", 1, { 0 }, { "rooted" } },
	{ "adopt old", 2, { 0 }, { "'old' is no path of a container" } },
	{ "adopt /var/lib/lxc/../x/", 2, { 0 }, { "is no path of a container" } },
	{ "adopt --all", 1, { "/var/lib/lxc/old: adopted" }, { "rooted" } },
	{ "adopt --all /var/lib/lxc/old", 2, { 0 }, { "exclude each other" } },
	{ "confine", 2, { 0 }, { "no container was named" } },
	{ "confine web1 --selector web2", 2, { 0 }, { "exclude each other" } },
	{ "confine web1 --selector a=b=c", 2, { 0 }, { "to do: " } },
	{ "confine web1 --strategy soak:x", 2, { 0 }, { "--strategy:1" } },
	{ "confine web1 --strategy max_unavailable:0", 2, { 0 }, { "to do: " } },
	{ "confine web9", 4, { 0 }, { "web9" } },
	{ "confine web1", 3, { "-- halted: failure budget" }, { 0 } },
	{ "confine web3", 0, { "nothing to do" }, { 0 } },
	{ "confine web1 --detach", 0, { "Rollout r1: halted (failure budget)" }, { 0 } },
	{ "confine web1 --dry-run", 0, { "dockerd does not start" }, { 0 } },
	{ "unadopt web1", 1, { 0 }, { "give --yes" } },
	{ "unadopt web1 --yes", 0, { "configure: done" }, { 0 } },
	{ "discard", 2, { 0 }, { "no container was named" } },
	{ "discard web1 --selector web2", 2, { 0 }, { "exclude each other" } },
	{ "discard --selector=", 2, { 0 }, { "no container was named" } },
	{ "discard --selector a=b=c --yes", 2, { 0 }, { "to do: " } },
	{ "discard Web1 --yes", 2, { 0 }, { "'Web1' is no container's name" } },
	{ "discard web1", 1, { 0 }, { "give --yes" } },
	{ "discard web1 web2 --yes", 0, { "discard: done" }, { 0 } },
	{ "discard web9 web1 --yes", 4, { "discard: done" }, { "web9" } },
	{ "discard --selector role=web -y", 0, { "discard: done" }, { 0 } },
	{ "schema", 0, { "\"title\": \"Phoenix fleet file\"" }, { 0 } },
	{ "apply -f absent.yaml", 4, { 0 }, { "absent" } },
	{ "apply -f wrong.yaml", 2, { 0 }, { "wrong.yaml:3:6", "'name'" } },
	{ "apply -f none.yaml", 2, { 0 }, { "none.yaml" } },
	{ "apply", 2, { 0 }, { "no fleet file" } },
	{ "image list", 0, { "bookworm  300 MiB", "rootfs.tar" }, { 0 } },
	{ "image list --names", 0, { "bookworm\n" }, { 0 } },
	{ "image remove bookworm", 0, { "image bookworm removed" }, { 0 } },
	{ "image remove sid", 4, { 0 }, { "sid" } },
	{ "image remove Sid", 2, { 0 }, { "'Sid' is not a name for an image" } },
	{ "image import bookworm rootfs.tar", 0, { "image bookworm: imported" }, { 0 } },
	{ "image import Bookworm rootfs.tar", 2, { 0 }, { "'Bookworm'" } },
	{ "image import bookworm none.tar", 2, { 0 }, { "none.tar" } },
	{ "image import bookworm rootfs.tar --spool /none", 1, { 0 }, { "--spool" } },
	{ "help list", 0, { "Usage: phoenixctl list" }, { 0 } },
	{ "lst", 2, { 0 }, { "'lst'", "did you mean 'list'?" } },
};

static void every_command_says_what_it_should(void **state)
{
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ 0 });
	check_all(bench, everything, ARRAY_LENGTH(everything));
}

static void without_a_controller_input_is_checked_first(void **state)
{
	static const struct expectation expectations[] = {
		{ "list", 75, { 0 }, { "phoenixd does not answer", "systemctl start" } },
		{ "version", 75, { "phoenixctl   " PH_VERSION }, { "does not answer" } },
		{ "apply -f wrong.yaml", 2, { 0 }, { "wrong.yaml:3:6" } },
		{ "apply -f fleet.yaml", 75, { 0 }, { "does not answer" } },
		{ "events --since x", 2, { 0 }, { "'x'" } },
		{ "remove A", 2, { 0 }, { "'A'" } },
		{ "image import a none.tar", 2, { 0 }, { "none.tar" } },
		{ "image import a rootfs.tar", 75, { 0 }, { "does not answer" } },
		{ "image remove A", 2, { 0 }, { "'A'" } },
		{ "-s vsuck:1 list", 2, { 0 }, { "vsuck" } },
		{ "help", 0, { "Commands:" }, { 0 } },
		{ "man", 0, { ".TH PHOENIXCTL 1" }, { 0 } },
		{ "completion bash", 0, { "complete -F" }, { 0 } },
		{ "completion fish", 2, { 0 }, { "'fish'" } },
	};

	check_all(*state, expectations, ARRAY_LENGTH(expectations));
}

static void without_permission_it_is_said(void **state)
{
	struct bench *bench = *state;
	const char *const argv[] = { "/usr/bin/setpriv",
				     "--reuid=65534",
				     "--regid=65534",
				     "--clear-groups",
				     PHOENIXCTL,
				     "list",
				     NULL };

	if (geteuid() != 0 || access(argv[0], X_OK) < 0)
		skip();
	serve(bench, (struct fake_control){ 0 });
	chmod(bench->scratch.path, 0755);
	start(bench, argv, -1);
	finish(bench);
	if (bench->code == 99 || strstr(bench->err, "setpriv:"))
		skip(); /* the build directory is not everybody's */
	assert_int_equal(bench->code, 1);
	assert_non_null(strstr(bench->err, "member of the configured group"));
}

/* ---- JSON ---- */

static size_t count_documents(struct bench *bench, const char *words, bool is_stream)
{
	size_t count = 0;
	char *save = NULL, *line;

	for (line = is_stream ? strtok_r(bench->out, "\n", &save) : bench->out; line;
	     line = is_stream ? strtok_r(NULL, "\n", &save) : NULL) {
		json_error_t error;
		json_t *document = json_loads(line, JSON_REJECT_DUPLICATES, &error);

		if (!json_is_object(document))
			fail_msg("%s: no JSON object: %s: %s", words, error.text, line);
		json_decref(document);
		count++;
	}
	return count;
}

static void json_is_json(void **state)
{
	static const struct {
		const char *words;
		int code;
		bool is_stream;
		size_t documents;
	} cases[] = {
		{ "version -j", 0, false, 1 },
		{ "list -j", 0, false, 1 },
		{ "show web2 -j", 0, false, 1 },
		{ "health -j", 3, false, 1 },
		{ "image list -j", 0, false, 1 },
		{ "storage web1 -j", 0, false, 1 },
		{ "rollout start -f bad.yaml -j", 0, false, 1 },
		{ "rollout status -j", 3, false, 1 },
		{ "rollout status --watch -j", 3, true, 1 },
		{ "rollout status lost -j", 3, false, 1 },
		{ "rollout history -j", 0, false, 1 },
		{ "preflight -j", 0, false, 1 },
		{ "preflight web2 -j", 2, false, 1 },
		{ "verify web2 -j", 3, true, 3 },
		{ "remove web1 -j", 0, true, 2 },
		{ "discard web1 -y -j", 0, true, 1 },
		{ "events -j --since 1", 0, true, 3 },
		{ "apply -j -f bad.yaml", 1, true, 3 },
		{ "image import a rootfs.tar -j", 0, true, 1 },
		{ "image remove bookworm -j", 0, true, 0 },
	};
	static const char *const texts[] = { NULL, HOSTILE };
	struct bench *bench = *state;

	for (size_t text = 0; text < ARRAY_LENGTH(texts); text++) {
		serve(bench, (struct fake_control){ .text = texts[text] });
		for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
			run(bench, cases[i].words);
			assert_int_equal(bench->code, cases[i].code);
			assert_int_equal(count_documents(bench, cases[i].words, cases[i].is_stream),
					 cases[i].documents);
		}
	}
}

static void json_errors_stay_on_stderr(void **state)
{
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ 0 });
	run(bench, "show web9 --json");
	assert_int_equal(bench->code, 4);
	assert_string_equal(bench->out, "");
	assert_non_null(strstr(bench->err, "web9"));
}

/* ---- hostile controllers ---- */

static void assert_harmless(const char *words, const char *text)
{
	for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++) {
		bool is_control = (*byte < 0x20 && *byte != '\n') || *byte == 0x7f;
		bool is_c1 = byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] < 0xa0;
		bool is_bidi = byte[0] == 0xe2 && byte[1] == 0x80 && byte[2] == 0xae;

		if (is_control || is_c1 || is_bidi)
			fail_msg("%s: byte %02x at %td: %s", words, *byte,
				 byte - (const unsigned char *)text, text);
	}
}

static void hostile_texts_are_harmless(void **state)
{
	static const char *const words[] = {
		"version",
		"list",
		"list --names",
		"show web2",
		"health",
		"preflight web2",
		"storage web1",
		"storage web2",
		"verify",
		"verify lost",
		"remove web1",
		"remove stuck",
		"events",
		"events --since 1",
		"apply -f bad.yaml",
		"image list",
		"image list --names",
		"image import a rootfs.tar",
		"version -j",
		"show web2 -j",
		"events -j",
	};
	struct bench *bench = *state;

	for (int fails = 0; fails < 2; fails++) {
		serve(bench, (struct fake_control){ .mode = fails ? FAKE_CONTROL_FAILS : 0,
						    .text = HOSTILE,
						    .fail_code = -EIO,
						    .fail_step = fails ? HOSTILE : NULL });
		for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
			run(bench, words[i]);
			assert_true(bench->code <= 3);
			assert_harmless(words[i], bench->out);
			assert_harmless(words[i], bench->err);
		}
	}
}

/* The completion evaluates what `list --names` prints. */
static void names_are_names_or_nothing(void **state)
{
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ .text = "$(touch pwned)" });
	run(bench, "list --names");
	assert_string_equal(bench->out, "");
	run(bench, "image list --names");
	assert_string_equal(bench->out, "");
}

static void failures_keep_their_exit_codes(void **state)
{
	static const struct {
		int code;
		const char *step;
		int exit;
	} cases[] = {
		{ -EIO, NULL, 1 },
		{ -ENOENT, NULL, 4 },
		{ -EINVAL, NULL, 2 },
		{ -EBADE, NULL, 3 },
		{ -EOPNOTSUPP, NULL, 1 },
		{ -ENOENT, "create", 1 },
		{ -EINVAL, "start", 1 },
		{ -EBADE, "verify", 3 },
		/* nobody can pose as a controller that is not there */
		{ -EHOSTDOWN, NULL, 1 },
		{ -ECONNRESET, NULL, 1 },
		{ -ETIMEDOUT, NULL, 1 },
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		serve(bench, (struct fake_control){ .mode = FAKE_CONTROL_FAILS,
						    .fail_code = cases[i].code,
						    .fail_step = cases[i].step });
		run(bench, "show web1");
		if (bench->code != cases[i].exit)
			fail_msg("%s in '%s': exit %d", strerror(-cases[i].code),
				 cases[i].step ? cases[i].step : "", bench->code);
		assert_non_null(strstr(bench->err, "told to fail"));
		assert_non_null(strstr(bench->err, "to do: look at the fake"));
	}
}

/* ---- slow, silent and lost controllers ---- */

static void a_slow_controller_is_waited_for(void **state)
{
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ .mode = FAKE_CONTROL_IS_SLOW });
	run(bench, "list");
	assert_int_equal(bench->code, 0);
	assert_non_null(strstr(bench->out, "web2"));
}

static void a_silent_controller_is_given_up(void **state)
{
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ .mode = FAKE_CONTROL_IS_SILENT });
	run(bench, "list --timeout 1");
	assert_int_equal(bench->code, 75);
	assert_non_null(strstr(bench->err, "did not answer within 1 s"));
}

static void a_lost_controller_is_said(void **state)
{
	static const struct expectation expectations[] = {
		{ "list", 75, { 0 }, { "closed the connection", "goes on" } },
		{ "verify web1", 75, { "PASSED" }, { "closed the connection" } },
		{ "remove web1", 75, { "stop: done" }, { "closed the connection" } },
		{ "events --follow", 75, { "operation.ended" }, { "closed the connection" } },
		{ "apply -f fleet.yaml", 75, { "create: done" }, { "goes on" } },
		{ "image import a rootfs.tar", 75, { 0 }, { "closed the connection" } },
	};
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ .mode = FAKE_CONTROL_HANGS_UP });
	check_all(bench, expectations, ARRAY_LENGTH(expectations));
}

static void another_protocol_is_said(void **state)
{
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ .mode = FAKE_CONTROL_BABBLES });
	run(bench, "list");
	assert_int_equal(bench->code, 75);
	assert_non_null(strstr(bench->err, "does not speak our language"));
}

/* ---- terminals ---- */

static void a_terminal_shows_what_goes_on(void **state)
{
	static const char *const parts[] = {
		"web1  [1/2]  verify … working", /* what goes on */
		"\r\033[K",                      /* and is taken away */
		"\033[32mPASS ", "\033[32mPASSED\033[0m: 1 passed",
	};
	struct bench *bench = *state;
	const struct winsize size = { .ws_row = 24, .ws_col = 60 };
	char text[8192] = "";
	size_t used = 0;
	ssize_t length;
	int master, slave;

	serve(bench, (struct fake_control){ 0 });
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	fcntl(master, F_SETFD, FD_CLOEXEC);
	begin(bench, "verify web1", slave);
	close(slave);
	while ((length = read(master, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)length;
	close(master);
	finish(bench);
	assert_int_equal(bench->code, 0);
	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("the terminal lacks '%s': %s", parts[i], text);
}

/* ---- output that nobody takes ---- */

static void a_reader_who_leaves_ends_a_stream(void **state)
{
	struct bench *bench = *state;
	char byte;
	int ends[2];

	serve(bench, (struct fake_control){ 0 });
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	begin(bench, "events --follow", ends[1]);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	finish(bench); /* or the alarm */
	assert_int_equal(bench->code, 1);
	assert_string_equal(bench->err, "");
}

static void a_full_disk_is_said(void **state)
{
	static const char *const words[] = { "list", "events", "help",
					     "image import a rootfs.tar" };
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ 0 });
	for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
		PH_AUTO_CLOSE int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

		begin(bench, words[i], full);
		finish(bench);
		assert_int_equal(bench->code, 1);
		assert_non_null(strstr(bench->err, "No space left"));
		assert_int_equal(spooled(bench), 0);
	}
}

/* ---- the spool ---- */

static void an_archive_arrives_whole(void **state)
{
	struct bench *bench = *state;
	PH_AUTO_FREE char *imported = ph_format("%s/imported", bench->scratch.path);
	PH_AUTO_FREE char *text = NULL;

	serve(bench, (struct fake_control){ 0 });
	run(bench, "image import a rootfs.tar");
	text = slurp(imported);
	assert_string_equal(text, "a tar of sorts");
	assert_int_equal(spooled(bench), 0);
}

static void a_pipe_can_be_imported(void **state)
{
	struct bench *bench = *state;
	PH_AUTO_FREE char *imported = ph_format("%s/imported", bench->scratch.path);
	PH_AUTO_FREE char *command = ph_format("%s image import a <(echo from a pipe)", PHOENIXCTL);
	const char *const argv[] = { "/bin/bash", "-c", command, NULL };
	PH_AUTO_FREE char *text = NULL;

	serve(bench, (struct fake_control){ 0 });
	start(bench, argv, -1);
	finish(bench);
	assert_int_equal(bench->code, 0);
	text = slurp(imported);
	assert_string_equal(text, "from a pipe\n");
	assert_int_equal(spooled(bench), 0);
}

static void a_directory_is_packed(void **state)
{
	struct bench *bench = *state;
	const char *const list[] = { "/bin/tar", "--list", "--file", "imported", NULL };

	serve(bench, (struct fake_control){ 0 });
	assert_int_equal(mkdir(scratch_file(&bench->scratch, "root"), 0755), 0);
	assert_int_equal(mkdir(scratch_file(&bench->scratch, "root/etc"), 0755), 0);
	scratch_write(&bench->scratch, "root/etc/hostname", "x\n", 2);
	run(bench, "image import a root");
	assert_int_equal(bench->code, 0);
	assert_int_equal(spooled(bench), 0);
	start(bench, list, -1);
	finish(bench);
	assert_int_equal(bench->code, 0);
	assert_non_null(strstr(bench->out, "./etc/hostname\n"));
}

/* mmdebstrap is a script of ours here: what it prints is the image. */
static void a_build_is_imported(void **state)
{
	static const char script[] = "#!/bin/sh\necho \"$@\"\n";
	struct bench *bench = *state;
	PH_AUTO_FREE char *imported = ph_format("%s/imported", bench->scratch.path);
	PH_AUTO_FREE char *path = ph_strdup(getenv("PATH"));
	PH_AUTO_FREE char *changed = ph_format("%s:%s", bench->scratch.path, path);
	PH_AUTO_FREE char *text = NULL;

	chmod(scratch_write(&bench->scratch, "mmdebstrap", script, sizeof(script) - 1), 0755);
	setenv("PATH", changed, 1);
	serve(bench, (struct fake_control){ 0 });
	run(bench, "image build a --suite sid --include vim,less --mirror http://x");
	setenv("PATH", bench->scratch.path, 1);
	assert_int_equal(bench->code, 0);
	text = slurp(imported);
	assert_non_null(strstr(text, ",vim,less -- sid - http://x\n"));
	assert_int_equal(spooled(bench), 0);

	unlink(scratch_file(&bench->scratch, "mmdebstrap"));
	run(bench, "image build a");
	setenv("PATH", path, 1);
	assert_int_equal(bench->code, 1);
	assert_non_null(strstr(bench->err, "apt install mmdebstrap"));
	assert_int_equal(spooled(bench), 0);
}

static void a_refused_import_leaves_no_file(void **state)
{
	struct bench *bench = *state;

	serve(bench, (struct fake_control){ .mode = FAKE_CONTROL_FAILS, .fail_code = -ENOENT });
	run(bench, "image import a rootfs.tar");
	assert_int_equal(bench->code, 1);
	assert_int_equal(spooled(bench), 0);
}

static void a_signal_leaves_no_file(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct bench *bench = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(signals); i++) {
		serve(bench, (struct fake_control){ .mode = FAKE_CONTROL_IS_SILENT });
		begin(bench, "image import a rootfs.tar", -1);
		fake_control_await(&bench->control);
		assert_int_equal(spooled(bench), 1);
		kill(bench->process, signals[i]);
		finish(bench);
		assert_int_equal(bench->code, KILLED + signals[i]);
		assert_int_equal(spooled(bench), 0);
	}
}

/* ---- completion, by bash itself ---- */

static void bash_completes(void **state)
{
	static const struct {
		const char *words; /* the last one is completed; "_" is an empty one */
		const char *expected;
	} cases[] = {
		{ "ap", "apply apparmor" },
		{ "apparmor den", "denials" },
		{ "image re", "remove" },
		{ "image", "image" },
		{ "show _", "web1 web2" },
		{ "--json show _", "web1 web2" },
		{ "-s x show web1", "web1" },
		{ "remove web1 web2", "web2" },
		{ "show web1 _", "" },
		{ "apply --f", "--file" },
		{ "apply -f fl", "fleet.yaml" },
		{ "image import _", "bookworm" },
		{ "image import x roo", "rootfs.tar" },
		{ "image --spool sp", "spool" },
		{ "events --container web1", "web1" },
		{ "events --t", "--tail --timeout" },
		{ "events --tail _", "" },
		{ "completion _", "bash" },
		{ "help ver", "verify version" },
		{ "nonsense _", "" },
	};
	struct bench *bench = *state;

	if (access("/bin/bash", X_OK) < 0)
		skip();
	serve(bench, (struct fake_control){ 0 });
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		PH_AUTO_FREE char *script = ph_format(
			"set -u; source <(%s completion bash); [[ $(complete -p phoenixctl) == "
			"*_phoenixctl* ]] || exit 9\n"
			"COMP_WORDS=(%s %s); for i in ${!COMP_WORDS[@]}; do "
			"[[ ${COMP_WORDS[i]} == _ ]] && COMP_WORDS[i]=; done\n"
			"COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _phoenixctl ${COMP_WORDS[0]}\n"
			"echo \"${COMPREPLY[*]-}\"",
			PHOENIXCTL, PHOENIXCTL, cases[i].words);
		const char *const argv[] = { "/bin/bash", "-c", script, NULL };

		start(bench, argv, -1);
		finish(bench);
		assert_int_equal(bench->code, 0);
		assert_string_equal(bench->err, "");
		bench->out[strcspn(bench->out, "\n")] = '\0';
		if (strcmp(bench->out, cases[i].expected) != 0)
			fail_msg("%s: '%s'", cases[i].words, bench->out);
	}
}

/* ---- the profile, without a controller ---- */

#define PROFILES " --profiles " PH_SOURCE_DIR "/profiles"

static const struct expectation renderings[] = {
	{ "apparmor render" PROFILES " --features .",
	  0,
	  { "\n@{PHOENIX_DATA_ROOT}=/var/lib/docker\n", "\nprofile lxc-phoenix-v2 flags=", "  #?userns userns,",
	    "\n}\n" } },
	{ "apparmor render" PROFILES " --features . --data-root /srv/d",
	  0,
	  { "\n@{PHOENIX_DATA_ROOT}=/srv/d\n", "/srv/d[^/]**}" } },
	{ "apparmor render" PROFILES " --features . --mode stacked",
	  0,
	  { "\nprofile lxc-phoenix-v2-stacked flags=", "capability mac_admin," } },
	{ "apparmor render" PROFILES " --features . --json",
	  0,
	  { "\"profile\": \"lxc-phoenix-v2\"", "\"hash\": \"", "\"features\": [" } },
	{ "apparmor render" PROFILES " --data-root srv", 2, { 0 }, { "data-root", "absolute path" } },
	{ "apparmor render" PROFILES " --features . --driver vfs --json",
	  0,
	  { "\"profile\": \"lxc-phoenix-v2-", "#?fuse mount fstype" } },
	{ "apparmor render" PROFILES " --driver zfs", 2, { 0 }, { "no driver 'zfs'", "overlay2" } },
	{ "apparmor render" PROFILES " --mode loose", 2, { 0 }, { "no mode 'loose'", "named or stacked" } },
	{ "apparmor render" PROFILES " --features absent", 2, { 0 }, { "absent", "to do:" } },
	{ "apparmor render --profiles absent", 2, { 0 }, { "absent/lxc-phoenix-v2", "to do:" } },
	{ "apparmor render what", 2, { 0 }, { "what" } },
};

static void profile_is_rendered_without_a_controller(void **state)
{
	struct bench *bench = *state;

	if (system("command -v apparmor_parser >/dev/null")) {
		print_message("SKIP: apparmor_parser is missing\n");
		skip();
	}
	check_all(bench, renderings, ARRAY_LENGTH(renderings));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_make, bench_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_command_says_what_it_should),
		TEST(without_a_controller_input_is_checked_first),
		TEST(without_permission_it_is_said),
		TEST(json_is_json),
		TEST(json_errors_stay_on_stderr),
		TEST(hostile_texts_are_harmless),
		TEST(names_are_names_or_nothing),
		TEST(failures_keep_their_exit_codes),
		TEST(a_slow_controller_is_waited_for),
		TEST(a_silent_controller_is_given_up),
		TEST(a_lost_controller_is_said),
		TEST(another_protocol_is_said),
		TEST(a_terminal_shows_what_goes_on),
		TEST(a_reader_who_leaves_ends_a_stream),
		TEST(a_full_disk_is_said),
		TEST(an_archive_arrives_whole),
		TEST(a_pipe_can_be_imported),
		TEST(a_directory_is_packed),
		TEST(a_build_is_imported),
		TEST(a_refused_import_leaves_no_file),
		TEST(a_signal_leaves_no_file),
		TEST(bash_completes),
		TEST(profile_is_rendered_without_a_controller),
	};

	return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
