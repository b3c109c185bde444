/*
 * Tests of our own asserts: run a function in a forked child and see whether it aborted, and what it
 * said on stderr.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether function() aborts the process after saying something that contains text on stderr. */
static inline bool aborts_saying(void (*function)(void), const char *text)
{
	char said[1024] = "";
	size_t used = 0;
	ssize_t length;
	int channel[2], status;
	pid_t child;

	if (pipe(channel) < 0)
		return false;
	child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL); /* cmocka would report it as a failed test */
		dup2(channel[1], STDERR_FILENO);
		function();
		_exit(0);
	}
	close(channel[1]);
	while ((length = read(channel[0], said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)length;
	close(channel[0]);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, text);
}
