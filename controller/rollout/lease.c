#include "controller/rollout/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static int read_text(const char *path, char *text, size_t size)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (length < 0)
		return -errno;
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

/* Field 22 of /proc/PID/stat: when it was started, in ticks since boot. "" when there is none. */
static void read_start(const char *pid, char ticks[32])
{
	char path[64], text[1024], *field;

	ticks[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (read_text(path, text, sizeof(text)) < 0)
		return;
	field = strrchr(text, ')'); /* the name before it may hold anything */
	for (int i = 0; field && i < 20; i++)
		field = strchr(field + 1, ' ');
	if (field)
		snprintf(ticks, 32, "%.*s", (int)strcspn(field + 1, " "), field + 1);
}

void lease_identify(struct lease *ret_lease)
{
	char boot[64] = "", ticks[32], pid[16];

	*ret_lease = (struct lease){ 0 };
	read_text(BOOT_ID, boot, sizeof(boot));
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	read_start("self", ticks);
	snprintf(ret_lease->holder, sizeof(ret_lease->holder), "%.36s:%s:%s", boot, pid, ticks);
}

bool lease_holder_is_dead(const char *holder)
{
	char boot[64] = "", ticks[32], pid[16];
	const char *colon = strchr(holder, ':'), *last = strrchr(holder, ':');

	if (!colon || last == colon || read_text(BOOT_ID, boot, sizeof(boot)) < 0)
		return false;
	if (strlen(boot) != (size_t)(colon - holder) || strncmp(boot, holder, strlen(boot)) != 0)
		return false; /* of another boot, perhaps of another machine: it has to run out */
	snprintf(pid, sizeof(pid), "%.*s", (int)(last - colon - 1), colon + 1);
	read_start(pid, ticks);
	return !text_equal(ticks, last + 1);
}

static bool is_free(const struct lease *lease, const Phoenix__LeaseRecord *record, uint64_t wall_ms)
{
	return !record || text_equal(record->holder, lease->holder) ||
	       record->expires_ms <= wall_ms || record->expires_ms > wall_ms + 2 * LEASE_MS ||
	       lease_holder_is_dead(record->holder);
}

static int write_record(struct lease *lease, struct store *store, uint64_t revision, uint64_t token,
			const struct lease_now *now, struct ph_error *error)
{
	Phoenix__LeaseRecord record = PHOENIX__LEASE_RECORD__INIT;
	PH_AUTO_FREE uint8_t *value = NULL;
	size_t length;
	int r;

	record.holder = lease->holder;
	record.token = token;
	record.expires_ms = now->wall_ms + LEASE_MS;
	record.monotonic_ms = now->monotonic_ms;
	record.rollouts_ms = now->rollouts_ms;
	value = message_pack(&record, &length);
	const struct store_compare compare = { LEASE_KEY, revision };
	const struct store_operation put = { STORE_PUT, LEASE_KEY, value, length };

	r = store_commit(store, &compare, 1, &put, 1, &lease->revision, error);
	if (r == 0) {
		lease->token = token;
		lease->expires_ms = now->monotonic_ms + LEASE_MS;
		return 0;
	}
	lease->revision = 0;
	return r == STORE_CONFLICT ? LEASE_HELD : r;
}

int lease_take(struct lease *lease, struct store *store, const struct lease_now *now,
	       struct ph_error *error)
{
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };
	Phoenix__LeaseRecord *record = NULL;
	uint64_t token = 1;
	int r = store_get(store, LEASE_KEY, &entry, error);

	if (r < 0)
		return r;
	if (r == 0)
		record = (void *)message_unpack(&phoenix__lease_record__descriptor, entry.length,
					entry.value);
	if (!is_free(lease, record, now->wall_ms)) {
		message_free(record);
		lease->revision = 0;
		return LEASE_HELD;
	}
	if (record)
		token = record->token + !text_equal(record->holder, lease->holder);
	r = write_record(lease, store, entry.mod_revision, token, now, error);
	message_free(record);
	return r;
}

bool lease_is_held(const struct lease *lease, uint64_t monotonic_ms)
{
	return lease->revision && lease->expires_ms > monotonic_ms;
}

static bool is_of_this_boot(const struct lease *lease, const Phoenix__LeaseRecord *record)
{
	size_t length = strcspn(lease->holder, ":");

	return length > 0 && strncmp(record->holder, lease->holder, length + 1) == 0 &&
	       record->monotonic_ms > 0;
}

uint64_t lease_read_clock(const struct lease *lease, struct store *store,
			  const struct lease_now *now)
{
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };
	Phoenix__LeaseRecord *record = NULL;
	uint64_t rollouts_ms = now->wall_ms;

	if (store_get(store, LEASE_KEY, &entry, NULL) == 0)
		record = (void *)message_unpack(&phoenix__lease_record__descriptor, entry.length,
						entry.value);
	if (record && is_of_this_boot(lease, record) && now->monotonic_ms >= record->monotonic_ms)
		rollouts_ms = record->rollouts_ms + (now->monotonic_ms - record->monotonic_ms);
	else if (record && record->rollouts_ms > rollouts_ms)
		rollouts_ms = record->rollouts_ms;
	message_free(record);
	return rollouts_ms;
}

struct store_compare lease_fence(const struct lease *lease)
{
	return (struct store_compare){ LEASE_KEY, lease->revision };
}
