/*
 * A fleet of real agents at work, and a phoenixd that is killed again and again (kill -9, at seeded moments).
 * Operators ask for verifies all the time; agents tell of their sessions. In the end, by the agents' own logs
 * of what they have begun and told:
 *
 *   all are back, and nobody was pushed anew,
 *   each operation that was acknowledged to an operator has ended, and none was begun twice,
 *   each event that an agent has told is in phoenixd's log once, or a record of a gap stands for it.
 *
 * Prints TAP. Needs root.
 *
 *   fleet-kills AGENTS KILLS SEED BIN
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/ledger.h"

#define OPERATORS 4
#define FIRST_MS 200 /* a phoenixd lives so long at least, and so much longer at most */
#define MORE_MS 2800
#define READ_EVERY 4 /* kills: phoenixd's log is read before it lets go of events */
#define BACK_SECONDS 120
#define SETTLE_SECONDS 60
#define ACKNOWLEDGED_MAXIMUM 200000

/* What operators were told, shared with the processes that they are. */
struct acknowledged {
	_Atomic unsigned int count, failed_calls;
	_Atomic bool is_over;
	struct {
		uint32_t container;
		char operation[40];
	} items[ACKNOWLEDGED_MAXIMUM];
};

struct kills {
	struct fleet fleet;
	struct acknowledged *acknowledged;
	struct ledger ledger;
	unsigned int seed;
	unsigned int killed, tests, failed;
	pid_t operators[OPERATORS];
};

static void tap(struct kills *kills, bool is_ok, const char *what)
{
	printf("%sok %u - %s\n", is_ok ? "" : "not ", ++kills->tests, what);
	fflush(stdout);
	kills->failed += !is_ok;
}

/* ---- operators ---- */

struct order {
	struct acknowledged *acknowledged;
	uint32_t container;
	bool is_told;
};

/* Whoever has seen the operation's name relies on it. */
static int take_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__OperationItem *item = (const Phoenix__OperationItem *)message;
	struct order *order = user;
	unsigned int at;

	if (order->is_told || !item->progress || !item->progress->operation[0])
		return 0;
	order->is_told = true;
	at = atomic_fetch_add(&order->acknowledged->count, 1);
	if (at >= ACKNOWLEDGED_MAXIMUM)
		abort();
	order->acknowledged->items[at].container = order->container;
	text_copy(order->acknowledged->items[at].operation,
		  sizeof(order->acknowledged->items[at].operation), item->progress->operation);
	return 0;
}

static void verify_one(struct kills *kills, struct client *client, unsigned int *seed)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct order order = { .acknowledged = kills->acknowledged };
	struct ph_error error;
	char name[64];

	order.container = (uint32_t)((size_t)rand_r(seed) % kills->fleet.count);
	fleet_name(order.container, name);
	request.name = name;
	if (client_stream(client, "Verify", &request.base, take_item, &order, &error) < 0)
		atomic_fetch_add(&kills->acknowledged->failed_calls, 1);
}

static _Noreturn void operate(struct kills *kills, unsigned int seed)
{
	struct client *client = NULL;
	char address[128];
	struct ph_error error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(address, sizeof(address), "unix:%s/control.sock", kills->fleet.run_dir);
	while (!atomic_load(&kills->acknowledged->is_over)) {
		if (client_open(address, 10000, &client, &error) < 0) {
			usleep(20000);
			continue;
		}
		for (int i = 0; i < 8 && !atomic_load(&kills->acknowledged->is_over); i++)
			verify_one(kills, client, &seed);
		client_close(client);
	}
	_exit(0);
}

static void start_operators(struct kills *kills)
{
	for (unsigned int i = 0; i < OPERATORS; i++) {
		kills->operators[i] = fork();
		if (kills->operators[i] == 0)
			operate(kills, kills->seed * OPERATORS + i);
	}
}

static void stop_operators(struct kills *kills)
{
	atomic_store(&kills->acknowledged->is_over, true);
	for (unsigned int i = 0; i < OPERATORS; i++)
		waitpid(kills->operators[i], NULL, 0);
}

/* ---- the end ---- */

