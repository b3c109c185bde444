/* Whose denials they are, what the kernel's log says, and how they are counted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "controller/host/denials/kmsg.h"
#include "controller/host/denials/origin.h"
#include "controller/host/denials/tally.h"
#include "tests/support/cmocka.h"

#define FIRST_ID 100000

/* ---- origin ---- */

static const struct {
	const char *name, *space, *profile;
	bool is_ours;
	const char *container;
} spaces[] = {
	{ "our profile", "", "lxc-phoenix-v2", true, "" },
	{ "our profile for other facts", "", "lxc-phoenix-v2.0123abcd", true, "" },
	{ "a host's service", "", "/usr/sbin/ntpd", false, "" },
	{ "another LXC container", "", "lxc-container-default-cgns", false, "" },
	{ "namespace from the root", "root//phoenix-web1", "docker-default", true, "web1" },
	{ "namespace as seen from outside", "phoenix-web1", "docker-default", true, "web1" },
	{ "a namespace that the container made", "root//phoenix-web1//x", "y", true, "web1" },
	{ "one named like another container's", "root//phoenix-web1//phoenix-web2", "y", true, "web1" },
	{ "foreign namespace", "root//incus-c1_<var-lib-incus>", "lxc-phoenix-v2", false, "" },
	{ "foreign namespace with ours inside", "root//incus-c1//phoenix-web1", "x", false, "" },
	{ "no container's name", "root//phoenix-We b", "x", false, "" },
	{ "empty name", "root//phoenix-", "x", false, "" },
};

static void test_spaces(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(spaces); i++) {
		char container[ORIGIN_NAME_SIZE] = "";
		struct line line = { 0 };

		text_copy(line.space, sizeof(line.space), spaces[i].space);
		text_copy(line.profile, sizeof(line.profile), spaces[i].profile);
		if (origin_is_ours(&line) != spaces[i].is_ours)
			fail_msg("%s: is ours: %d", spaces[i].name, !spaces[i].is_ours);
		origin_of_space(spaces[i].space, container);
		if (strcmp(container, spaces[i].container) != 0)
			fail_msg("%s: '%s'", spaces[i].name, container);
	}
}

static const struct {
	const char *name, *text, *container;
} groups[] = {
	{ "cgroup2", "0::/phoenix.payload.web1/system.slice/docker.service\n", "web1" },
	{ "cgroup2, init", "0::/phoenix.payload.web1\n", "web1" },
	{ "below a slice", "0::/system.slice/x.service/phoenix.payload.web1/init.scope\n", "web1" },
	{ "v1", "12:pids:/phoenix.payload.db-2/user\n0::/phoenix.payload.db-2\n", "db-2" },
	{ "only one hierarchy", "3:cpu,cpuacct:/\n2:name=systemd:/phoenix.payload.a/x\n0::/\n", "a" },
	{ "a group of its own that is named like another's",
	  "0::/phoenix.payload.web1/phoenix.payload.web2\n", "web1" },
	{ "a group of the host with ours in its name", "0::/xphoenix.payload.web1\n", "" },
	{ "the monitor", "0::/phoenix.monitor.web1\n", "" },
	{ "the host", "0::/system.slice/ssh.service\n", "" },
	{ "no container's name", "0::/phoenix.payload.We_b\n", "" },
	{ "no name", "0::/phoenix.payload.\n", "" },
	{ "no newline", "0::/phoenix.payload.web1", "web1" },
	{ "empty", "", "" },
	{ "garbage", "a\nb:\n::\n", "" },
};

static void test_groups(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(groups); i++) {
		char container[ORIGIN_NAME_SIZE] = "";

		origin_of_groups(groups[i].text, container);
		if (strcmp(container, groups[i].container) != 0)
			fail_msg("%s: '%s'", groups[i].name, container);
	}
}

/* ---- the kernel's log ---- */

static const struct {
	const char *name, *text;
	int code;
	uint64_t sequence;
	const char *message;
} records[] = {
	{ "kernel", "5,339,5140900,-;audit: type=1400\n SUBSYSTEM=x\n", 0, 339, "audit: type=1400" },
	{ "kernel, more fields", "6,1,2,-,caller=T1;m\n", 0, 1, "m" },
	{ "a program's", "12,340,5140900,-;audit: type=1400 audit(1.1:1): apparmor=\"DENIED\"\n",
	  -ENOMSG, 340, NULL },
	{ "a program with a high facility", "191,340,5,-;audit: x\n", -ENOMSG, 340, NULL },
	{ "no newline", "6,1,2,-;m", 0, 1, "m" },
	{ "empty message", "6,1,2,-;\n", 0, 1, "" },
	{ "no message", "6,1,2,-\n", -EBADMSG, 0, NULL },
	{ "no numbers", "a,b,c;m\n", -EBADMSG, 0, NULL },
	{ "empty", "", -EBADMSG, 0, NULL },
};

