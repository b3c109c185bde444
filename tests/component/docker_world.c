/*
 * The fakes keep their state in files:
 *   world/packages/NAME   "iU |26.1": dpkg's state and version
 *   world/active          dockerd runs; its text is the driver that it read when it started
 *   world/log             one line per call
 *   world/fail-WHAT       that call fails, with this text on stderr; the fakes say what WHAT can be
 */
#include "tests/component/docker_world.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define PROLOGUE                                                                                   \
	"W=$R/world\n"                                                                             \
	"echo \"${0##*/} $*\" >>$W/log\n"                                                          \
	"fail() { [ -e $W/fail-$1 ] || return 0; cat $W/fail-$1 >&2; exit ${2:-100}; }\n"          \
	"package() { printf '%s' \"$2\" >$W/packages/$1; }\n"                                      \
	"configure() { for p in $W/packages/*; do case $(cat $p) in iU*|iF*)"                      \
	" package ${p##*/} \"ii |${2:-26.1}\";; esac; done; rm -f $R/var/lib/dpkg/updates/*; }\n"

static const char apt_get[] =
	"for word; do case $word in update|install|--download-only|--reinstall|--fix-broken)"
	" mode=$mode$word;; [a-z]*) [ \"${last#-o}\" = \"$last\" ] && list=\"$list $word\";; esac;"
	" last=$word; done\n"
	"list=$(for p in $list; do case $p in install|update) ;; *) echo $p;; esac; done)\n"
	"case $mode in\n"
	"update) fail update; touch $W/listed;;\n"
	"install--download-only) fail download;"
	" echo 'dlstatus:1:50.0:Retrieving file 1 of 1' >&3; touch $W/fetched;;\n"
	"install--reinstall) fail reinstall; for p in $list; do package $p 'iU |26.1'; done;;\n"
	"install--fix-broken) fail fix; fail configure; configure;;\n"
	"install) [ -e $W/fetched ] || { echo 'E: not fetched' >&2; exit 100; }\n"
	/* The order that keeps dockerd from starting wrongly is checked where it matters. */
	" $R/usr/sbin/policy-rc.d docker.service start; [ $? = 101 ] ||"
	" { echo 'E: dockerd would be started now' >&2; exit 100; }\n"
	" grep -q fuse-overlayfs $R/etc/docker/daemon.json || { echo 'E: not configured' >&2; exit 100; }\n"
	" for p in $list; do package $p 'iU |26.1'; done\n"
	" fail install\n"
	" [ -e $W/kill-install ] && kill -9 $$\n"
	" echo 'pmstatus:docker.io:50.0:Installing docker.io' >&3\n"
	" [ -e $W/lie-install ] || configure;;\n"
	"esac\nexit 0\n";

static const char apt_cache[] =
	"fail cache\nshift\n[ -e $W/listed ] || exit 0\n"
	"for p; do printf '%s:\\n  Installed: (none)\\n  Candidate: 26.1\\n' $p; done\n";

static const char dpkg[] = "fail configure 1\nconfigure\n";

static const char dpkg_query[] =
	"fail query 2\n"
	"for p in $W/packages/*; do s=$(cat $p); printf '%s\\t%s\\t%s\\n' \"${s%%|*}\" ${p##*/} "
	"${s#*|}; done\n";

static const char systemctl[] =
	"start() { fail start 1; sed -n 's/.*\"storage-driver\": \"\\(.*\\)\".*/\\1/p' "
	"$R/etc/docker/daemon.json >$W/active; }\n"
	"case $1 in\n"
	"is-active) [ -e $W/active ] || { echo inactive; exit 3; }\n"
	" [ -e $W/activating ] || { echo active; exit 0; }\n"
	" echo activating; exit 3;;\n"
	"start) [ -e $W/active ] || start;;\n"
	"restart) rm -f $W/activating; start;;\n"
	"esac\n";

static const char docker[] =
	"[ -e $W/active ] && [ ! -e $W/fail-info ] || {"
	" echo '{\"ServerErrors\":[\"Cannot connect to the Docker daemon\"]}'; exit 1; }\n"
	"d=$(cat $W/active); [ -e $W/driver ] && d=$(cat $W/driver)\n"
	"printf '{\"ServerVersion\":\"26.1\",\"Driver\":\"%s\",\"CgroupDriver\":\"systemd\"}' $d\n";

static const char apt_mark[] =
	"fail mark\nverb=$1; shift\n"
	"for p; do s=$(cat $W/packages/$p); case $verb in hold) w=h;; *) w=i;; esac;"
	" package $p \"$w${s#?}\"; done\n";

static const char usermod[] = "fail usermod 6\n"
			      "for word; do user=$word; done\n"
			      "sed -i \"s/^docker:.*/&$user/\" $R/etc/group\n";

