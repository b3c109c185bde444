#include "common/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_monotonic_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

uint64_t clock_monotonic_ms(void)
{
	return clock_monotonic_us() / 1000;
}

uint64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

char *clock_format(uint64_t wall_ms, char text[25])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm parts;
	size_t length;

	gmtime_r(&seconds, &parts);
	length = strftime(text, 25, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text + length, 25 - length, ".%03uZ", (unsigned int)(wall_ms % 1000));
	return text;
}
