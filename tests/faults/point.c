/*
 * Three processes: the story, which may end in any way; the check; and their parent, which judges how they ended. Only
 * the story's calls fail.
 */
#include "tests/faults/point.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "tests/support/scratch.h"

#define STORY_SECONDS 120 /* a story that takes longer hangs */
#define CHECK_SECONDS 60

static int wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void tell(const struct point *point, struct scene *scene)
{
	int said = open(scene_file(scene, "said"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	dup2(said, STDERR_FILENO);
	close(said);
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR + 1);
	loop_adopt_memory();
	alarm(STORY_SECONDS);
	point->scene->run(scene);
	faults_disarm();
	scene->notes->has_ended = true;
	exit(0); /* the leak check comes now */
}

static void show_said(const struct scene *scene)
{
	char text[8192];
	FILE *file = fopen(scene_file(scene, "said"), "r");
	size_t length = file ? fread(text, 1, sizeof(text), file) : 0;

	if (file)
		fclose(file);
	fwrite(text, 1, length, stderr);
}

static bool has_said(const struct scene *scene, const char *what)
{
	char text[8192] = "";
	FILE *file = fopen(scene_file(scene, "said"), "r");
	size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[length] = '\0';
	return strstr(text, what) != NULL;
}

/* A crash-only process may end in two ways: without memory, and saying so; and behind a barrier that did not hold. */
static bool ended_well(const struct point *point, const struct scene *scene, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (point->kind == FAULTS_MALLOC && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	    has_said(scene, "out of memory") && !has_said(scene, "ssertion"))
		return true;
	if (point->kind == FAULTS_FSYNC && WIFEXITED(status) && WEXITSTATUS(status) == EX_IOERR)
		return true;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		scene_wrong("the story did not end within %d s", STORY_SECONDS);
	else if (WIFSIGNALED(status))
		scene_wrong("the story died by signal %d", WTERMSIG(status));
	else
		scene_wrong("the story ended with %d", WEXITSTATUS(status));
	return false;
}

static bool check(const struct point *point, const struct scene *scene)
{
	pid_t child;
	int status;

	if (!point->scene->check)
		return true;
	child = fork();
	if (child == 0) {
		alarm(CHECK_SECONDS);
		signal(SIGPIPE, SIG_IGN);
		log_set_level(LOG_LEVEL_ERROR + 1);
		exit(point->scene->check(scene) ? 0 : 1);
	}
	status = wait_for(child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	return WIFEXITED(status) && WEXITSTATUS(status) == 1 ?
		       false : scene_wrong("the check ended with status %#x", (unsigned int)status);
}

int point_run(const struct point *point, unsigned long counts[FAULTS_KINDS])
{
	struct scene scene = { .kind = point->kind, .at = point->at, .every = point->every };
	struct scratch scratch;
	bool good;
	pid_t child;

	scratch_init(&scratch);
	chmod(scratch.path, 0711); /* agents come with the ids of their containers */
	scene.directory = scratch.path;
	scene.notes = mmap(NULL, sizeof(*scene.notes), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (scene.notes == MAP_FAILED)
		abort();
	fflush(NULL);
	child = fork();
	if (child == 0)
		tell(point, &scene);
	good = child > 0 && ended_well(point, &scene, wait_for(child));
	good = (scene.notes->has_begun || scene_wrong("the story did not even begin")) && good;
	good = check(point, &scene) && good;
	if (!good)
		show_said(&scene);
	if (counts)
		memcpy(counts, scene.notes->counts, sizeof(scene.notes->counts));
	munmap(scene.notes, sizeof(*scene.notes));
	scratch_fini(&scratch);
	return good ? 0 : 1;
}