static void test_records(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(records); i++) {
		struct kmsg_record record;
		int code = kmsg_parse(records[i].text, strlen(records[i].text), &record);

		if (code != records[i].code)
			fail_msg("%s: %d", records[i].name, code);
		if (code == -EBADMSG)
			continue;
		assert_int_equal(record.sequence, records[i].sequence);
		if (code == 0 && (record.length != strlen(records[i].message) ||
				  memcmp(record.message, records[i].message, record.length) != 0))
			fail_msg("%s: '%.*s'", records[i].name, (int)record.length, record.message);
	}
}

static const struct {
	const char *message;
	bool is_loss;
	uint64_t suppressed, total;
} losses[] = {
	{ "kauditd_printk_skb: 15821 callbacks suppressed", true, 15821, 0 },
	{ "audit: audit_lost=3040 audit_rate_limit=0 audit_backlog_limit=64", true, 0, 3040 },
	{ "audit: backlog limit exceeded", false, 0, 0 },
	{ "net_ratelimit: 5 callbacks suppressed", false, 0, 0 },
	{ "kauditd_printk_skb: many callbacks suppressed", false, 0, 0 },
	{ "kauditd_printk_skb: 5 apples", false, 0, 0 },
	{ "audit: audit_lost=x audit_rate_limit=0", false, 0, 0 },
	{ "", false, 0, 0 },
};

static void test_losses(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(losses); i++) {
		struct kmsg_loss loss = { 0 };
		bool is_loss =
			kmsg_loss_parse(losses[i].message, strlen(losses[i].message), &loss);

		if (is_loss != losses[i].is_loss || loss.suppressed != losses[i].suppressed ||
		    loss.total != losses[i].total)
			fail_msg("'%s'", losses[i].message);
	}
}

/* ---- the tally ---- */

struct told {
	size_t records, drops;
	uint64_t counted, dropped;
	uint64_t counted_of[3]; /* by the last digit of the container's name */
	char last[LINE_NAME_SIZE];
};

static void record(void *user, const struct tally_record *told)
{
	struct told *sum = user;
	size_t length = strlen(told->origin->container);
	char digit = length ? told->origin->container[length - 1] : '0';

	sum->records++;
	sum->counted += told->count;
	if (digit >= '0' && digit <= '2')
		sum->counted_of[digit - '0'] += told->count;
	text_copy(sum->last, sizeof(sum->last), told->line->name);
	assert_true(told->first_ms <= told->last_ms);
}

static void dropped(void *user, const struct origin *origin, uint64_t count)
{
	struct told *sum = user;

	sum->drops++;
	sum->dropped += count;
}

static void add(struct tally *tally, const char *container, uint32_t uid, const char *name,
		uint64_t now_ms)
{
	struct origin origin = { .has_uid = uid != 0, .uid = uid };
	struct line line = { .time_ms = 5000 + now_ms, .pid = (pid_t)now_ms };

	text_copy(origin.container, sizeof(origin.container), container);
	text_copy(line.operation, sizeof(line.operation), "open");
	text_copy(line.name, sizeof(line.name), name);
	tally_add(tally, &origin, &line, now_ms);
}

static void flush(struct tally *tally, uint64_t now_ms, struct told *told)
{
	const struct tally_sink sink = { .record = record, .dropped = dropped, .user = told };

	tally_flush(tally, now_ms, &sink);
}

static void test_same_becomes_one(void **state)
{
	struct tally *tally = tally_new(FIRST_ID);
	struct told told = { 0 };

	assert_int_equal(tally_due(tally, 1000), UINT64_MAX);
	for (size_t i = 0; i < 1000; i++)
		add(tally, "web1", 0, "/a", 1000);
	assert_int_equal(tally_due(tally, 1000), 0);
	flush(tally, 1000, &told);
	assert_int_equal(told.records, 1);
	assert_int_equal(told.counted, 1000);
	/* It goes on: told again after a while, with what came since. */
	for (size_t i = 0; i < 7; i++)
		add(tally, "web1", 0, "/a", 1300);
	flush(tally, 1300, &told);
	assert_int_equal(told.records, 1);
	assert_int_equal(tally_due(tally, 1300), TALLY_AGAIN_MS - 300);
	flush(tally, 1000 + TALLY_AGAIN_MS, &told);
	assert_int_equal(told.records, 2);
	assert_int_equal(told.counted, 1007);
	/* It has stopped: forgotten. */
	flush(tally, 2000 + TALLY_FORGET_MS, &told);
	flush(tally, 2000 + TALLY_FORGET_MS, &told);
	assert_int_equal(told.records, 2);
	assert_int_equal(tally_due(tally, 2000 + TALLY_FORGET_MS), UINT64_MAX);
	tally_free(tally);
}

