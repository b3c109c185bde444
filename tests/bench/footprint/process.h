/* What a process takes, and what bench-footprint's files share. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct memory {
	double rss; /* KiB, as the others */
	double pss;
	double private;
};

/* End with what failed and errno's text. */
_Noreturn void process_die(const char *what);

/* A clock in nanoseconds. */
uint64_t process_now_ns(clockid_t clock);

/* The median; sorts the values. */
double process_median(double *values, size_t count);

/* The memory of a process now. */
struct memory process_memory(pid_t pid);

/* Nanoseconds of processor time that a process and its dead children have used. */
uint64_t process_processor_ns(pid_t pid);
