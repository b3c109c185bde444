/*
 * Mounts a FUSE file system that never answers: whoever looks at it waits for ever. Run inside a
 * container as its root: `hang DIRECTORY...`. Says "hanging" when all of them are mounted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int hang(const char *path)
{
	char options[96];
	int fd = open("/dev/fuse", O_RDWR);

	mkdir(path, 0755);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 fd);
	if (fd < 0 || mount("hang", path, "fuse.hang", 0, options) < 0) {
		perror(path);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (hang(argv[i]) < 0)
			return 1;
	puts("hanging");
	fflush(stdout);
	for (;;)
		pause();
}