/* Of 23.0 and later; before, it knows no such flag. */
static const char dockerd[] =
	"[ -e $W/old-dockerd ] && { echo 'unknown flag: --validate' >&2; exit 125; }\n"
	"fail validate 1\n"
	/* A container that boots: its init starts dockerd, which reads what is there. */
	"[ -e $W/boots ] && mv $W/boots $W/active\n"
	"[ -s \"$3\" ] && cp \"$3\" $W/validated\n";

static const char journalctl[] =
	"echo 'Started.'; echo 'failed to start daemon: the reason in the log'; echo 'Stopped.'\n";

static const struct {
	const char *name;
	const char *text;
} fakes[] = {
	{ "apt-get", apt_get },       { "apt-cache", apt_cache }, { "dpkg", dpkg },
	{ "dpkg-query", dpkg_query }, { "systemctl", systemctl }, { "docker", docker },
	{ "journalctl", journalctl }, { "apt-mark", apt_mark },   { "usermod", usermod },
	{ "dockerd", dockerd },
};

void docker_world_write(struct docker_world *world, const char *name, const char *text, mode_t mode)
{
	PH_AUTO_FREE char *path = ph_strdup(scratch_file(&world->scratch, name));
	char *slash = strrchr(path, '/');
	FILE *file;

	*slash = '\0';
	if (directory_make(path, 0755, NULL) < 0)
		abort();
	*slash = '/';
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, mode) < 0)
		abort();
}

void docker_world_remove(struct docker_world *world, const char *name)
{
	unlink(scratch_file(&world->scratch, name));
}

bool docker_world_has(struct docker_world *world, const char *name)
{
	struct stat status;

	return lstat(scratch_file(&world->scratch, name), &status) == 0;
}

char *docker_world_read(struct docker_world *world, const char *name)
{
	char *text = NULL;

	return file_read(scratch_file(&world->scratch, name), 1 << 20, &text, NULL, NULL) == 0 ?
		       text :
		       NULL;
}

static void fake_write(struct docker_world *world, const char *name, const char *text)
{
	PH_AUTO_FREE char *file = ph_format("bin/%s", name);
	PH_AUTO_FREE char *script = ph_format("#!/bin/sh\nR=%s\n%s%s", world->scratch.path,
					      PROLOGUE, text);

	docker_world_write(world, file, script, 0755);
}

void docker_world_init(struct docker_world *world)
{
	*world = (struct docker_world){ 0 };
	scratch_init(&world->scratch);
	snprintf(world->path, sizeof(world->path), "%s/bin:/usr/bin:/bin", world->scratch.path);
	world->wanted = (struct docker_wanted){
		.root = world->scratch.path,
		.path = world->path,
		.lock_timeout_ms = 1000,
		.start_timeout_ms = 300,
	};
	docker_world_write(world, "etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n", 0644);
	docker_world_write(world, "etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\n",
			   0644);
	docker_world_write(world, "etc/group", "root:x:0:\ndocker:x:101:\n", 0644);
	docker_world_write(world, "dev/fuse", "", 0666);
	docker_world_write(world, "var/lib/dpkg/status", "", 0644);
	docker_world_write(world, "var/lib/dpkg/lock-frontend", "", 0640);
	docker_world_write(world, "var/cache/apt/archives/lock", "", 0640);
	docker_world_write(world, "usr/sbin/readme", "", 0644);
	docker_world_write(world, "run/systemd/system/readme", "", 0644);
	docker_world_write(world, "world/log", "", 0644);
	docker_world_write(world, "world/packages/bash", "ii |5.2", 0644);
	for (size_t i = 0; i < ARRAY_LENGTH(fakes); i++)
		fake_write(world, fakes[i].name, fakes[i].text);
}

void docker_world_fini(struct docker_world *world)
{
	scratch_fini(&world->scratch);
}

static int line_compare(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

#define FILES_MAXIMUM 256

static void snapshot_walk(const char *path, char **lines, size_t *count)
{
	PH_AUTO_DIR DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		PH_AUTO_FREE char *name = ph_format("%s/%s", path, entry->d_name);
		struct stat status;

		if (strcmp(entry->d_name, "..") == 0 || text_has_suffix(name, "/world/log") ||
		    lstat(name, &status) < 0 || *count == FILES_MAXIMUM)
			continue;
		lines[(*count)++] = ph_format("%s %o %lld %llu %lld.%09ld\n", name, status.st_mode,
					      (long long)status.st_size,
					      (unsigned long long)status.st_ino,
					      (long long)status.st_ctim.tv_sec,
					      status.st_ctim.tv_nsec);
		if (S_ISDIR(status.st_mode) && strcmp(entry->d_name, ".") != 0)
			snapshot_walk(name, lines, count);
	}
}

char *docker_world_snapshot(struct docker_world *world)
{
	char *lines[FILES_MAXIMUM];
	PH_AUTO_STR struct str text = STR_INIT;
	size_t count = 0;

	snapshot_walk(world->scratch.path, lines, &count);
	qsort(lines, count, sizeof(lines[0]), line_compare);
	for (size_t i = 0; i < count; i++) {
		str_append(&text, lines[i]);
		free(lines[i]);
	}
	return str_take(&text);
}
