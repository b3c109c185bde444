/* What phoenixctl can do: a row for each command, from which help, man page and completion are made. */
#include "controller/cli/commands.h"

#include "common/cleanup.h"

const struct command_option global_options[] = {
	{ "socket", 's', "ADDRESS",
	  "the controller's socket (default unix:/run/phoenix/control.sock, "
	  "or $PHOENIX_SOCKET)" },
	{ "json", 'j', NULL, "print JSON for programs; streams print one object per line" },
	{ "timeout", 'T', "SECONDS",
	  "wait so long for an answer (default 60, 0: for ever); "
	  "what runs longer by nature is not limited" },
	{ "help", 'h', NULL, "explain phoenixctl, or the command" },
	{ "version", 'V', NULL, "print the versions, as the command does" },
	{ 0 },
};

const char *const exit_codes[][2] = {
	{ "0", "done; healthy; verified" },
	{ "1", "the operation failed" },
	{ "2", "bad usage, or a bad input file: nothing was changed; preflight: Docker would not work; "
	       "plan: there is something to do (a bad file is 1 there)" },
	{ "3", "something is unhealthy or has drifted, or a verify did not pass" },
	{ "4", "there is no such container or image" },
	{ "75", "the controller cannot be reached: try again" },
	{ NULL, NULL },
};

