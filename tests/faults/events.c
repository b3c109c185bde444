/* The event log: what was flushed is there afterwards, in order, once, and without a gap that is not told. */
#include <stdio.h>
#include <string.h>

#include "controller/events/events.h"
#include "tests/faults/scene.h"

#define EVENTS 30

static void ignore_batch(void *user, Phoenix__Event *const *events, size_t count)
{
}

static int append(struct events *events, uint32_t number, uint64_t *ret_seq)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	struct ph_error error;
	char message[16];

	snprintf(message, sizeof(message), "%u", number);
	event.type = (char *)"test";
	event.container = (char *)(number % 2 ? "web1" : "web2");
	event.message = message;
	return events_append(events, &event, ret_seq, &error);
}

static void read_some(struct events *events)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	struct ph_error error;
	uint64_t since;

	if (events_tail(events, "web1", 5, &since, &error) == 0)
		events_read(events, since, "web1", 10, &batch, &error);
}

static void work(struct scene *scene, struct events *events, uint32_t first)
{
	struct events_subscription *follower = events_subscribe(events, "", ignore_batch, NULL);
	uint32_t waiting = first;
	struct ph_error error;

	for (uint32_t number = first; number < first + EVENTS / 2; number++) {
		scene->notes->asked = number;
		append(events, number, NULL);
		if (number % 3)
			continue;
		if (events_flush(events, &error) == 0)
			for (; waiting <= number; waiting++)
				scene_promise(scene, waiting);
		read_some(events);
	}
	events_unsubscribe(follower);
}

static void run(struct scene *scene)
{
	scene_begin(scene);
	for (uint32_t time = 0; time < 2; time++) {
		struct events *events = NULL;
		struct ph_error error;

		if (events_open(scene_file(scene, "events.db"), 0, &events, &error) < 0)
			continue;
		work(scene, events, 1 + time * EVENTS / 2);
		events_close(events);
	}
	scene_end(scene);
}

/* Every number at most once, in order; and all that were promised. */
static bool check_order(const struct scene *scene, const struct events_batch *batch)
{
	uint32_t last = 0, promise = 0;

	for (size_t i = 0; i < batch->count; i++) {
		unsigned int number = 0;

		if (batch->events[i]->seq != i + 1)
			return scene_wrong("event %zu has number %llu", i + 1,
					   (unsigned long long)batch->events[i]->seq);
		sscanf(batch->events[i]->message, "%u", &number);
		if (number <= last || number > scene->notes->asked)
			return scene_wrong("%u comes after %u", number, last);
		last = number;
		while (promise < scene->notes->count && scene->notes->promised[promise] < number)
			return scene_wrong("%u was promised and is not there", scene->notes->promised[promise]);
		promise += promise < scene->notes->count && scene->notes->promised[promise] == number;
	}
	return promise == scene->notes->count || scene_wrong("%u was promised and is not there",
							     scene->notes->promised[promise]);
}

static bool check(const struct scene *scene)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	struct events *events = NULL;
	struct ph_error error = { 0 };
	uint64_t seq = 0;
	bool good;

	if (events_open(scene_file(scene, "events.db"), 0, &events, &error) < 0)
		return scene_wrong("the log does not open: %s", error.why);
	good = events_read(events, 0, "", 1000, &batch, &error) == 0 || scene_wrong("%s", error.why);
	good = good && check_order(scene, &batch);
	if (good && (append(events, EVENTS + 1, &seq) < 0 || events_flush(events, &error) < 0 ||
		     seq != batch.count + 1))
		good = scene_wrong("the next event is not number %zu", batch.count + 1);
	events_close(events);
	return good;
}

const struct scene_type scene_events = { "events", run, check };
