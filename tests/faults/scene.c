#include "tests/faults/scene.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"

#define AGAIN_SECONDS 1 /* where calls fail again and again */

void scene_begin(struct scene *scene)
{
	scene->notes->has_begun = true;
	faults_arm(scene->kind, scene->at, scene->every);
}

void scene_end(struct scene *scene)
{
	faults_disarm();
	for (int kind = 0; kind < FAULTS_KINDS; kind++)
		scene->notes->counts[kind] = faults_count((enum faults_kind)kind);
}

void scene_promise(struct scene *scene, uint32_t what)
{
	if (scene->notes->count < SCENE_NOTES)
		scene->notes->promised[scene->notes->count++] = what;
}

bool scene_was_promised(const struct scene *scene, uint32_t what)
{
	for (uint32_t i = 0; i < scene->notes->count; i++)
		if (scene->notes->promised[i] == what)
			return true;
	return false;
}

static void tick(uv_timer_t *timer)
{
}

bool scene_run_loop(const struct scene *scene, uv_loop_t *loop, const bool *is_over, unsigned int seconds)
{
	uint64_t end_ms = clock_monotonic_ms() + (scene->every ? AGAIN_SECONDS : seconds) * 1000;
	uv_timer_t look;

	uv_timer_init(loop, &look);
	uv_timer_start(&look, tick, 20, 20);
	while (!*is_over && clock_monotonic_ms() < end_ms)
		uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&look, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	if (!*is_over && !scene->every) {
		scene_wrong("one failed call, and after %u s there is no end", seconds);
		abort();
	}
	return *is_over;
}

bool scene_wrong(const char *format, ...)
{
	va_list arguments;

	fputs("wrong: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return false;
}

const char *scene_file(const struct scene *scene, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", scene->directory, name);
	return path;
}
