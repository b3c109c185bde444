/*
 * Everything a test container runs, in one static program. As init: starts one process in a pid
 * namespace below its own, as a nested container would, reaps, and ends on SIGTERM or SIGPWR. As
 * phoenix-agent: connects to its --socket, sends its arguments and what it sees of itself, waits
 * until that connection ends.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void leave(int number)
{
	_exit(0);
}

static _Noreturn void run_init(void)
{
	signal(SIGTERM, leave);
	signal(SIGPWR, leave);
	if (syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL) == 0)
		for (;;)
			pause();
	for (;;)
		if (waitpid(-1, NULL, 0) < 0)
			pause();
}

static int count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = -3; /* ".", "..", and the directory */

	while (directory && readdir(directory))
		count++;
	return count;
}

static int run_agent(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[1024], key[32], byte;
	ssize_t got, more;
	int length, descriptors = count_descriptors();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 9 || strcmp(argv[1], "--socket") != 0)
		return 2;
	strncpy(address.sun_path, argv[2], sizeof(address.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		for (;;)
			pause(); /* nobody listens: the test only wants a process */
	got = read(atoi(argv[8]), key, sizeof(key));
	more = read(atoi(argv[8]), &byte, 1);
	length = snprintf(text, sizeof(text),
			  "%s %s uid=%d sid=%d descriptors=%d writable=%d\n%s %s key=%zd more=%zd\n",
			  argv[3], argv[4], getuid(), getsid(0) == getpid(), descriptors,
			  open("/proc/self/exe", O_RDWR) >= 0, argv[5], argv[6], got, more);
	length += snprintf(text + length, sizeof(text) - (size_t)length, "%.*s\n", (int)sizeof(key),
			   key);
	for (char **each = environ; *each; each++)
		length += snprintf(text + length, sizeof(text) - (size_t)length, "%s\n", *each);
	if (write(fd, text, (size_t)length) < 0)
		return 1;
	while (read(fd, &byte, 1) > 0)
		continue;
	return 0;
}

int main(int argc, char **argv)
{
	if (strstr(argv[0], "phoenix-agent"))
		return run_agent(argc, argv);
	run_init();
}