static void test_subjects(void **state)
{
	struct tally *tally = tally_new(FIRST_ID);
	struct told told = { 0 };

	add(tally, "web1", 0, "/a", 1000);
	add(tally, "web2", 0, "/a", 1000);
	add(tally, "web1", FIRST_ID + 5, "/a", 1000); /* the same one: the group told */
	flush(tally, 1000, &told);
	assert_int_equal(told.records, 2);
	assert_int_equal(told.counted_of[1], 2);
	assert_int_equal(told.counted_of[2], 1);
	/* Without a group, by blocks of ids. */
	told = (struct told){ 0 };
	add(tally, "", FIRST_ID, "/b", 1000);
	add(tally, "", FIRST_ID + 65535, "/b", 1000);
	add(tally, "", FIRST_ID + 65536, "/b", 1000);
	add(tally, "", 0, "/b", 1000);
	flush(tally, 1000, &told);
	assert_int_equal(told.records, 3);
	assert_int_equal(told.counted, 4);
	tally_free(tally);
}

/* One that goes on for ten minutes is told ever more rarely. */
static void test_goes_on(void **state)
{
	struct tally *tally = tally_new(FIRST_ID);
	struct told told = { 0 };

	for (uint64_t now_ms = 1000; now_ms < 601000; now_ms += 100) {
		add(tally, "web1", 0, "/a", now_ms);
		flush(tally, now_ms, &told);
		assert_true(told.counted + 100 >= (now_ms - 1000) / 100);
	}
	assert_true(told.records >= 60 && told.records <= 66);
	tally_free(tally);
}

/* One container makes up names without end: it costs itself records, its neighbour nothing. */
static void test_flood(void **state)
{
	struct tally *tally = tally_new(FIRST_ID);
	struct told told = { 0 };
	char name[64];
	uint64_t now_ms = 1000;

	for (size_t i = 0; i < 1000000; i++) {
		snprintf(name, sizeof(name), "/%zu", i);
		add(tally, "web1", 0, name, now_ms);
		if (i % 100000 == 0)
			add(tally, "web2", 0, "/calm", now_ms);
		if (i % 1000 == 999) {
			now_ms += 10;
			flush(tally, now_ms, &told);
			assert_true(tally_bytes(tally) < 128 * 1024);
		}
	}
	assert_true(told.counted_of[2] >= 1);
	assert_true(told.records <= TALLY_BURST + 10000 / TALLY_REFILL_MS + 2 + 10); /* web2's */
	assert_true(told.drops >= 1 && told.drops <= 2);
	for (size_t i = 0; i < 60; i++)
		flush(tally, now_ms += TALLY_REPEAT_MS, &told);
	/* Nothing is passed over in silence. */
	assert_int_equal(told.counted_of[1] + told.dropped, 1000000);
	assert_int_equal(told.counted_of[2], 10);
	tally_free(tally);
}

/* Subjects and patterns without end: both are bounded, and all is counted. */
static void test_bounds(void **state)
{
	struct tally *tally = tally_new(FIRST_ID);
	struct told told = { 0 };
	char name[64], container[64];
	uint64_t now_ms = 1000;
	const size_t total = 3000 * 40;

	for (size_t i = 0; i < total; i++) {
		snprintf(name, sizeof(name), "/%zu", i);
		snprintf(container, sizeof(container), "c%zu", i % 3000);
		add(tally, container, 0, name, now_ms);
	}
	assert_true(tally_bytes(tally) < TALLY_BYTES_MAXIMUM);
	for (size_t i = 0; i < 60; i++)
		flush(tally, now_ms += TALLY_REPEAT_MS, &told);
	assert_int_equal(told.counted + told.dropped, total);
	assert_true(tally_bytes(tally) < 128);
	tally_free(tally);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spaces),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_same_becomes_one),
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
