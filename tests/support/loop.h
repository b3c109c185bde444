/*
 * A libuv loop for one test: runs until something has happened, aborts instead of hanging, and ends
 * by proving that no handle and no descriptor was left.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define TEST_LOOP_SECONDS 60

struct test_loop {
	uv_loop_t loop;
	size_t descriptors; /* open before the loop was made */
};

/* How many descriptors this process has open. */
static inline size_t count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	size_t count = 0;

	if (!directory)
		abort();
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Make the loop; SIGALRM ends the process when the test hangs. */
static inline void test_loop_init(struct test_loop *test)
{
	uv_loop_t first;

	/* The first loop of a process opens descriptors that stay for its lifetime. */
	if (uv_loop_init(&first) < 0 || uv_loop_close(&first) < 0)
		abort();
	test->descriptors = count_descriptors();
	alarm(TEST_LOOP_SECONDS);
	if (uv_loop_init(&test->loop) < 0)
		abort();
}

/* Run until *count is at least wanted. */
static inline void test_loop_until(struct test_loop *test, const int *count, int wanted)
{
	while (*count < wanted) {
		if (uv_run(&test->loop, UV_RUN_ONCE) == 0 && *count < wanted) {
			fprintf(stderr, "the loop has nothing left to wait for\n");
			abort();
		}
	}
}

/* Run what is left and end the loop; returns the number of descriptors that leaked. */
static inline size_t test_loop_fini(struct test_loop *test)
{
	uv_run(&test->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&test->loop) < 0) {
		uv_print_all_handles(&test->loop, stderr);
		abort();
	}
	alarm(0);
	return count_descriptors() - test->descriptors;
}
