/*
 * What a data-root already holds, read from files that belong to whoever is root in the container:
 * whole, missing, broken and hostile ones.
 */
#include "tests/support/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/storage/held.h"
#include "agent/storage/scratch.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

static struct storage_facts *begin(void)
{
	struct storage_facts *facts = ph_alloc(sizeof(*facts));

	text_copy(facts->data_root, sizeof(facts->data_root), "/tmp/phoenix-held-XXXXXX");
	assert_non_null(mkdtemp(facts->data_root));
	return facts;
}

static void end(struct storage_facts *facts)
{
	PH_AUTO_CLOSE int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(scratch_remove_tree(parent, strrchr(facts->data_root, '/') + 1), 0);
	free(facts);
}

static void put(const struct storage_facts *facts, const char *name, const char *text)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", facts->data_root, name);
	PH_AUTO_FREE char *directory = ph_strdup(path);

	*strrchr(directory, '/') = '\0';
	assert_int_equal(directory_make(directory, 0755, NULL), 0);
	assert_int_equal(file_write(path, text, strlen(text), NULL, NULL), 0);
}

static void an_empty_data_root_holds_nothing(void **state)
{
	struct storage_facts *facts = begin();

	storage_held(facts);
	assert_string_equal(facts->driver_now, "");
	assert_int_equal(facts->image_count + facts->image_named + facts->container_count, 0);
	end(facts);
}

static void images_are_named_and_counted(void **state)
{
	struct storage_facts *facts = begin();

	put(facts, "image/overlay2/imagedb/content/sha256/aa", "{}");
	put(facts, "image/overlay2/imagedb/content/sha256/bb", "{}");
	put(facts, "image/overlay2/imagedb/content/sha256/cc", "{}");
	put(facts, "image/overlay2/repositories.json",
	    "{\"Repositories\":{\"nginx\":{\"nginx:1.27\":\"sha256:aa\","
	    "\"nginx@sha256:aa\":\"sha256:aa\"},\"app\":{\"app:2\":\"sha256:bb\"}}}");
	put(facts, "containers/one/config.v2.json", "{\"ID\":\"one\",\"Driver\":\"overlay2\"}");
	put(facts, "containers/two/config.v2.json", "{\"ID\":\"two\",\"Driver\":\"vfs\"}");
	storage_held(facts);
	assert_string_equal(facts->driver_now, "overlay2");
	assert_int_equal(facts->image_count, 3);
	assert_int_equal(facts->image_named, 2);
	assert_string_equal(facts->images[0], "app:2"); /* in the order of names */
	assert_string_equal(facts->images[1], "nginx:1.27");
	assert_int_equal(facts->container_count, 1); /* the other driver's is not seen by Docker */
	end(facts);
}

static void a_store_without_images_is_nobodys_driver(void **state)
{
	struct storage_facts *facts = begin();

	put(facts, "image/vfs/repositories.json", "{\"Repositories\":{}}");
	put(facts, "image/fuse-overlayfs/imagedb/content/sha256/aa", "{}");
	put(facts, "image/fuse-overlayfs/repositories.json", "{\"Repositories\":{}}");
	storage_held(facts);
	assert_string_equal(facts->driver_now, "fuse-overlayfs");
	assert_int_equal(facts->image_count, 1);
	assert_int_equal(facts->image_named, 0);
	end(facts);
}

/* Each is a repositories.json; none of them may do more than name nothing. */
static void broken_files_name_nothing(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"7",
		"{\"Repositories\":[]}",
		"{\"Repositories\":7}",
		"{\"Repositories\":{\"a\":7}}",
		"{\"Repositories\":{\"a\":null}}",
		"{\"Repositories\":{\"a\":[\"a:1\"]}}",
		"\xff\xfe",
	};

	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
		struct storage_facts *facts = begin();

		put(facts, "image/overlay2/imagedb/content/sha256/aa", "{}");
		put(facts, "image/overlay2/repositories.json", texts[i]);
		put(facts, "containers/one/config.v2.json", texts[i]);
		storage_held(facts);
		if (facts->image_named || facts->image_count != 1 || facts->container_count)
			fail_msg("%s: %zu named, %zu images, %zu containers", texts[i],
				 facts->image_named, facts->image_count, facts->container_count);
		end(facts);
	}
}

static void names_are_bounded(void **state)
{
	struct storage_facts *facts = begin();
	PH_AUTO_STR struct str text = STR_INIT;

	str_append(&text, "{\"Repositories\":{\"a\":{");
	for (size_t i = 0; i < 1000; i++)
		str_appendf(&text, "%s\"a:%zu%0300d\":\"x\"", i ? "," : "", i, 0);
	str_append(&text, "}}}");
	put(facts, "image/overlay2/imagedb/content/sha256/aa", "{}");
	put(facts, "image/overlay2/repositories.json", str_text(&text));
	storage_held(facts);
	assert_int_equal(facts->image_named, STORAGE_IMAGES_MAXIMUM);
	assert_true(strlen(facts->images[0]) < sizeof(facts->images[0]));
	end(facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_data_root_holds_nothing),
		cmocka_unit_test(images_are_named_and_counted),
		cmocka_unit_test(a_store_without_images_is_nobodys_driver),
		cmocka_unit_test(broken_files_name_nothing),
		cmocka_unit_test(names_are_bounded),
	};

	return cmocka_run_group_tests_name("storage_held", tests, NULL, NULL);
}
