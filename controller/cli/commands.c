#include "controller/cli/commands.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

const struct command_option global_options[] = {
	{ "socket", 's', "ADDRESS", "the controller's socket (default unix:/run/phoenix/control.sock, "
				    "or $PHOENIX_SOCKET)" },
	{ "json", 'j', NULL, "print JSON for programs; streams print one object per line" },
	{ "help", 'h', NULL, "explain phoenixctl, or the command" },
	{ 0 },
};

const char *const exit_codes[][2] = {
	{ "0", "done; healthy; verified" },
	{ "1", "the operation failed" },
	{ "2", "bad usage, or a bad input file: nothing was changed" },
	{ "3", "something is unhealthy, or a verify did not pass" },
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
			"a container that could not be prepared leaves nothing behind.",
		.example = "phoenixctl apply -f fleet.yaml",
		.is_local = true, /* the file is checked before anybody is called */
		.options = { { "file", 'f', "FILE", "the fleet file, - for standard input" } },
		.run = command_apply,
	},
	{
		.name = "list",
		.summary = "list the containers",
		.description = "One line per container; best-effort confinement is always shown.",
		.example = "phoenixctl list",
		.options = { { "names", 'n', NULL, "only the names, for scripts" } },
		.run = command_list,
	},
	{
		.name = "show",
		.arguments = "NAME",
		.summary = "show everything known of one container",
		.description = "Facts that the host has observed and claims of the agent are marked as\n"
			       "such: a container's root can replace the agent.",
		.example = "phoenixctl show web1",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.completes_names = true,
		.run = command_show,
	},
	{
		.name = "health",
		.arguments = "[NAME]",
		.summary = "tell how the containers are, right now",
		.description = "Asks the host and every agent. Exits with 3 when a container is not\n"
			       "ready. Contact that is lost counts as Unknown, not as dead.",
		.example = "phoenixctl health",
		.arguments_maximum = 1,
		.completes_names = true,
		.run = command_health,
	},
	{
		.name = "verify",
		.arguments = "[NAME]",
		.summary = "prove storage, Docker and confinement by behaviour",
		.description =
			"Uses the storage driver on the real data-root, runs a nested container from\n"
			"an image made on the spot, and reads the label of its process from the host.\n"
			"Leaves nothing behind. Exits with 3 when a check failed.",
		.example = "phoenixctl verify web1",
		.arguments_maximum = 1,
		.completes_names = true,
		.run = command_verify,
	},
	{
		.name = "events",
		.summary = "print what has happened, and what happens",
		.description = "Events are numbered without gaps; what retention has removed is shown as\n"
			       "a gap. --since takes the number to go on from.",
		.example = "phoenixctl events --follow --container web1",
		.options = { { "follow", 'F', NULL, "go on with new events until ^C" },
			     { "since", 'S', "SEQ", "begin with this number" },
			     { "tail", 't', "N", "begin with the newest N" },
			     { "container", 'c', "NAME", "only this container's" } },
		.run = command_events,
	},
	{
		.name = "remove",
		.arguments = "NAME...",
		.summary = "stop and remove containers with their Docker data",
		.description = "Everything of the container goes: processes, file system, data-root,\n"
			       "network port, id range. The last one takes the bridge and the profile\n"
			       "along.",
		.example = "phoenixctl remove web1 web2",
		.arguments_minimum = 1,
		.arguments_maximum = ARGUMENTS_MAXIMUM,
		.completes_names = true,
		.run = command_remove,
	},
	{
		.name = "image import",
		.arguments = "NAME TAR|DIR",
		.summary = "import a root file system as an image",
		.description = "Takes a tar archive (also .gz, .xz, .zst) or a directory. Importing the\n"
			       "same archive again changes nothing.",
		.example = "phoenixctl image import bookworm rootfs.tar.zst",
		.arguments_minimum = 2,
		.arguments_maximum = 2,
		.options = { { "spool", 'p', "DIR", "the controller's spool directory (default "
						    "/var/lib/phoenix/spool, or $PHOENIX_SPOOL)" } },
		.run = command_image_import,
	},
	{
		.name = "image build",
		.arguments = "NAME",
		.summary = "build a Debian image with mmdebstrap and import it",
		.description = "Builds a minimal Debian with systemd from the package archive. Needs the\n"
			       "package mmdebstrap, root, and a network.",
		.example = "phoenixctl image build bookworm --suite bookworm",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
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
		.run = command_image_list,
	},
	{
		.name = "image remove",
		.arguments = "NAME",
		.summary = "remove an image that no container uses",
		.description = "Refused while containers are clones of it.",
		.example = "phoenixctl image remove bookworm",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.run = command_image_remove,
	},
	{
		.name = "version",
		.summary = "print the versions of client, controller and host",
		.description = "Also what the host can do: AppArmor, cgroups, cloning.",
		.example = "phoenixctl version",
		.run = command_version,
	},
	{
		.name = "completion",
		.arguments = "bash",
		.summary = "print the shell completion",
		.description = "To be read by the shell.",
		.example = "source <(phoenixctl completion bash)",
		.arguments_minimum = 1,
		.arguments_maximum = 1,
		.is_local = true,
		.run = command_completion,
	},
	{
		.name = "man",
		.summary = "print the manual page as roff",
		.description = "The page that is installed as phoenixctl(1).",
		.example = "phoenixctl man | man -l -",
		.is_local = true,
		.run = command_man,
	},
};

const size_t command_count = ARRAY_LENGTH(commands);

const char *invocation_value(const struct invocation *invocation, const char *name)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && invocation->command->options[i].name; i++)
		if (strcmp(invocation->command->options[i].name, name) == 0)
			return invocation->values[i];
	return NULL;
}

int invocation_number(const struct invocation *invocation, const char *name, uint64_t *ret_value,
		      struct ph_error *error)
{
	const char *value = invocation_value(invocation, name);

	if (!value)
		return 0;
	if (text_to_u64(value, UINT64_MAX, ret_value) < 0)
		return error_set(error, -EINVAL, name, "give a whole number",
				 "'%s' is not a number", value);
	return 0;
}
