/* "36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda rw,userxattr", see proc(5). */
#include "agent/health/mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/str.h"

#define LINE_MAXIMUM 8192

/* Undo \040 and its like in place. */
static void decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		bool is_octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' &&
				from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
				from[3] <= '7';

		*to = is_octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + from[3] - '0') :
				 *from;
		from += is_octal ? 4 : 1;
	}
	*to = '\0';
}

/* Whether a word is one of a list with commas. */
static bool has_option(const char *options, const char *word)
{
	size_t length = strlen(word);

	for (const char *option = options; option; option = strchr(option, ',')) {
		option += *option == ',';
		if (strncmp(option, word, length) == 0 &&
		    (option[length] == ',' || option[length] == '\0'))
			return true;
	}
	return false;
}

static bool parse(const char *line, size_t length, struct mount *ret_mount)
{
	char text[LINE_MAXIMUM], options[256], super[LINE_MAXIMUM] = "";
	struct mount mount = { 0 };
	const char *tail;

	if (length >= sizeof(text))
		return false;
	memcpy(text, line, length);
	text[length] = '\0';
	tail = strstr(text, " - ");
	if (!tail || sscanf(text, "%*s %*s %*s %*s %255s %255s", mount.point, options) != 2 ||
	    sscanf(tail, " - %31s %*s %8191s", mount.type, super) < 1)
		return false;
	if (strlen(mount.point) == sizeof(mount.point) - 1)
		return false; /* cut: it would be another one's */
	decode(mount.point);
	mount.is_readonly = has_option(options, "ro") || has_option(super, "ro");
	mount.has_userxattr = has_option(super, "userxattr");
	*ret_mount = mount;
	return true;
}

/* Call take() for every mount of the text. */
static void each_mount(const char *mountinfo,
		       void (*take)(void *user, const struct mount *mount), void *user)
{
	while (*mountinfo) {
		size_t length = strcspn(mountinfo, "\n");
		struct mount mount;

		if (parse(mountinfo, length, &mount))
			take(user, &mount);
		mountinfo += length + (mountinfo[length] == '\n');
	}
}

static bool is_below(const char *point, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(point, directory, length) == 0 && point[length] == '/';
}

struct below {
	const char *directory;
	struct mounts *mounts;
};

static void take_below(void *user, const struct mount *mount)
{
	const struct below *below = user;
	struct mounts *mounts = below->mounts;

	if (!is_below(mount->point, below->directory) ||
	    (!mount_is_fuse(mount) && !text_equal(mount->type, "overlay")))
		return;
	for (size_t i = 0; i < mounts->count; i++) {
		if (!text_equal(mounts->items[i].point, mount->point))
			continue;
		mounts->items[i] = *mount;
		return;
	}
	if (mounts->count >= MOUNTS_MAXIMUM)
		return;
	mounts->items = ph_realloc(mounts->items, (mounts->count + 1) * sizeof(*mounts->items));
	mounts->items[mounts->count++] = *mount;
}

void mounts_below(const char *mountinfo, const char *directory, struct mounts *ret_mounts)
{
	struct below below = { directory, ret_mounts };

	*ret_mounts = (struct mounts){ 0 };
	each_mount(mountinfo, take_below, &below);
}

struct over {
	const char *directory;
	size_t length; /* of the point that covers it best; 0: none yet */
	struct mount mount;
};

static void take_over(void *user, const struct mount *mount)
{
	struct over *over = user;
	bool covers = text_equal(mount->point, "/") ||
		      text_equal(mount->point, over->directory) ||
		      is_below(over->directory, mount->point);

	if (!covers || strlen(mount->point) < over->length)
		return;
	over->length = strlen(mount->point);
	over->mount = *mount;
}

bool mounts_of(const char *mountinfo, const char *directory, struct mount *ret_mount)
{
	struct over over = { .directory = directory };

	each_mount(mountinfo, take_over, &over);
	if (over.length)
		*ret_mount = over.mount;
	return over.length > 0;
}

bool mount_is_fuse(const struct mount *mount)
{
	return text_equal(mount->type, "fuse") || text_has_prefix(mount->type, "fuse.");
}

void mounts_fini(struct mounts *mounts)
{
	free(mounts->items);
	*mounts = (struct mounts){ 0 };
}
