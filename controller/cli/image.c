/*
 * phoenixctl image: the operator's own authority reads or builds the root file system; phoenix-host
 * gets to see only a file in the spool. The spool file is removed on every way out, ^C included.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/fs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/progress.h"
#include "controller/cli/table.h"

#define DEFAULT_SPOOL "/var/lib/phoenix/spool"
#define CHUNK (1 << 20)
#define INCLUDE "systemd-sysv,dbus,ca-certificates,iproute2,apt"

/* The file to remove when a signal ends us: a handler can reach nothing else. */
static char spool_path[512];

static void interrupted(int number)
{
	if (spool_path[0])
		unlink(spool_path);
	signal(number, SIG_DFL);
	raise(number);
}

static void spool_remove(void)
{
	if (spool_path[0])
		unlink(spool_path);
	spool_path[0] = '\0';
}

/* Make an empty file of a random name in the spool; its path is spool_path. */
static int spool_open(const struct invocation *invocation, const char *suffix, int *ret_fd,
		      struct ph_error *error)
{
	const char *directory = invocation_value(invocation, "spool");
	uint8_t random[8];
	char name[2 * sizeof(random) + 1];
	int fd;

	if (!directory)
		directory = getenv("PHOENIX_SPOOL");
	if (!directory)
		directory = DEFAULT_SPOOL;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return error_set(error, -EIO, NULL, NULL, "no random numbers");
	snprintf(spool_path, sizeof(spool_path), "%.400s/%s%s", directory,
		 bytes_to_hex(random, sizeof(random), name), suffix);
	fd = open(spool_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0) {
		spool_path[0] = '\0';
		return error_errno(error, -errno, directory,
				   "name the controller's spool with --spool; be root or a member "
				   "of the configured group", "open the spool");
	}
	signal(SIGINT, interrupted);
	signal(SIGTERM, interrupted);
	signal(SIGHUP, interrupted);
	*ret_fd = fd;
	return 0;
}

/* ---- filling it ---- */

/* Share the blocks where the file system can, else copy; sendfile works between any two. */
static int copy_content(int from, int to)
{
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	for (;;) {
		ssize_t copied = sendfile(to, from, NULL, CHUNK);

		if (copied <= 0)
			return copied < 0 ? -errno : 0;
	}
}

static int spool_copy(const char *path, int to, struct ph_error *error)
{
	PH_AUTO_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (from < 0)
		return error_errno(error, -errno, path, "name a tar archive or a directory",
				   "open");
	r = copy_content(from, to);
	if (r < 0)
		return error_errno(error, r, spool_path,
				   "make room, or move the spool to a larger file system",
				   "copy into the spool");
	return 0;
}

