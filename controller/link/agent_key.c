#include "controller/link/agent_key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/secret.h"
#include "common/str.h"

#define KEYS "db/keys"
#define NEW_SUFFIX "+" /* no container's name has it */

static int open_keys(const char *state_dir)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/" KEYS, state_dir);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int make_keys(const char *state_dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/" KEYS, state_dir);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	return open_keys(state_dir);
}

int agent_key_read(const char *state_dir, const char *name, uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	PH_AUTO_CLOSE int keys = open_keys(state_dir);
	PH_AUTO_CLOSE int fd = -1;

	if (keys < 0)
		return keys;
	if (!name_is_valid(name))
		return -EINVAL;
	fd = openat(keys, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : secret_read(fd, ret_key, HANDSHAKE_KEY_SIZE);
}

/* Have it on the disk: now, or by the barrier, with a descriptor of its own. */
static int sync_file(int fd, const char *name, struct barrier *barrier)
{
	int own;

	if (!barrier)
		return fsync(fd) < 0 ? -errno : 0;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return -errno;
	barrier_sync_once(barrier, own, name);
	return 0;
}

/* Write a file that did not exist. */
static int write_new(int keys, const char *file, const uint8_t key[HANDSHAKE_KEY_SIZE],
		     struct barrier *barrier)
{
	PH_AUTO_CLOSE int fd = -1;
	ssize_t written;

	if (unlinkat(keys, file, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(keys, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	written = write(fd, key, HANDSHAKE_KEY_SIZE);
	if (written != HANDSHAKE_KEY_SIZE)
		return written < 0 ? -errno : -ENOSPC;
	return sync_file(fd, file, barrier);
}

static int replace_key(int keys, const char *name, const uint8_t key[HANDSHAKE_KEY_SIZE],
		       struct barrier *barrier)
{
	char file[HANDSHAKE_NAME_SIZE + sizeof(NEW_SUFFIX)];
	int r;

	snprintf(file, sizeof(file), "%s" NEW_SUFFIX, name);
	r = write_new(keys, file, key, barrier);
	if (r == 0 && renameat(keys, file, keys, name) < 0)
		r = -errno;
	if (r == 0)
		r = sync_file(keys, KEYS, barrier);
	if (r < 0)
		unlinkat(keys, file, 0);
	return r;
}

int agent_key_make(const char *state_dir, const char *name, struct barrier *barrier,
		   uint8_t ret_key[HANDSHAKE_KEY_SIZE], struct ph_error *error)
{
	PH_AUTO_CLOSE int keys = make_keys(state_dir);
	uint8_t key[HANDSHAKE_KEY_SIZE];
	int r = keys < 0 ? keys : name_is_valid(name) ? 0 : -EINVAL;

	handshake_random(key, sizeof(key));
	if (r == 0)
		r = replace_key(keys, name, key, barrier);
	if (r == 0)
		memcpy(ret_key, key, sizeof(key));
	sodium_memzero(key, sizeof(key));
	return r < 0 ? error_errno(error, r, name, "look at STATE/" KEYS " and the disk",
				   "write the container's key") :
		       0;
}

int agent_key_ensure(const char *state_dir, const char *name, struct barrier *barrier,
		     uint8_t ret_key[HANDSHAKE_KEY_SIZE], struct ph_error *error)
{
	if (agent_key_read(state_dir, name, ret_key) == 0)
		return 0;
	return agent_key_make(state_dir, name, barrier, ret_key, error);
}

int agent_key_remove(const char *state_dir, const char *name, struct ph_error *error)
{
	PH_AUTO_CLOSE int keys = open_keys(state_dir);
	int r = 0;

	if (keys == -ENOENT)
		return 0;
	if (keys < 0)
		r = keys;
	else if (unlinkat(keys, name, 0) < 0 && errno != ENOENT)
		r = -errno;
	return r < 0 ? error_errno(error, r, name, "look at STATE/" KEYS " and the disk",
				   "delete the container's key") :
		       0;
}