/* Wait until no operation is in progress any more: none of the acknowledged ones without an end in the log. */
static bool settle(struct kills *kills)
{
	uint64_t end = fleet_now() + SETTLE_SECONDS * UINT64_C(1000000000);
	unsigned int left;

	do {
		sleep(1);
		ledger_read_events(&kills->ledger, &kills->fleet);
		left = 0;
		for (unsigned int i = 0; i < kills->acknowledged->count; i++)
			left += !ledger_has_ended(&kills->ledger,
						  kills->acknowledged->items[i].operation);
		ledger_read_agents(&kills->ledger, &kills->fleet);
	} while ((left || ledger_sum(&kills->ledger).missing) && fleet_now() < end);
	for (unsigned int i = 0; left && i < kills->acknowledged->count; i++)
		if (!ledger_has_ended(&kills->ledger, kills->acknowledged->items[i].operation))
			printf("# lost: %s of c%05u\n", kills->acknowledged->items[i].operation,
			       kills->acknowledged->items[i].container);
	return left == 0;
}

static void judge(struct kills *kills, size_t back)
{
	const struct ledger *ledger = &kills->ledger;
	bool has_settled = settle(kills);
	struct ledger_sum sum = ledger_sum(ledger);

	printf("# %u agents pushed for %zu containers\n", kills->fleet.shared->pushes, kills->fleet.count);
	printf("# %u kills; operations: %u acknowledged, %zu begun in agents, %zu ended\n", kills->killed,
	       kills->acknowledged->count, ledger->begun, ledger->ended);
	printf("# events: %zu told by agents, %zu stored, %zu in gaps, %zu missing, %zu twice\n", sum.told,
	       sum.stored, sum.gaps, sum.missing, sum.stored_twice);
	tap(kills, back == kills->fleet.count, "all agents are back");
	tap(kills, !ledger->is_cut, "phoenixd's log was read whole");
	tap(kills, kills->fleet.shared->pushes == kills->fleet.count && !ledger->strangers,
	    "nobody was pushed anew");
	tap(kills, kills->acknowledged->count > 0 && ledger->begun > 0, "operations were acknowledged and begun");
	tap(kills, has_settled, "each acknowledged operation has ended");
	tap(kills, ledger->begun_twice == 0, "no operation was begun twice");
	tap(kills, sum.told > 0 && sum.missing == 0, "each event that was told is in the log, or a gap says so");
	tap(kills, sum.stored_twice == 0, "no event is in the log twice");
}

static void run(struct kills *kills, unsigned int count)
{
	unsigned int seed = kills->seed;
	uint64_t since = 0;
	size_t back;

	fleet_start(&kills->fleet);
	back = fleet_wait_connected(&kills->fleet, BACK_SECONDS * 2, &since);
	tap(kills, back == kills->fleet.count, "all agents have connected");
	start_operators(kills);
	for (; kills->killed < count; kills->killed++) {
		usleep((FIRST_MS + (unsigned int)rand_r(&seed) % MORE_MS) * 1000);
		if (kills->killed % READ_EVERY == 0 || kills->killed + 1 == count)
			ledger_read_events(&kills->ledger, &kills->fleet);
		since = kills->ledger.since; /* the last one's sessions begin behind it */
		fleet_kill(&kills->fleet);
		fleet_start(&kills->fleet);
	}
	back = fleet_wait_connected(&kills->fleet, BACK_SECONDS, &since);
	stop_operators(kills);
	judge(kills, back);
}

int main(int count, char **arguments)
{
	static struct kills kills;
	uint64_t agents, times, seed;

	if (count != 5 || text_to_u64(arguments[1], FLEET_MAXIMUM, &agents) < 0 || !agents ||
	    text_to_u64(arguments[2], 100000, &times) < 0 ||
	    text_to_u64(arguments[3], UINT32_MAX, &seed) < 0) {
		fprintf(stderr, "usage: fleet-kills AGENTS KILLS SEED BIN\n");
		return 2;
	}
	kills.seed = (unsigned int)seed;
	printf("# seed %u\n", kills.seed);
	fleet_init(&kills.fleet, arguments[4], (size_t)agents, FLEET_LOGS | FLEET_MOUNTS);
	kills.acknowledged = mmap(NULL, sizeof(*kills.acknowledged), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ledger_init(&kills.ledger, (size_t)agents);
	run(&kills, (unsigned int)times);
	if (kills.failed && getenv("PH_KEEP")) {
		printf("# kept: %s\n", kills.fleet.base);
		fflush(stdout);
		pause();
	}
	ledger_fini(&kills.ledger);
	fleet_fini(&kills.fleet);
	printf("1..%u\n", kills.tests);
	return kills.failed ? 1 : 0;
}