const struct command commands[] = {
	{
		.name = "apply",
		.arguments = "-f FLEET.yaml",
		.summary = "make the containers of a fleet file real",
		.description =
			"Prepares each container that is not there yet, installs Docker in it and\n"
			"proves that it works. What is as it should be stays untouched: applying\n"
			"twice changes nothing. A failure names the step, the cause and the remedy;\n"
			"a container that could not be prepared leaves nothing behind. Containers that\n"
			"the file does not name are left alone; --prune removes them, after asking,\n"
			"when all the others are as they should be. ^C ends phoenixctl, not what it\n"
			"started; containers that had not been begun yet are not begun.",
		.example = "phoenixctl apply -f fleet.yaml",
		.options = { { "file", 'f', "FILE", "the fleet file, - for standard input" },
			     { "prune", 'X', NULL, "remove containers that the file does not name" },
			     { "yes", 'y', NULL, "do not ask before removing" } },
		.run = command_apply,
	},
	{
		.name = "plan",
		.arguments = "-f FLEET.yaml",
		.summary = "tell what apply would do, and why",
		.description =
			"Changes nothing. One entry per container that apply would create, change, repair\n"
			"or refuse, with each field and the reason. Exits with 0 when there is nothing to\n"
			"do, with 2 when there is, and with 1 when the file is bad.",
		.example = "phoenixctl plan -f fleet.yaml",
		.options = { { "file", 'f', "FILE", "the fleet file, - for standard input" },
			     { "prune", 'X', NULL, "with the removals of apply --prune" } },
		.run = command_plan,
	},
	{
		.name = "drift",
		.arguments = "[SELECTOR]",
		.summary = "find what has left what was asked for",
		.description =
			"Compares what is observed and claimed with what the last apply asked for. phoenixd\n"
			"does so at every poll and tells it as events (drift.found, drift.gone). Exits with\n"
			"3 when there is drift. --repair applies what was recorded, after asking.",
		.example = "phoenixctl drift 'role=web'",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.options = { { "repair", 'A', NULL, "bring them back by apply" },
			     { "yes", 'y', NULL, "do not ask before repairing" } },
		.run = command_drift,
	},
	{
		.name = "adopt",
		.arguments = "[PATH/NAME]",
		.summary = "take over LXC containers that others made, or show which there are",
		.description =
			"Looks into the registered LXC paths ('lxc_paths' in phoenix.yaml) and shows of\n"
			"each container since when it runs unconfined, its id map, storage driver, Docker\n"
			"and images, and whether the host has seen that or a file of the container says so.\n"
			"With PATH/NAME or --all it becomes known to Phoenix: list, show and health have\n"
			"it, and nothing of it is changed. Privileged ones are refused.",
		.example = "phoenixctl adopt /var/lib/lxc/web1",
		.arguments_maximum = 1,
		.completes = { WORDS_FILES },
		.options = { { "all", 'a', NULL, "adopt every container that can be" } },
		.run = command_adopt,
	},
	{
		.name = "confine",
		.arguments = "NAME | --selector SELECTOR",
		.summary = "put adopted containers under the AppArmor profile, as a rollout",
		.description =
			"Canaries, then waves. Each is stopped, its configuration changed (backed up, and\n"
			"only the lines that it needs), started; the label of every process is read, the\n"
			"agent pushed, Docker verified, every image looked for, and it is watched for a\n"
			"while. What fails goes back to its owner's configuration by itself; when more\n"
			"fail than may, no further one is touched. Follows the rollout to its end; exits\n"
			"with 3 when it did not get done. 'phoenixctl rollout' shows and commands it.",
		.example = "phoenixctl confine --selector 'old*' --strategy 'canary: 2, soak: 1m'",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.options = { { "selector", 'l', "SELECTOR", "these: names and globs" },
			     { "strategy", 'g', "KEYS",
			       "how, in the keys of the fleet file's 'rollout'" },
			     { "dry-run", 'd', NULL, "show what would be done, do nothing" },
			     { "detach", 'B', NULL, "begin it, do not follow it" } },
		.run = command_confine,
	},
	{
		.name = "unadopt",
		.arguments = "SELECTOR",
		.summary = "give adopted containers back to their owner",
		.description =
			"Puts the configuration back as it was before confine, restarts the container when\n"
			"it was confined, which it then is no more, and forgets it. The container itself\n"
			"stays. Asks before it does so.",
		.example = "phoenixctl unadopt web1",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.options = { { "yes", 'y', NULL, "do not ask" } },
		.run = command_unadopt,
	},
	{
		.name = "schema",
		.summary = "print the JSON Schema of the fleet file",
		.description = "For editors, and for programs that write fleet files.",
		.example = "phoenixctl schema > fleet.schema.json",
		.run = command_schema,
	},
	{
		.name = "list",
		.arguments = "[SELECTOR]",
		.summary = "list the containers",
		.description =
			"One line per container; best-effort confinement is always shown. SELECTOR picks\n"
			"some: names and globs, 'web1,db*', and labels, 'role=web,zone!=b'.",
		.example = "phoenixctl list role=web",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.options = { { "names", 'n', NULL, "only the names, for scripts" } },
		.run = command_list,
	},
	{
		.name = "show",
		.arguments = "NAME",
		.summary = "show everything known of one container",
		.description =
			"Facts that the host has observed and claims of the agent are marked as\n"
			"such: a container's root can replace the agent.",
		.example = "phoenixctl show web1",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.run = command_show,
	},
	{
		.name = "health",
		.arguments = "[SELECTOR]",
		.summary = "tell how the containers are, right now",
		.description =
			"Asks the host and every agent. Exits with 3 when a container is not\n"
			"ready. Contact that is lost counts as Unknown, not as dead. SELECTOR is as for\n"
			"list; that it selects nothing is an error, so that no check passes by a slip.",
		.example = "phoenixctl health 'role=web,zone!=b'",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.run = command_health,
	},
	{
		.name = "verify",
		.arguments = "[SELECTOR]",
		.summary = "prove storage, Docker and confinement by behaviour",
		.description =
			"Uses the storage driver on the real data-root, runs a nested container from\n"
			"an image made on the spot, and reads the label of its process from the host.\n"
			"Leaves nothing behind. Exits with 3 when a check failed. SELECTOR is as for list.",
		.example = "phoenixctl verify web1,db*",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.run = command_verify,
	},
	{
		.name = "preflight",
		.arguments = "[NAME]",
		.summary = "find what stands in Docker's way, before installing or upgrading",
		.description =
			"Looks at the host: kernel modules, quotas of keys, user namespaces, control\n"
			"groups, /dev/fuse, AppArmor. With NAME its agent also tries what runc will do\n"
			"inside. --error judges a message of Docker that you have: images with owners\n"
			"beyond the container's ids. Changes nothing. Exits with 2 when something is\n"
			"found with which Docker does not work.",
		.example = "phoenixctl preflight web1",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.options = { { "error", 'e', "TEXT", "what docker pull or docker run printed" } },
		.run = command_preflight,
	},
	{
		.name = "storage",
		.arguments = "[NAME]",
		.summary = "tell which storage driver suits, why, and what it costs",
		.description =
			"Probes the real data-root, tells what 'driver: auto' would choose and why,\n"
			"and measures the driver in use and the other one that passes, for at most two\n"
			"seconds a container. Changes nothing. Exits with 3 when no driver can be used.",
		.example = "phoenixctl storage web1",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.run = command_storage,
	},
	{
		.name = "rollout start",
		.arguments = "-f FLEET.yaml [--only SELECTOR]",
		.summary = "carry the changes of a fleet file to containers that exist",
		.description =
			"Preflight of all, then canaries, then waves: each container is drained,\n"
			"changed, verified, and watched for a while before the next. What fails goes\n"
			"back to its last good state; when more fail than may, no other container is\n"
			"touched. The key 'rollout' of the file says how (docs/rollouts.md). Another image\n"
			"is another root file system; the old one is kept for going back. Goes on in\n"
			"phoenixd: ^C ends the watching only. With --watch it exits with 3 when the\n"
			"rollout did not get done.",
		.example = "phoenixctl rollout start -f fleet.yaml --only role=web --watch",
		.options = { { "file", 'f', "FILE", "the fleet file, - for standard input" },
			     { "only", 'O', "SELECTOR", "only these: names, globs, labels" },
			     { "watch", 'w', NULL, "follow it to its end" },
			     { "dry-run", 'd', NULL, "show the changes, make none" },
			     { "push-agents", 'G', NULL,
			       "also give each container the controller's own agent anew" } },
		.run = command_rollout_start,
	},
	{
		.name = "rollout status",
		.arguments = "[ID]",
		.summary = "show how a rollout stands",
		.description =
			"The newest, unless one is named. Exits with 3 when it was halted or reverted\n"
			"by itself.",
		.example = "phoenixctl rollout status --watch",
		.arguments_maximum = 1,
		.options = { { "watch", 'w', NULL, "follow it to its end" } },
		.run = command_rollout_status,
	},
	{
		.name = "rollout show",
		.arguments = "[ID]",
		.summary = "show all of a rollout: each change with its reason, each failure",
		.description = "The newest, unless one is named. Exits as status does.",
		.example = "phoenixctl rollout show",
		.arguments_maximum = 1,
		.run = command_rollout_show,
	},
	{
		.name = "rollout pause",
		.arguments = "[ID]",
		.summary = "begin no further container",
		.description =
			"What was begun is finished; nothing else is touched until resume.",
		.example = "phoenixctl rollout pause",
		.arguments_maximum = 1,
		.run = command_rollout_pause,
	},
	{
		.name = "rollout resume",
		.arguments = "[ID]",
		.summary = "go on with a rollout that is paused or at a gate",
		.description =
			"A gate is passed, a pause ends.",
		.example = "phoenixctl rollout resume",
		.arguments_maximum = 1,
		.run = command_rollout_resume,
	},
	{
		.name = "rollout abort",
		.arguments = "[ID]",
		.summary = "stop a rollout",
		.description =
			"What was begun goes back to its last good state, what is done stays, nothing\n"
			"else is touched.",
		.example = "phoenixctl rollout abort",
		.arguments_maximum = 1,
		.run = command_rollout_abort,
	},
	{
		.name = "rollout revert",
		.arguments = "[ID]",
		.summary = "take a rollout back",
		.description =
			"Everything that it changed goes back to its last good state, no more at once\n"
			"than may be unavailable. Also of one that is over, while its changes still stand.",
		.example = "phoenixctl rollout revert",
		.arguments_maximum = 1,
		.run = command_rollout_revert,
	},
	{
		.name = "rollout history",
		.summary = "list the rollouts, the newest first",
		.description = "Those in progress and the last 20 that are over.",
		.example = "phoenixctl rollout history",
		.run = command_rollout_history,
	},
	{
		.name = "events",
		.summary = "print what has happened, and what happens",
		.description =
			"Events are numbered without gaps; what retention has removed is shown as\n"
			"a gap. --since takes the number to go on from.",
		.example = "phoenixctl events --follow --container web1",
		.options = { { "follow", 'F', NULL, "go on with new events until ^C" },
			     { "since", 'S', "SEQ", "begin with this number" },
			     { "tail", 't', "N", "begin with the newest N" },
			     { "container", 'c', "NAME", "only this container's" } },
		.run = command_events,
	},
	{
		.name = "apparmor status",
		.summary = "show how every container on this host is confined",
		.description =
			"What kernel and parser can do, each profile of Phoenix with its state, and every\n"
			"container that runs here, also those of other programs, with its label and\n"
			"since when it runs unconfined. Exits with 3 when a container is not confined\n"
			"and no fleet file says that it need not be.",
		.example = "phoenixctl apparmor status",
		.run = command_apparmor_status,
	},
	{
		.name = "apparmor check",
		.summary = "find out why AppArmor policy does not load, and which file is guilty",
		.description =
			"The parser often blames the wrong file. This scans every file of the tree and\n"
			"proves its suspicions with the parser on a private copy: a file is guilty when\n"
			"the policy does not load with it and loads without its damage. Needs neither\n"
			"phoenixd nor AppArmor in the kernel. Exits with 3 when something is wrong.",
		.example = "phoenixctl apparmor check",
		.options = { { "tree", 'D', "DIR", "the policy to examine (default /etc/apparmor.d)" } },
		.run = command_apparmor_check,
	},
	{
		.name = "apparmor repair",
		.summary = "repair AppArmor policy that does not load",
		.description =
			"Does what check does, shows the changes and asks. Only files that are proven\n"
			"guilty are written, each at once and whole, with a backup. When the policy does\n"
			"not load afterwards everything is taken back. Then what could not be loaded is\n"
			"loaded, and the profiles that were not in force are named. Exits with 1 when\n"
			"it cannot repair, with 3 after --dry-run with something to repair.",
		.example = "phoenixctl apparmor repair --tree /srv/copy-of-apparmor.d --dry-run",
		.options = { { "tree", 'D', "DIR", "the policy to repair (default /etc/apparmor.d)" },
			     { "yes", 'y', NULL, "do not ask" },
			     { "dry-run", 'd', NULL, "show the changes, make none" },
			     { "backups", 'b', "DIR",
			       "where the old files go (default /var/backups/phoenix-apparmor)" } },
		.run = command_apparmor_repair,
	},
	{
		.name = "apparmor render",
		.summary = "print the profile that containers of this host run under",
		.description =
			"Made as phoenix-host makes it, for review: nothing is loaded and phoenixd is not\n"
			"asked. Rules that only some parsers or kernels know are in it when this host's\n"
			"do; --features names another kernel's features, as it shows them below\n"
			"/sys/kernel/security/apparmor/features.",
		.example = "phoenixctl apparmor render --data-root /srv/docker",
		.options = { { "data-root", 'r', "DIR",
			       "Docker's, as the container sees it (default /var/lib/docker)" },
			     { "driver", 'R', "NAME",
			       "only this storage driver: fuse-overlayfs, overlay2 or vfs (default any)" },
			     { "mode", 'M', "MODE", "named or stacked (default named)" },
			     { "features", 'K', "DIR", "the kernel's features (default this one's)" },
			     { "profiles", 'P', "DIR", "the profile's source (default what is installed)" } },
		.run = command_apparmor_render,
	},
	{
		.name = "apparmor denials",
		.arguments = "[NAME]",
		.summary = "show what the AppArmor profile has refused",
		.description =
			"Equal denials are one line with a count; what is known of a pattern stands\n"
			"below the table with what to do about it. Counted since phoenixd started.\n"
			"A container '?' is one that could not be told. Exits with 3 when denials\n"
			"cannot be read on this host.",
		.example = "phoenixctl apparmor denials web1",
		.arguments_maximum = 1,
		.completes = { WORDS_CONTAINERS },
		.options = { { "follow", 'F', NULL, "go on with new ones until ^C" } },
		.run = command_apparmor_denials,
	},
	{
		.name = "rotate-key",
		.arguments = "[NAME]...",
		.summary = "replace the keys that containers' agents prove themselves with",
		.description =
			"The old key is worth nothing from then on: its session ends, and the agent is\n"
			"pushed again with the new one. An install or verify in progress goes on. Each\n"
			"name is tried, also when one before it failed.",
		.example = "phoenixctl rotate-key --all",
		.arguments_maximum = ARGUMENTS_ANY,
		.completes = { WORDS_CONTAINERS, WORDS_CONTAINERS },
		.options = { { "all", 'a', NULL, "of every container" } },
		.run = command_rotate_key,
	},
	{
		.name = "remove",
		.arguments = "NAME...",
		.summary = "stop and remove containers with their Docker data",
		.description =
			"Everything of the container goes: processes, file system, data-root,\n"
			"network port, id range. The last one takes the bridge and the profile\n"
			"along. Each name is tried, also when one before it failed.",
		.example = "phoenixctl remove web1 web2",
		.arguments_minimum = 1,
		.arguments_maximum = ARGUMENTS_ANY,
		.completes = { WORDS_CONTAINERS, WORDS_CONTAINERS },
		.run = command_remove,
	},
	{
		.name = "discard",
		.arguments = "NAME... | --selector SELECTOR",
		.summary = "remove the root file systems that are kept for going back",
		.description =
			"A rollout that gives a container another image keeps the root file system that it\n"
			"had; this frees its room, and takes the way back with it. What the container runs\n"
			"on, and its Docker data, stay. Asks before it does so. Refused while a rollout\n"
			"has its hands on one of them. Each name is tried, also when one before it failed.",
		.example = "phoenixctl discard web1 web2",
		.arguments_maximum = ARGUMENTS_ANY,
		.completes = { WORDS_CONTAINERS, WORDS_CONTAINERS },
		.options = { { "selector", 'l', "SELECTOR", "these: names, globs, labels" },
			     { "yes", 'y', NULL, "do not ask" } },
		.run = command_discard,
	},
	{
		.name = "image import",
		.arguments = "NAME TAR|DIR",
		.summary = "import a root file system as an image",
		.description =
			"Takes a tar archive (also .gz, .xz, .zst) or a directory. Importing the\n"
			"same archive again changes nothing.",
		.example = "phoenixctl image import bookworm rootfs.tar.zst",
		.arguments_minimum = 2,
		.arguments_maximum = 2,
		.completes = { WORDS_IMAGES, WORDS_FILES },
		.options = { { "spool", 'p', "DIR",
			       "the controller's spool directory (default "
			       "/var/lib/phoenix/spool, or $PHOENIX_SPOOL)" } },
		.run = command_image_import,
	},
	{
		.name = "image build",
		.arguments = "NAME",
		.summary = "build a Debian image with mmdebstrap and import it",
		.description =
			"Builds a minimal Debian with systemd from the package archive. Needs the\n"
			"package mmdebstrap, root, and a network.",
		.example = "phoenixctl image build bookworm --suite bookworm",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.completes = { WORDS_IMAGES },
		.options = { { "suite", 'u', "SUITE", "the Debian suite (default bookworm)" },
			     { "include", 'i', "LIST", "further packages, separated by commas" },
			     { "mirror", 'm', "URL", "the package archive to use" },
			     { "spool", 'p', "DIR", "the controller's spool directory" } },
		.run = command_image_build,
	},
	{
		.name = "image list",
		.summary = "list the images",
		.description = "Name, size, date and source of each image.",
		.example = "phoenixctl image list",
		.options = { { "names", 'n', NULL, "only the names, for scripts" } },
		.run = command_image_list,
	},
	{
		.name = "image remove",
		.arguments = "NAME",
		.summary = "remove an image that no container uses",
		.description = "Refused while containers are clones of it, or keep a root file system of it\n"
			"for going back (discard).",
		.example = "phoenixctl image remove bookworm",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.completes = { WORDS_IMAGES },
		.run = command_image_remove,
	},
	{
		.name = "bundle build",
		.arguments = "NAME",
		.summary = "collect Docker's packages for hosts without a network",
		.description =
			"Downloads Docker and all that it needs for a Debian suite, with apt in a\n"
			"private folder, and imports the result. With --output it only writes the\n"
			"archive, to be carried to the host that imports it. 'docker: {source: bundle,\n"
			"bundle: NAME}' in a fleet file installs from it.",
		.example = "phoenixctl bundle build docker12 --suite bookworm",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.options = { { "suite", 'u', "SUITE", "the Debian suite (default bookworm)" },
			     { "include", 'i', "LIST", "further packages, separated by blanks" },
			     { "mirror", 'm', "URL", "the package archive to use" },
			     { "keyring", 'k', "FILE", "the keys that the suite is signed with" },
			     { "output", 'o', "FILE", "write the archive here, import nothing" },
			     { "spool", 'p', "DIR", "the controller's spool directory" } },
		.run = command_bundle_build,
	},
	{
		.name = "bundle import",
		.arguments = "NAME TAR",
		.summary = "import a bundle of packages",
		.description =
			"Every file is checked against the manifest in the archive. Importing the\n"
			"same bundle again changes nothing.",
		.example = "phoenixctl bundle import docker12 docker12.tar",
		.arguments_minimum = 2,
		.arguments_maximum = 2,
		.completes = { 0, WORDS_FILES },
		.options = { { "spool", 'p', "DIR", "the controller's spool directory" } },
		.run = command_bundle_import,
	},
	{
		.name = "bundle list",
		.summary = "list the bundles",
		.description = "Name, size, date and the hash of the manifest.",
		.example = "phoenixctl bundle list",
		.run = command_bundle_list,
	},
	{
		.name = "bundle remove",
		.arguments = "NAME",
		.summary = "remove a bundle",
		.description = "Containers keep what they have installed from it.",
		.example = "phoenixctl bundle remove docker12",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.run = command_bundle_remove,
	},
	{
		.name = "version",
		.summary = "print the versions of client, controller and host",
		.description = "Also what the host can do: AppArmor, cgroups, cloning.",
		.example = "phoenixctl version",
		.run = command_version,
	},
	{
		.name = "help",
		.arguments = "[COMMAND]",
		.summary = "explain phoenixctl, or a command",
		.description = "The same as --help.",
		.example = "phoenixctl help image import",
		.arguments_maximum = 2,
		.completes = { WORDS_COMMANDS, WORDS_COMMANDS },
		.run = command_help,
	},
	{
		.name = "completion",
		.arguments = "bash",
		.summary = "print the shell completion",
		.description = "To be read by the shell.",
		.example = "source <(phoenixctl completion bash)",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.completes = { WORDS_SHELLS },
		.run = command_completion,
	},
	{
		.name = "man",
		.summary = "print the manual page as roff",
		.description = "The page that is installed as phoenixctl(1).",
		.example = "phoenixctl man | man -l -",
		.run = command_man,
	},
};

const size_t command_count = ARRAY_LENGTH(commands);