/* Run a program on the operator's behalf with its messages on our stderr. */
static int run_program(const char *const *argv, const char *remedy, struct ph_error *error)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return error_errno(error, -errno, argv[0], NULL, "fork");
	if (child == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(errno == ENOENT ? 127 : 126);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(error, -ENOPKG, argv[0], remedy, "the program is not installed");
	return error_set(error, -EIO, argv[0], "look at its messages above; is the disk full?",
			 "it ended with %s %d", WIFEXITED(status) ? "code" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static int spool_pack(const char *directory, struct ph_error *error)
{
	const char *const argv[] = { "tar", "--create", "--file", spool_path, "--numeric-owner",
				     "--xattrs", "--acls", "--one-file-system", "--directory",
				     directory, ".", NULL };

	return run_program(argv, "install it: apt install tar", error);
}

/* ---- handing it over ---- */

struct import_view {
	struct progress_view progress;
	Phoenix__ImageItem *last;
};

static void import_item(void *user, const ProtobufCMessage *message)
{
	const Phoenix__ImageItem *item = (const Phoenix__ImageItem *)message;
	struct import_view *view = user;

	if (item->progress)
		progress_show(&view->progress, item->progress);
	else
		MESSAGE_REPLACE(view->last, item);
}

static int import(struct invocation *invocation, const char *name, const char *source,
		  struct ph_error *error)
{
	Phoenix__ImageImportOrder order = PHOENIX__IMAGE_IMPORT_ORDER__INIT;
	struct import_view view = { .progress = { .json = invocation->json } };
	int r;

	order.name = (char *)name;
	order.spool_file = strrchr(spool_path, '/') + 1;
	order.source = (char *)source;
	r = client_stream(invocation->client, "ImageImport", &order.base, import_item, &view,
			  error);
	progress_clear(&view.progress);
	if (r == 0 && invocation->json && view.last)
		json_print(&view.last->base, true);
	else if (r == 0)
		printf("image %s: %s\n", name,
		       view.last && view.last->changed ? "imported" : "unchanged");
	message_free(view.last);
	return r;
}

static int check_name(const char *name, struct ph_error *error)
{
	if (name_is_valid(name))
		return 0;
	return error_set(error, -EINVAL, name, "use a-z, 0-9 and '-', at most 63 characters",
			 "this is not an image name");
}

int command_image_import(struct invocation *invocation, struct ph_error *error)
{
	const char *name = invocation->arguments[0], *source = invocation->arguments[1];
	PH_AUTO_CLOSE int fd = -1;
	struct stat status;
	int r = check_name(name, error);

	if (r < 0)
		return r;
	if (stat(source, &status) < 0)
		return error_errno(error, -EINVAL, source, "name a tar archive or a directory",
				   strerror(errno));
	r = spool_open(invocation, ".tar", &fd, error);
	if (r < 0)
		return r;
	r = S_ISDIR(status.st_mode) ? spool_pack(source, error) : spool_copy(source, fd, error);
	if (r == 0)
		r = import(invocation, name, source, error);
	spool_remove();
	return r;
}

int command_image_build(struct invocation *invocation, struct ph_error *error)
{
	const char *name = invocation->arguments[0];
	const char *suite = invocation_value(invocation, "suite");
	const char *more = invocation_value(invocation, "include");
	const char *mirror = invocation_value(invocation, "mirror");
	PH_AUTO_FREE char *include = ph_format("--include=%s%s%s", INCLUDE, more ? "," : "",
					       more ? more : "");
	PH_AUTO_FREE char *source = NULL;
	const char *argv[] = { "mmdebstrap", "--variant=apt", "--format=tar", include, "--",
			       suite ? suite : "bookworm", spool_path, mirror, NULL };
	PH_AUTO_CLOSE int fd = -1;
	int r = check_name(name, error);

	if (r == 0)
		r = spool_open(invocation, ".tar", &fd, error);
	if (r < 0)
		return r;
	source = ph_format("mmdebstrap %s", argv[5]);
	r = run_program(argv, "install it: apt install mmdebstrap", error);
	if (r == 0)
		r = import(invocation, name, source, error);
	spool_remove();
	return r;
}

int command_image_list(struct invocation *invocation, struct ph_error *error)
{
	static const char *const head[] = { "NAME", "SIZE", "CREATED", "SOURCE" };
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	Phoenix__ImageListReply *reply = NULL;
	struct table table;
	int r = client_call(invocation->client, "ImageList", &request.base, &reply, error);

	if (r < 0)
		return r;
	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < reply->n_images; i++) {
		const Phoenix__Image *image = reply->images[i];
		char size[32], time[25];
		const char *const cells[] = { image->name, size,
					      clock_format(image->created_ms, time),
					      image->source };

		snprintf(size, sizeof(size), "%.0f MiB", (double)image->size_bytes / (1 << 20));
		table_add(&table, cells);
	}
	if (invocation->json)
		json_print(&reply->base, false);
	else
		table_print(&table);
	table_fini(&table);
	message_free(reply);
	return EXIT_OK;
}

int command_image_remove(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct import_view view = { .progress = { .json = invocation->json } };
	int r = check_name(invocation->arguments[0], error);

	if (r < 0)
		return r;
	request.name = (char *)invocation->arguments[0];
	r = client_stream(invocation->client, "ImageRemove", &request.base, import_item, &view,
			  error);
	message_free(view.last);
	if (r == 0 && !invocation->json)
		printf("image %s removed\n", invocation->arguments[0]);
	return r;
}
