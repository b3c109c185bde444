/* Addresses as people write them, and the sockets that come of it. */
#include "common/address.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

#define PATH_107                                                                                   \
	"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
	"aaaaaaaaaaaaaaaaaaaaaaa"

struct parse_case {
	const char *name;
	const char *text;
	int result;
	const char *formatted; /* NULL: the text itself */
};

static const struct parse_case parse_cases[] = {
	{ "a path with its scheme", "unix:/run/phoenix/host.sock", 0, NULL },
	{ "a bare path", "/run/phoenix/host.sock", 0, "unix:/run/phoenix/host.sock" },
	{ "a relative path", "unix:agent.sock", 0, NULL },
	{ "the longest path", "unix:" PATH_107, 0, NULL },
	{ "one byte too long", "unix:" PATH_107 "b", -EINVAL, NULL },
	{ "a bare path too long", PATH_107 "b", -EINVAL, NULL },
	{ "nothing", "", -EINVAL, NULL },
	{ "a scheme without a path", "unix:", -EINVAL, NULL },
	{ "abstract", "unix:@phoenix", -EINVAL, NULL },
	{ "unknown scheme", "tcp:127.0.0.1:80", -EINVAL, NULL },
	{ "no scheme", "agent.sock", -EINVAL, NULL },
	{ "vsock", "vsock:2:1024", 0, NULL },
	{ "vsock, the largest numbers", "vsock:4294967295:4294967295", 0, NULL },
	{ "vsock without a port", "vsock:2", -EINVAL, NULL },
	{ "vsock with an empty port", "vsock:2:", -EINVAL, NULL },
	{ "vsock with an empty id", "vsock::1024", -EINVAL, NULL },
	{ "vsock, a number too large", "vsock:4294967296:1", -EINVAL, NULL },
	{ "vsock, a negative number", "vsock:-1:1", -EINVAL, NULL },
	{ "vsock, trailing text", "vsock:2:10x", -EINVAL, NULL },
	{ "vsock, an endless id", "vsock:222222222222222222222222222222222222:1", -EINVAL, NULL },
};

static void test_parse(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(parse_cases); i++) {
		const struct parse_case *parse = &parse_cases[i];
		struct address address, untouched;
		struct ph_error error = { 0 };
		char text[128];

		print_message("# %s\n", parse->name);
		memset(&address, 0xaa, sizeof(address));
		untouched = address;
		assert_int_equal(address_parse(parse->text, &address, &error), parse->result);
		assert_int_equal(error.code, parse->result);
		if (parse->result < 0) {
			assert_memory_equal(&address, &untouched, sizeof(address));
			assert_true(!text_empty(error.why) && !text_empty(error.remedy));
			continue;
		}
		assert_string_equal(address_format(&address, text),
				    parse->formatted ? parse->formatted : parse->text);
	}
}

static struct address in_scratch(struct scratch *scratch)
{
	struct address address;

	assert_int_equal(address_parse(scratch_file(scratch, "socket"), &address, NULL), 0);
	return address;
}

/* One byte goes through, and the descriptors are what they are promised to be. */
static void check_connection(int listening, const struct address *address)
{
	PH_AUTO_CLOSE int client = address_connect(address);
	PH_AUTO_CLOSE int server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	char letter = 0;

	assert_true(client >= 0);
	assert_true(server >= 0);
	assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(client, "x", 1), 1);
	assert_int_equal(read(server, &letter, 1), 1);
	assert_int_equal(letter, 'x');
}

static void test_unix_connection(void **state)
{
	static const mode_t modes[] = { 0600, 0660, 0666 };
	struct scratch scratch;
	struct address address;

	scratch_init(&scratch);
	address = in_scratch(&scratch);
	assert_int_equal(address_connect(&address), -ENOENT);
	for (size_t i = 0; i < ARRAY_LENGTH(modes); i++) {
		PH_AUTO_CLOSE int listening = address_listen(&address, modes[i], 4);
		struct stat status;

		assert_true(listening >= 0);
		assert_true(fcntl(listening, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(stat(address.path, &status), 0);
		assert_int_equal(status.st_mode & 07777, modes[i]);
		check_connection(listening, &address);
		/* The next round replaces the file that this one leaves. */
	}
	scratch_fini(&scratch);
}

enum obstacle {
	REGULAR_FILE,
	DIRECTORY,
	LINK_TO_NOTHING,
	LIVE_LISTENER,
	FULL_LISTENER,
	NO_DIRECTORY,
};

struct obstacle_case {
	const char *name;
	enum obstacle obstacle;
	int result;
};

static const struct obstacle_case obstacle_cases[] = {
	{ "a regular file", REGULAR_FILE, -EEXIST },
	{ "a directory", DIRECTORY, -EEXIST },
	{ "a dangling link", LINK_TO_NOTHING, -EEXIST },
	{ "a live listener", LIVE_LISTENER, -EADDRINUSE },
	{ "a live listener with a full backlog", FULL_LISTENER, -EADDRINUSE },
	{ "no directory", NO_DIRECTORY, -ENOENT },
};

static int put_in_the_way(enum obstacle obstacle, const struct address *address)
{
	switch (obstacle) {
	case REGULAR_FILE:
		return open(address->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	case DIRECTORY:
		assert_int_equal(mkdir(address->path, 0700), 0);
		return -1;
	case LINK_TO_NOTHING:
		assert_int_equal(symlink("nothing", address->path), 0);
		return -1;
	case LIVE_LISTENER:
		return address_listen(address, 0600, 4);
	case FULL_LISTENER:
		return address_listen(address, 0600, 0);
	case NO_DIRECTORY:
		return -1;
	}
	return -1;
}

static void test_obstacles(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(obstacle_cases); i++) {
		const struct obstacle_case *way = &obstacle_cases[i];
		PH_AUTO_CLOSE int obstacle = -1;
		PH_AUTO_CLOSE int queued = -1;
		struct stat before, after;
		struct scratch scratch;
		struct address address;
		bool there;

		print_message("# %s\n", way->name);
		scratch_init(&scratch);
		address = in_scratch(&scratch);
		if (way->obstacle == NO_DIRECTORY)
			strcat(address.path, "/deeper");
		obstacle = put_in_the_way(way->obstacle, &address);
		if (way->obstacle == FULL_LISTENER)
			queued = address_connect(&address);
		there = lstat(address.path, &before) == 0;
		assert_int_equal(address_listen(&address, 0600, 4), way->result);
		if (there) {
			assert_int_equal(lstat(address.path, &after), 0);
			assert_int_equal(before.st_ino, after.st_ino);
		}
		scratch_fini(&scratch);
	}
}

static void test_vsock_loopback(void **state)
{
	struct address address;
	int listening;

	assert_int_equal(address_parse("vsock:1:20931", &address, NULL), 0);
	listening = address_listen(&address, 0, 4);
	if (listening < 0) {
		print_message("SKIP: this kernel has no vsock loopback\n");
		skip();
	}
	check_connection(listening, &address);
	close(listening);
	assert_true(address_connect(&address) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_unix_connection),
		cmocka_unit_test(test_obstacles),
		cmocka_unit_test(test_vsock_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
