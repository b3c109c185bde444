/* What a process takes. */
#include "tests/bench/footprint/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

_Noreturn void process_die(const char *what)
{
	fprintf(stderr, "bench-footprint: %s: %s\n", what, errno ? strerror(errno) : "no");
	exit(1);
}

uint64_t process_now_ns(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) < 0)
		process_die("clock_gettime");
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* Sorts the values. */
double process_median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

struct memory process_memory(pid_t pid)
{
	struct memory memory = { 0 };
	char path[64], line[128], key[64];
	PH_AUTO_FILE FILE *file = NULL;
	double kilobytes;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	file = fopen(path, "re");
	if (!file)
		process_die(path);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63[^:]: %lf kB", key, &kilobytes) != 2)
			continue;
		if (strcmp(key, "Rss") == 0)
			memory.rss = kilobytes;
		else if (strcmp(key, "Pss") == 0)
			memory.pss = kilobytes;
		else if (strncmp(key, "Private_", 8) == 0)
			memory.private += kilobytes;
	}
	return memory;
}

/* Of its dead children, which its own clock leaves out: those that look after Docker. */
static uint64_t children_ns(pid_t pid)
{
	char path[64], text[1024], *rest;
	PH_AUTO_FILE FILE *file = NULL;
	unsigned long user, system;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(text, sizeof(text), file))
		process_die(path);
	rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu", &user,
		   &system) != 2)
		process_die("read the processor time");
	return (user + system) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* A process clock counts nanoseconds where stat counts ticks of 10 ms. */
uint64_t process_processor_ns(pid_t pid)
{
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0)
		process_die("clock_getcpuclockid");
	return process_now_ns(clock) + children_ns(pid);
}
