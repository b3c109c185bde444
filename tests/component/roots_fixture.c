#include "tests/component/roots_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "controller/host/image/image.h"
#include "controller/host/tree/tree.h"

#define MARK "var/mark"

/* Each has a file of its own name; "web", which others make, has neither. */
static const struct tar_entry next_entries[] = {
	{ 'f', "usr/next", "next" }, { 'd', "var/deep" }, { 0 },
};
static const struct tar_entry third_entries[] = { { 'f', "usr/third", "third" }, { 0 } };

void roots_fixture_begin(const struct host_fixture *fixture)
{
	clone_fixture_image(fixture, "next", next_entries);
	clone_fixture_image(fixture, "third", third_entries);
}

void roots_fixture_end(const struct host_fixture *fixture)
{
	assert_int_equal(image_remove(&fixture->config, "next", NULL), IMAGE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "third", NULL), IMAGE_CHANGED);
}

struct clone_request roots_fixture_request(const char *image, enum clone_method method)
{
	struct clone_request request = clone_fixture_request("web1", method);

	request.image = image;
	return request;
}

void roots_fixture_expect(int result, int expected, const struct ph_error *error)
{
	if (result != expected)
		fail_msg("%d instead of %d: %s: %s: %s", result, expected, error->what,
			 error->where, error->why);
}

static int make_mark(const char *rootfs)
{
	char path[512];

	snprintf(path, sizeof(path), "%s" MARK, rootfs);
	return open(path, O_WRONLY | O_CREAT, 0644) < 0;
}

void roots_fixture_mark(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *root = clone_fixture_inside(fixture, "web1", "");

	assert_true(clone_mount(&fixture->config, "web1", NULL) >= 0);
	assert_int_equal(clone_fixture_as_container(make_mark, root), 0);
}

static bool has(const struct host_fixture *fixture, const char *path)
{
	PH_AUTO_FREE char *full = clone_fixture_inside(fixture, "web1", path);

	return access(full, F_OK) == 0;
}

bool roots_fixture_is_marked(const struct host_fixture *fixture)
{
	assert_true(clone_mount(&fixture->config, "web1", NULL) >= 0);
	return has(fixture, MARK);
}

struct clone roots_fixture_find(const struct host_fixture *fixture)
{
	PH_AUTO_CLOSE int root = -1;
	PH_AUTO_FREE char *hostname = NULL;
	struct ph_error error = { 0 };
	struct clone clone;

	roots_fixture_expect(clone_find(&fixture->config, "web1", &clone, &error), 0, &error);
	assert_true(clone.current.complete);
	if (clone_mount(&fixture->config, "web1", &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	assert_true(has(fixture, "usr/bin/sh"));
	assert_int_equal(has(fixture, "usr/next"), strcmp(clone.current.image, "next") == 0);
	assert_int_equal(has(fixture, "usr/third"), strcmp(clone.current.image, "third") == 0);
	assert_int_equal(has(fixture, "usr/bin/sudo"), strcmp(clone.current.image, "web") == 0);
	assert_int_equal(clone_open_rootfs(&fixture->config, "web1", &root, NULL), 0);
	assert_int_equal(tree_read_small(root, "etc/hostname", 64, &hostname, NULL, NULL), 0);
	assert_string_equal(hostname, "web1\n");
	return clone;
}

/* The parts of a root that are there: those of its method, and none when there is no such root. */
static void assert_parts(const struct host_fixture *fixture, const char *base,
			 const struct clone_root *root)
{
	static const struct {
		const char *part;
		bool of_method[CLONE_METHODS];
	} parts[] = {
		{ "rootfs", { [CLONE_OVERLAY] = true, [CLONE_SNAPSHOT] = true,
			      [CLONE_REFLINK] = true, [CLONE_COPY] = true } },
		{ "rootfs.partial", { 0 } },
		{ "snapshot", { [CLONE_SNAPSHOT] = true } },
		{ "upper", { [CLONE_OVERLAY] = true } },
		{ "work", { [CLONE_OVERLAY] = true } },
		{ "lower", { [CLONE_OVERLAY] = true } },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
		PH_AUTO_FREE char *path = ph_format("%s/%s/%s", fixture->base, base, parts[i].part);
		bool expected = root && parts[i].of_method[root->method];

		if ((access(path, F_OK) == 0) != expected)
			fail_msg("%s is %s there", path, expected ? "not" : "still");
	}
}

void roots_fixture_assert_no_rubbish(const struct host_fixture *fixture, const struct clone *clone)
{
	const struct clone_root *const roots[] = { &clone->current, &clone->kept,
						   &clone->prepared };

	for (unsigned int number = 0; number < 5; number++) {
		PH_AUTO_FREE char *base =
			number ? ph_format("state/containers/web1/root-%u", number) :
				 ph_format("state/containers/web1");
		PH_AUTO_FREE char *path = host_fixture_path(fixture, base);
		const struct clone_root *root = NULL;

		for (size_t i = 0; i < ARRAY_LENGTH(roots); i++)
			if (roots[i]->image[0] && roots[i]->number == number)
				root = roots[i];
		if ((access(path, F_OK) == 0) != (root || number == 0))
			fail_msg("%s is %s there", path, root ? "not" : "still");
		assert_parts(fixture, base, root);
	}
}

void roots_fixture_rebuild(const struct host_fixture *fixture, const char *image,
			   enum clone_method method, bool prepare, int expected)
{
	const struct clone_request request = roots_fixture_request(image, method);
	struct ph_error error = { 0 };

	roots_fixture_expect(clone_rebuild(&fixture->config, &request, prepare, NULL, &error),
			       expected, &error);
}

void roots_fixture_create(const struct host_fixture *fixture, enum clone_method method)
{
	const struct clone_request request = roots_fixture_request("web", method);
	struct ph_error error = { 0 };

	clone_fixture_foreign_file(fixture); /* as the verbs keep theirs there */
	roots_fixture_expect(clone_create(&fixture->config, &request, NULL, &error),
			       CLONE_CHANGED, &error);
}

void roots_fixture_destroy(const struct host_fixture *fixture, int mounts)
{
	struct ph_error error = { 0 };

	roots_fixture_expect(clone_destroy(&fixture->config, "web1", &error), CLONE_CHANGED,
			       &error);
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(clone_fixture_mounts(fixture), mounts);
	host_fixture_assert_sentinel(fixture);
}
