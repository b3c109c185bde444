/*
 * What the tests of rebuilding share: three images that can be told apart, marks that a container
 * makes in its root, and what is found of both.
 */
#pragma once

#include "tests/component/clone_fixture.h"

/* Import "next" and "third" beside the image "web". */
void roots_fixture_begin(const struct host_fixture *fixture);

/* Remove them. */
void roots_fixture_end(const struct host_fixture *fixture);

/* A request for "web1" to be of an image. */
struct clone_request roots_fixture_request(const char *image, enum clone_method method);

/* Call and expect an outcome. */
void roots_fixture_expect(int result, int expected, const struct ph_error *error);

/* As the container's root: leave a mark in the current root, which is mounted for that. */
void roots_fixture_mark(const struct host_fixture *fixture);

/* Whether the current root, which is mounted for that, has the mark. */
bool roots_fixture_is_marked(const struct host_fixture *fixture);

/*
 * Find "web1" and look whether its current root is mounted and is of the image that it says, with
 * this clone's hostname.
 */
struct clone roots_fixture_find(const struct host_fixture *fixture);

/* Nothing lies in the directory of "web1" but what its record names and the files of others. */
void roots_fixture_assert_no_rubbish(const struct host_fixture *fixture, const struct clone *clone);

/* Create "web1" of the image "web" beside a file of somebody else's. */
void roots_fixture_create(const struct host_fixture *fixture, enum clone_method method);

/* Rebuild or prepare "web1" and expect an outcome. */
void roots_fixture_rebuild(const struct host_fixture *fixture, const char *image,
			   enum clone_method method, bool prepare, int expected);

/* Destroy it: nothing is left but so many mounts. */
void roots_fixture_destroy(const struct host_fixture *fixture, int mounts);
