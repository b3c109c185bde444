/*
 * Runs as the only process of a container whose image holds nothing but this binary and two files.
 */
#include "agent/storage/nested.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "agent/storage/scratch.h"
#include "agent/storage/verify.h"
#include "common/cleanup.h"
#include "common/str.h"

#define WAIT_SECONDS 180 /* nobody closes our input: end anyway */
#define REACH_SECONDS 5

void nested_take_line(struct nested_words *words, const char *line)
{
	const struct {
		const char *key;
		char *value;
	} fields[] = {
		{ "nonce=", words->nonce },           { "root_type=", words->root_type },
		{ "root_magic=", words->root_magic }, { "changed=", words->changed },
		{ "label=", words->label },           { "layered=", words->layered },
		{ "kept=", words->kept },             { "gateway=", words->gateway },
		{ "reached=", words->reached },
	};

	if (strcmp(line, NESTED_READY) == 0)
		words->is_ready = true;
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
		if (text_has_prefix(line, fields[i].key))
			text_copy(fields[i].value, NESTED_VALUE, line + strlen(fields[i].key));
}

/* The type of the mount at "/": behind " - " in its mountinfo line, whose 5th word is "/". */
static void print_root_type(void)
{
	PH_AUTO_FILE FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], point[256], type[64];

	while (file && fgets(line, sizeof(line), file)) {
		const char *separator = strstr(line, " - ");

		if (sscanf(line, "%*s %*s %*s %*s %255s", point) == 1 && strcmp(point, "/") == 0 &&
		    separator && sscanf(separator, " - %63s", type) == 1) {
			printf("root_type=%s\n", type);
			return;
		}
	}
}

/* One lower file is written, another one deleted: the layers work under a running container. */
static bool can_change(void)
{
	char text[16];

	if (scratch_write(AT_FDCWD, "/lower-write", "upper", 0600) < 0 ||
	    scratch_read(AT_FDCWD, "/lower-write", text, sizeof(text)) != 5)
		return false;
	return unlink("/lower-delete") == 0 && access("/lower-delete", F_OK) < 0;
}

static void print_label(void)
{
	char text[NESTED_VALUE];
	ssize_t length = scratch_read(AT_FDCWD, "/proc/self/attr/apparmor/current", text,
				      sizeof(text));

	if (length < 0)
		length = scratch_read(AT_FDCWD, "/proc/self/attr/current", text, sizeof(text));
	if (length > 0) {
		text[strcspn(text, "\n")] = '\0';
		printf("label=%s\n", text);
	}
}

/* ---- what it can be told to do ---- */

/* The container that waits: it says what it sees, then ends with its input. */
static int hold(const char *nonce, const char *port)
{
	struct statfs status;
	char byte;

	printf("nonce=%s\n", nonce);
	print_root_type();
	if (statfs("/", &status) == 0)
		printf("root_magic=%lx\n", (unsigned long)status.f_type);
	printf("changed=%s\n", can_change() ? "yes" : "no");
	print_label();
	puts(NESTED_READY);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

/* Started beside the first one. */
static int exec(const char *nonce, const char *port)
{
	printf("nonce=%s\n", nonce);
	return 0;
}

/* A step of a build: what it changes becomes a layer. */
static int layer(const char *nonce, const char *port)
{
	if (unlink("/lower-delete") < 0)
		return 1;
	return scratch_write(AT_FDCWD, "/lower-write", nonce, 0600) < 0 ? 1 : 0;
}

static const char *see_layers(const char *nonce)
{
	char text[64];

	if (scratch_read(AT_FDCWD, "/second", text, sizeof(text)) < 0)
		return "a copied file is missing";
	if (scratch_read(AT_FDCWD, "/lower-write", text, sizeof(text)) < 0 ||
	    strcmp(text, nonce) != 0)
		return "a file that the build changed shows its old content";
	return access("/lower-delete", F_OK) == 0 ? "a file that the build deleted is back" : "yes";
}

/* The default route's gateway from /proc/net/route, in network byte order; 0: none. */
static uint32_t find_gateway(void)
{
	PH_AUTO_FILE FILE *file = fopen("/proc/net/route", "re");
	unsigned int destination, gateway;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%*s %x %x", &destination, &gateway) == 2 && destination == 0)
			return gateway;
	return 0;
}

static const char *reach(uint32_t gateway, uint16_t port, const char *nonce)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons(port),
					     .sin_addr.s_addr = gateway };
	const struct timeval patience = { .tv_sec = REACH_SECONDS };
	PH_AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!gateway)
		return "no default route";
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return strerror(errno);
	return write(fd, nonce, strlen(nonce)) < 0 ? strerror(errno) : "yes";
}

/* The container that is started twice: layers, what it left the first time, the bridge. */
static int start(const char *nonce, const char *port)
{
	uint32_t gateway = find_gateway();
	char text[64], dotted[16];
	uint64_t number = 0;

	printf("layered=%s\n", see_layers(nonce));
	printf("kept=%s\n", scratch_read(AT_FDCWD, "/kept", text, sizeof(text)) > 0 &&
					    strcmp(text, nonce) == 0 ?
				    "yes" :
				    "no");
	scratch_write(AT_FDCWD, "/kept", nonce, 0600);
	if (text_to_u64(port, UINT16_MAX, &number) < 0)
		return 2;
	printf("gateway=%s\n", ipv4_to_text(ntohl(gateway), dotted));
	printf("reached=%s\n", number ? reach(gateway, (uint16_t)number, nonce) : "not asked to");
	return 0;
}

int nested_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *nonce, const char *port);
	} modes[] = { { "hold", hold }, { "exec", exec }, { "layer", layer }, { "reach", start } };

	alarm(WAIT_SECONDS);
	for (size_t i = 0; argc >= 3 && i < ARRAY_LENGTH(modes); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run(argv[2], argc > 3 ? argv[3] : "0");
	fputs("Usage: phoenix-agent nested hold|exec|layer|reach NONCE [PORT]\n", stderr);
	return 2;
}
