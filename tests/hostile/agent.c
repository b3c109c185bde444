/*
 * An agent that has been taken over: pushed into a container in place of ours, with everything that ours
 * is given. While nothing is asked of it, it says hello and keeps quiet. The script that tests it writes
 * to /hostile/errand what it is to do, a number and how many there are: every so many-th behaviour of both
 * tables, so that several containers share the work; or "stop", or "frozen". What came of each behaviour
 * is appended to /hostile/done.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/hostile/behaviours.h"

#define ERRAND "/hostile/errand"
#define DONE "/hostile/done"
#define LOCK "/hostile/lock"

static int read_options(int argc, char **argv, struct hostile *hostile)
{
	static const struct option options[] = { { "socket", required_argument, NULL, 's' },
						 { "boot-id", required_argument, NULL, 'b' },
						 { "name", required_argument, NULL, 'n' },
						 { "key-fd", required_argument, NULL, 'k' },
						 { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 's')
			hostile->socket = strncmp(optarg, "unix:", 5) == 0 ? optarg + 5 : optarg;
		else if (option == 'b')
			hostile->boot_id = optarg;
		else if (option == 'n')
			hostile->name = optarg;
		else if (option != 'k' || read(atoi(optarg), hostile->key, sizeof(hostile->key)) !=
						  (ssize_t)sizeof(hostile->key))
			return -EINVAL;
	}
	return hostile->socket && hostile->boot_id && hostile->name ? 0 : -EINVAL;
}

static void tell(const char *name, const char *outcome)
{
	FILE *file = fopen(DONE, "ae");

	if (!file)
		return;
	fprintf(file, "%s\t%s\n", name, outcome);
	fclose(file);
}

/* Every count-th behaviour from number on. */
static void run_share(const struct hostile *hostile, const struct behaviour *behaviours,
		      unsigned int number, unsigned int count)
{
	for (unsigned int i = 0; behaviours[i].name; i++)
		if (i % count == number)
			tell(behaviours[i].name, behaviours[i].run(hostile));
}

/* A session that nothing is heard of any more: its heartbeats fail to come. */
static _Noreturn void freeze(const struct hostile *hostile)
{
	tell("frozen in the middle", hostile_enter(hostile) >= 0 ? "entered" : "NO SESSION");
	for (;;)
		raise(SIGSTOP);
}

static void do_as_told(const struct hostile *hostile)
{
	PH_AUTO_FILE FILE *file = fopen(ERRAND, "re");
	unsigned int number, count;
	char word[16] = "";

	if (!file || fscanf(file, "%15s", word) != 1)
		return;
	if (strcmp(word, "frozen") == 0)
		freeze(hostile);
	if (strcmp(word, "stop") == 0 || fscanf(file, "%u", &count) != 1 || count == 0)
		return;
	number = (unsigned int)strtoul(word, NULL, 10);
	run_share(hostile, stranger_behaviours, number, count);
	run_share(hostile, insider_behaviours, number, count);
	tell("end", "all were done");
}

/* One of us works; those that are pushed meanwhile, because a session was lost, go at once. */
static bool take_lock(void)
{
	int fd = open(LOCK, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Every call gets the emptiest answer there is. */
static void answer_call(int fd, const Phoenix__Envelope *call)
{
	Phoenix__Envelope answer = PHOENIX__ENVELOPE__INIT;

	if (call->body_case != PHOENIX__ENVELOPE__BODY_REQUEST)
		return;
	answer.id = call->id;
	answer.body_case = PHOENIX__ENVELOPE__BODY_RESPONSE;
	hostile_send_envelope(fd, &answer);
}

/* As quiet as an agent that has nothing to do, until there is. */
static void keep_quiet(const struct hostile *hostile)
{
	PH_AUTO_CLOSE int fd = hostile_enter(hostile);
	uint64_t beaten = hostile_now(), id = 2;

	while (fd >= 0 && access(ERRAND, F_OK) < 0) {
		Phoenix__HeartbeatRequest heartbeat = PHOENIX__HEARTBEAT_REQUEST__INIT;
		Phoenix__Envelope *call = hostile_receive(fd, 200);

		if (call) {
			answer_call(fd, call);
			phoenix__envelope__free_unpacked(call, NULL);
		}
		if (hostile_now() - beaten < 5000)
			continue;
		beaten = hostile_now();
		if (!hostile_request(fd, id++, "Heartbeat", &heartbeat))
			return;
	}
}

int main(int argc, char **argv)
{
	struct rlimit files = { 2000, 2000 };
	struct hostile hostile = { 0 };

	if (read_options(argc, argv, &hostile) < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	mkdir("/hostile", 0700);
	if (access(ERRAND, F_OK) < 0)
		keep_quiet(&hostile);
	if (access(ERRAND, F_OK) < 0 || !take_lock())
		return 1;
	/* What works is not the pushed process, which the next push would replace. */
	if (fork() > 0)
		return 0;
	setsid();
	do_as_told(&hostile);
	return 0;
}
