/*
 * phoenixctl apparmor render: the profile's text for review. Made by the same code and from the same files as
 * what phoenix-host loads, but here: nothing is loaded, no daemon is asked.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/host/confine/abilities.h"
#include "controller/host/confine/render.h"
#include "controller/host/exec/exec.h"

#define KERNEL_FEATURES "/sys/kernel/security/apparmor/features"

static int read_mode(const struct invocation *invocation, struct confine_render *render,
		     struct ph_error *error)
{
	const char *mode = invocation_value(invocation, "mode");

	if (text_equal(mode ?: "named", "stacked"))
		render->kind = CONFINE_STACKED;
	else if (mode && !text_equal(mode, "named"))
		return error_set(error, -EINVAL, "--mode", "write named or stacked",
				 "there is no mode '%s'", mode);
	return 0;
}

/* A directory that was named has to be there; the kernel's own need not. */
static int find_features(const struct invocation *invocation, struct confine_render *render,
			 struct ph_error *error)
{
	const struct confine_abilities places = {
		.features = invocation_value(invocation, "features")
	};
	struct stat status;

	if (places.features && (stat(places.features, &status) < 0 || !S_ISDIR(status.st_mode)))
		return error_set(error, -EINVAL, places.features,
				 "name " KERNEL_FEATURES " or a copy of another host's",
				 "it is no directory of features");
	render->features = confine_abilities_choose(&places, confine_abilities_words(NULL));
	return 0;
}

/* What is missing in the text because this machine could not be asked. */
static void note_what_is_missing(const struct invocation *invocation)
{
	if (!invocation_value(invocation, "features") && access(KERNEL_FEATURES, F_OK))
		fputs("phoenixctl: this kernel has no AppArmor to ask: rendered without what only some "
		      "kernels mediate (--features DIR)\n", stderr);
	if (!exec_is_installed("apparmor_parser"))
		fputs("phoenixctl: apparmor_parser is not installed: rendered without what only some "
		      "parsers know\n", stderr);
}

static void print_as_json(const char *text, const struct confine_render *render)
{
	const char *names[CONFINE_FEATURES_MAXIMUM];
	size_t count = confine_feature_names(render->features, names);
	char name[CONFINE_NAME_SIZE], hash[65];
	json_t *list = json_array(), *root;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(names[i]));
	confine_render_name(render, name);
	confine_text_hash(text, hash);
	root = json_pack("{s:s, s:s, s:o, s:s}", "profile", name, "hash", hash, "features", list,
			 "text", text);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

int command_apparmor_render(struct invocation *invocation, struct ph_error *error)
{
	struct confine_render render = { .data_root = invocation_value(invocation, "data-root"),
					 .driver = invocation_value(invocation, "driver") };
	const char *directory = invocation_value(invocation, "profiles");
	PH_AUTO_FREE char *text = NULL;
	struct config config;
	int code = read_mode(invocation, &render, error);

	config_init(&config);
	if (code == 0)
		code = find_features(invocation, &render, error);
	if (code == 0)
		code = confine_render(directory ?: config.profiles_dir, &render, &text, error);
	/* A file of ours is missing: no container or image, which have an exit code of their own. */
	if (code < 0)
		return code == -ENOENT ? -EINVAL : code;
	note_what_is_missing(invocation);
	if (invocation->json)
		print_as_json(text, &render);
	else
		fputs(text, stdout);
	return EXIT_OK;
}
