#include "controller/link/agent_policy.h"

#include "common/cleanup.h"
#include "common/str.h"

static bool wants_docker(const Phoenix__ContainerSpec *spec)
{
	return !text_equal(spec->docker_source, "none");
}

static bool may_repair(const Phoenix__ContainerSpec *spec)
{
	return spec->docker && spec->docker->n_repair > 0;
}

static const struct agent_policy rows[AGENT_POLICY_ROWS] = {
	{ "Describe", "what distribution, init and Docker there are", NULL, NULL },
	{ "Install", "install and configure Docker", wants_docker, "docker: {source: none}" },
	{ "Verify", "prove storage and Docker by behaviour, in scratch space", NULL, NULL },
	{ "Resume", "let a held verify go on", NULL, NULL },
	{ "Health", "cheap facts about Docker and its storage", NULL, NULL },
	{ "Repair", "restart a container whose fuse-overlayfs has died", may_repair,
	  "no docker: {repair: [fuse-daemon]}" },
	{ "Storage", "measure what the storage drivers cost, in scratch space", NULL, NULL },
	{ "Preflight", "try what runc will do", NULL, NULL },
};

const struct agent_policy *agent_policy_rows(void)
{
	return rows;
}

bool agent_policy_allows(const Phoenix__ContainerSpec *spec, const char *method)
{
	for (size_t i = 0; spec && i < ARRAY_LENGTH(rows); i++)
		if (text_equal(rows[i].method, method))
			return !rows[i].applies || rows[i].applies(spec);
	return false;
}
