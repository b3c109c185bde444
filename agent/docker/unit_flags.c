/* Not a parser of systemd's quoting: words are cut at blanks and quotes, which is how flags stand. */
#include "agent/docker/unit_flags.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

/* Where a flag is not "--" and the key. */
static const struct {
	const char *key;
	const char *flags[3];
} spellings[] = {
	{ "allow-nondistributable-artifacts", { "--allow-nondistributable-artifacts" } },
	{ "authorization-plugins", { "--authorization-plugin" } },
	{ "bridge", { "--bridge", "-b" } },
	{ "data-root", { "--data-root", "--graph", "-g" } },
	{ "debug", { "--debug", "-D" } },
	{ "default-address-pools", { "--default-address-pool" } },
	{ "default-ulimits", { "--default-ulimit" } },
	{ "dns-opts", { "--dns-opt" } },
	{ "exec-opts", { "--exec-opt" } },
	{ "features", { "--feature" } },
	{ "group", { "--group", "-G" } },
	{ "hosts", { "--host", "-H" } },
	{ "insecure-registries", { "--insecure-registry" } },
	{ "labels", { "--label" } },
	{ "log-level", { "--log-level", "-l" } },
	{ "log-opts", { "--log-opt" } },
	{ "node-generic-resources", { "--node-generic-resource" } },
	{ "pidfile", { "--pidfile", "-p" } },
	{ "registry-mirrors", { "--registry-mirror" } },
	{ "runtimes", { "--add-runtime" } },
	{ "storage-driver", { "--storage-driver", "-s" } },
	{ "storage-opts", { "--storage-opt" } },
};

/* "--name", "--name=value"; of a letter also "-Hvalue". */
static bool word_is(const char *word, size_t length, const char *flag)
{
	size_t size = strlen(flag);

	if (length < size || memcmp(word, flag, size) != 0)
		return false;
	return length == size || word[size] == '=' || flag[1] != '-';
}

static bool word_is_flag_of(const char *word, size_t length, const char *key)
{
	PH_AUTO_FREE char *plain = ph_format("--%s", key);

	for (size_t i = 0; i < ARRAY_LENGTH(spellings); i++) {
		if (strcmp(spellings[i].key, key) != 0)
			continue;
		for (size_t j = 0; j < ARRAY_LENGTH(spellings[i].flags); j++)
			if (spellings[i].flags[j] &&
			    word_is(word, length, spellings[i].flags[j]))
				return true;
		return false;
	}
	return word_is(word, length, plain);
}

static bool line_has_flag(const char *line, size_t length, const char *key, char flag[64])
{
	static const char blanks[] = " \t\"'";
	size_t at = 0;

	while (at < length) {
		size_t begin;

		while (at < length && strchr(blanks, line[at]))
			at++;
		begin = at;
		while (at < length && !strchr(blanks, line[at]))
			at++;
		if (line[begin] == '-' && word_is_flag_of(line + begin, at - begin, key)) {
			snprintf(flag, 64, "%.*s", (int)strcspn(line + begin, "= \t\"'\n\\"),
				 line + begin);
			return true;
		}
	}
	return false;
}

bool unit_flag_find(const char *text, enum unit_kind kind, const char *key, char ret_flag[64],
		    unsigned int *ret_line)
{
	static const char *const begins[] = { [UNIT_SYSTEMD] = "ExecStart=",
					      [UNIT_DEFAULT] = "DOCKER_OPTS=" };
	bool within = false;

	for (unsigned int number = 1; *text; number++) {
		size_t length = strcspn(text, "\n");
		size_t blank = strspn(text, " \t");
		bool is_begin = text_has_prefix(text + blank, begins[kind]);
		size_t skip = is_begin ? blank + strlen(begins[kind]) : blank;

		within = within || is_begin;
		if (within && skip < length &&
		    line_has_flag(text + skip, length - skip, key, ret_flag)) {
			*ret_line = number;
			return true;
		}
		within = within && length > 0 && text[length - 1] == '\\';
		text += length + (text[length] == '\n');
	}
	return false;
}
