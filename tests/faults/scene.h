/*
 * What runs while calls fail. A scene is a small story of one part of Phoenix, told by a process of its own whose
 * calls fail from scene_begin() to scene_end(); what it was promised (a commit that returned 0, an apply that ended
 * well) it notes in memory that outlives it. Afterwards another process, whose calls do not fail, looks whether every
 * promise was kept. A story may go wrong in any way that its parts' contracts allow: it checks no results but those.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "tests/support/faults.h"

#define SCENE_NOTES 256

/* Shared between the story, which may die at any moment, and the check. */
struct scene_notes {
	bool has_begun;                       /* armed: what went wrong before is the scene's own fault */
	bool has_ended;                       /* the story came to its end */
	uint32_t promised[SCENE_NOTES];       /* what was promised, as the scene counts it */
	uint32_t count;
	uint32_t asked;                       /* the last thing that was asked for, promised or not */
	unsigned long counts[FAULTS_KINDS];   /* calls while armed */
};

struct scene {
	const char *directory;     /* its own, empty at the beginning; outlives the story */
	struct scene_notes *notes;
	enum faults_kind kind;
	unsigned long at, every;   /* as faults_arm() takes them */
};

struct scene_type {
	const char *name;
	/* The story; it ends by returning, with everything freed. */
	void (*run)(struct scene *scene);
	/* Look at what is left: true, or a line about what is wrong on standard error. NULL: nothing is left. */
	bool (*check)(const struct scene *scene);
};

extern const struct scene_type scene_store, scene_events, scene_channel, scene_agent, scene_apply, scene_apply_again,
	scene_remove, scene_rollout;

/* From here on calls fail, as the point says. */
void scene_begin(struct scene *scene);

/* No call fails any more. */
void scene_end(struct scene *scene);

/* Note a promise. */
void scene_promise(struct scene *scene, uint32_t what);

/* Whether that was promised. */
bool scene_was_promised(const struct scene *scene, uint32_t what);

/*
 * Run the loop until *is_over, for at most seconds; whether it came to that. A call that fails once must not keep
 * anything from ending; where calls fail again and again a story is left when its time is over.
 */
bool scene_run_loop(const struct scene *scene, uv_loop_t *loop, const bool *is_over, unsigned int seconds);

/* Say what is wrong on standard error; returns false. */
bool scene_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The path of a file in the scene's directory; borrowed until the next call. */
const char *scene_file(const struct scene *scene, const char *name);
