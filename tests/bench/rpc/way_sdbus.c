/* D-Bus from peer to peer, without a daemon in between: what a service of systemd would offer. */
#include "tests/bench/rpc/way.h"

#ifdef BENCH_SDBUS
#include <errno.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define PATH "/phoenix/Agent"
#define INTERFACE "phoenix.Agent"
#define REPLY "a(sissx)tt"

static void check(int result, const char *what)
{
	if (result < 0) {
		errno = -result;
		way_die(what);
	}
}

static int serve_health(sd_bus_message *call, void *user, sd_bus_error *error)
{
	sd_bus_message *reply = NULL;

	check(sd_bus_message_new_method_return(call, &reply), "reply");
	check(sd_bus_message_open_container(reply, 'a', "(sissx)"), "reply");
	for (size_t i = 0; i < WAY_CONDITIONS; i++)
		check(sd_bus_message_append(reply, "(sissx)", way_conditions[i].type, 1,
					    way_conditions[i].reason, way_conditions[i].message,
					    way_conditions[i].last_transition_ms),
		      "reply");
	check(sd_bus_message_close_container(reply), "reply");
	check(sd_bus_message_append(reply, "tt", (uint64_t)700000, (uint64_t)86400000), "reply");
	check(sd_bus_send(NULL, reply, NULL), "send");
	sd_bus_message_unref(reply);
	return 1;
}

static const sd_bus_vtable methods[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Health", "", REPLY, serve_health, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static sd_bus *connect_bus(int fd)
{
	sd_bus *bus = NULL;

	check(sd_bus_new(&bus), "sd_bus_new");
	check(sd_bus_set_fd(bus, fd, fd), "sd_bus_set_fd");
	return bus;
}

static void serve(int fd)
{
	sd_id128_t id;
	sd_bus *bus = connect_bus(fd);
	int result;

	check(sd_id128_randomize(&id), "sd_id128_randomize");
	check(sd_bus_set_server(bus, 1, id), "sd_bus_set_server");
	check(sd_bus_start(bus), "sd_bus_start");
	check(sd_bus_add_object_vtable(bus, NULL, PATH, INTERFACE, methods, NULL), "vtable");
	for (;;) {
		result = sd_bus_process(bus, NULL);
		if (result == 0)
			result = sd_bus_wait(bus, UINT64_MAX);
		if (result < 0 && result != -EINTR)
			_exit(0);
	}
}

static void *sdbus_open(const char **ret_absent)
{
	sd_bus *bus = connect_bus(way_fork(serve));

	check(sd_bus_start(bus), "sd_bus_start");
	return bus;
}

/* Read all of it, as a caller would. */
static void take_reply(sd_bus_message *reply)
{
	const char *type, *reason, *message;
	uint64_t resident, uptime;
	size_t count = 0;
	int64_t when;
	int status;

	check(sd_bus_message_enter_container(reply, 'a', "(sissx)"), "read the reply");
	while (sd_bus_message_read(reply, "(sissx)", &type, &status, &reason, &message, &when) > 0)
		count++;
	check(sd_bus_message_exit_container(reply), "read the reply");
	check(sd_bus_message_read(reply, "tt", &resident, &uptime), "read the reply");
	if (count != WAY_CONDITIONS)
		way_die("count the conditions");
}

static void sdbus_round(void *state, uint64_t *samples, size_t calls)
{
	sd_bus *bus = state;

	for (size_t i = 0; i < calls; i++) {
		sd_bus_message *reply = NULL;
		uint64_t begun = way_now_ns();

		check(sd_bus_call_method(bus, NULL, PATH, INTERFACE, "Health", NULL, &reply, ""),
		      "call by sd-bus");
		take_reply(reply);
		samples[i] = way_now_ns() - begun;
		sd_bus_message_unref(reply);
	}
}
#else
static void *sdbus_open(const char **ret_absent)
{
	*ret_absent = "not built: libsystemd-dev is missing (dev/setup --bench)";
	return NULL;
}

static void sdbus_round(void *state, uint64_t *samples, size_t calls)
{
}
#endif

const struct way way_sdbus = { "sdbus", sdbus_open, sdbus_round };
