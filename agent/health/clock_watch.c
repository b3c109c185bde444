#include "agent/health/clock_watch.h"

#include <inttypes.h>

void clock_watch_see(struct clock_watch *watch, uint64_t wall_ms, uint64_t monotonic_ms)
{
	int64_t offset = (int64_t)(wall_ms - monotonic_ms);
	int64_t jump = (int64_t)((uint64_t)offset - (uint64_t)watch->offset_ms);

	if (watch->has_begun && (jump >= CLOCK_JUMP_MS || jump <= -CLOCK_JUMP_MS)) {
		watch->jump_ms = jump;
		watch->jumped_ms = monotonic_ms;
	}
	watch->has_begun = true;
	watch->offset_ms = offset;
}

struct judgement clock_watch_judge(const struct clock_watch *watch, uint64_t monotonic_ms)
{
	uint64_t age = monotonic_ms - watch->jumped_ms;

	if (!watch->jump_ms || age > CLOCK_REMEMBER_MS)
		return judgement("ClockSteady", JUDGEMENT_TRUE, "NoJump", "", "%s",
				 watch->jump_ms ? "it was set, but not lately" : "");
	return judgement("ClockSteady", JUDGEMENT_FALSE, "Jumped",
			 "look at the host's clock and its NTP service; restart what waits for a "
			 "time or holds certificates",
			 "the host's clock was set %s by %" PRId64 " s, %" PRIu64 " s ago",
			 watch->jump_ms < 0 ? "back" : "forward",
			 (watch->jump_ms < 0 ? -watch->jump_ms : watch->jump_ms) / 1000, age / 1000);
}
