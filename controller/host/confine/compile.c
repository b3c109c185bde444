/*
 * The cache is keyed by everything the result depends on and its files are only believed when they
 * are ours alone (owner, one link, no symlink, root's directory).
 */
#include "controller/host/confine/compile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/confine/render.h"
#include "controller/host/exec/exec.h"

#define PARSER_DEADLINE_MS 30000
#define CACHE_NAME_SIZE 80

/* "Cache read/write disabled ..." and warnings may stand before the line that counts. */
char *confine_compile_reason(const char *messages)
{
	static const char mark[] = "AppArmor parser error";
	const char *line = strstr(messages, mark);
	size_t length;

	if (!line)
		line = strcasestr(messages, "error");
	if (!line)
		line = messages;
	while (line > messages && line[-1] != '\n')
		line--;
	length = strcspn(line, "\n");
	return length ? ph_strndup(line, length) : ph_strdup("it gave no reason");
}

static int run_parser(const struct confine_compile *compile, struct str *ret_binary,
		      struct ph_error *error)
{
	const char *argv[10] = { "apparmor_parser", "--skip-kernel-load", "--skip-cache", "--quiet",
				 "--stdout" };
	struct exec_request request = { .argv = argv, .input = compile->text,
					.deadline_ms = PARSER_DEADLINE_MS,
					.output_maximum = CONFINE_BINARY_MAXIMUM };
	EXEC_AUTO_RESULT struct exec_result result = EXEC_RESULT_INIT;
	int outcome;

	if (compile->features_file) {
		argv[5] = "--features-file";
		argv[6] = compile->features_file;
	}
	outcome = exec_run(&request, &result, error);
	if (outcome < 0)
		return outcome;
	if (outcome == EXEC_FAILED) {
		PH_AUTO_FREE char *reason = confine_compile_reason(str_text(&result.errors));

		return error_set(error, -EINVAL, CONFINE_PROFILE,
				 "apparmor_parser refused it; check that the packages apparmor and "
				 "Phoenix's profiles are whole", "%s", reason);
	}
	if (result.truncated || !result.output.length)
		return error_set(error, -EIO, CONFINE_PROFILE, NULL,
				 "apparmor_parser gave %s", result.truncated ? "too much" : "nothing");
	*ret_binary = result.output;
	result.output = STR_INIT;
	return 0;
}

static void cache_name(const struct confine_compile *compile, char name[CACHE_NAME_SIZE])
{
	PH_AUTO_STR struct str key = STR_INIT;
	char hash[65];

	str_appendf(&key, "1\n%s\n%s\n%s\n%s", compile->features_id ?: "",
		    compile->parser_version ?: "", compile->features_file ?: "", compile->text);
	confine_text_hash(str_text(&key), hash);
	snprintf(name, CACHE_NAME_SIZE, "%s.policy", hash);
}

static bool read_cache(int directory, const char *name, struct str *ret_binary)
{
	PH_AUTO_CLOSE int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	PH_AUTO_FREE char *bytes = NULL;
	struct stat status;

	if (fd < 0 || fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_nlink != 1 ||
	    status.st_uid != geteuid() || (status.st_mode & 022) || status.st_size < 1 ||
	    status.st_size > CONFINE_BINARY_MAXIMUM)
		return false;
	bytes = ph_alloc((size_t)status.st_size);
	if (pread(fd, bytes, (size_t)status.st_size, 0) != status.st_size)
		return false;
	str_append_bytes(ret_binary, bytes, (size_t)status.st_size);
	return true;
}

/* Write beside, then rename: a reader sees the whole file or none. */
static void write_cache(int directory, const char *name, const struct str *binary)
{
	PH_AUTO_FREE char *beside = ph_format("%s.%d", name, getpid());
	PH_AUTO_CLOSE int fd = openat(directory, beside,
				      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	if (write(fd, binary->data, binary->length) != (ssize_t)binary->length || fsync(fd) ||
	    renameat(directory, beside, directory, name))
		unlinkat(directory, beside, 0);
}

int confine_compile(const struct confine_compile *compile, struct str *ret_binary, bool *ret_cached,
		    struct ph_error *error)
{
	PH_AUTO_STR struct str binary = STR_INIT;
	PH_AUTO_CLOSE int directory = -1;
	char name[CACHE_NAME_SIZE];
	bool cached;
	int code = 0;

	if (compile->cache_dir)
		directory = open(compile->cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cache_name(compile, name);
	cached = directory >= 0 && read_cache(directory, name, &binary);
	if (!cached)
		code = run_parser(compile, &binary, error);
	if (code < 0) {
		error_prefix(error, "compile profile");
		return code;
	}
	if (!cached && directory >= 0)
		write_cache(directory, name, &binary);
	if (ret_cached)
		*ret_cached = cached;
	*ret_binary = binary;
	binary = STR_INIT;
	return 0;
}
