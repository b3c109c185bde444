/*
 * The agent as a sealed memory file: who gets hold of it, through /proc/PID/exe or otherwise, can neither change nor
 * cut it; and what others than root could have changed, or what is no static program, is not taken.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/host/lxc/sealed.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

/* The least that counts as a program: a header, and a segment of the given type. */
struct program {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
};

static struct program program_of(uint32_t type)
{
	struct program program = { .header = { .e_phoff = sizeof(Elf64_Ehdr),
					       .e_phentsize = sizeof(Elf64_Phdr),
					       .e_phnum = 1 },
				   .segment = { .p_type = type } };

	memcpy(program.header.e_ident, ELFMAG, SELFMAG);
	program.header.e_ident[EI_CLASS] = ELFCLASS64;
	return program;
}

static const char *write_program(struct scratch *scratch, uint32_t type, mode_t mode)
{
	const struct program program = program_of(type);
	const char *path = scratch_write(scratch, "agent", &program, sizeof(program));

	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void nobody_can_change_it(void **state)
{
	struct scratch *scratch = *state;
	const struct program program = program_of(PT_LOAD);
	uint8_t hash[crypto_hash_sha256_BYTES];
	char digest[2 * sizeof(hash) + 1], again[48];
	struct ph_error error = { 0 };
	struct program copy;
	struct sealed sealed;
	PH_AUTO_CLOSE int writable = -1;

	assert_int_equal(sealed_load(write_program(scratch, PT_LOAD, 0755), &sealed, &error), 0);
	assert_int_equal(fcntl(sealed.fd, F_GET_SEALS) &
				 (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(pread(sealed.fd, &copy, sizeof(copy), 0), sizeof(copy));
	assert_memory_equal(&copy, &program, sizeof(copy));
	crypto_hash_sha256(hash, (const uint8_t *)&program, sizeof(program));
	sodium_bin2hex(digest, sizeof(digest), hash, sizeof(hash));
	assert_string_equal(sealed.digest, digest);

	assert_int_equal(write(sealed.fd, "x", 1), -1); /* the descriptor is read-only */
	snprintf(again, sizeof(again), "/proc/self/fd/%d", sealed.fd);
	writable = open(again, O_RDWR | O_CLOEXEC);
	if (writable >= 0) { /* root may open it; the seals hold all the same */
		assert_int_equal(pwrite(writable, "x", 1, 0), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(ftruncate(writable, 0), -1);
		assert_ptr_equal(mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0),
				 MAP_FAILED);
	}
	sealed_fini(&sealed);
	assert_int_equal(sealed.fd, -1);
}

/* What was sealed stays what it was when the file on disk becomes another one. */
static void the_file_may_change_afterwards(void **state)
{
	struct scratch *scratch = *state;
	const char *path = write_program(scratch, PT_LOAD, 0755);
	struct ph_error error = { 0 };
	struct program copy, program = program_of(PT_LOAD);
	struct sealed sealed;

	assert_int_equal(sealed_load(path, &sealed, &error), 0);
	write_program(scratch, PT_INTERP, 0755);
	assert_int_equal(pread(sealed.fd, &copy, sizeof(copy), 0), sizeof(copy));
	assert_memory_equal(&copy, &program, sizeof(copy));
	sealed_fini(&sealed);
}

static void assert_refused(const char *path, int code, const char *why)
{
	struct ph_error error = { 0 };
	struct sealed sealed;

	assert_int_equal(sealed_load(path, &sealed, &error), code);
	assert_non_null(strstr(error.why, why));
}

static void what_is_no_agent_is_refused(void **state)
{
	struct scratch *scratch = *state;
	char target[320];

	assert_refused(write_program(scratch, PT_INTERP, 0755), -ENOEXEC, "static");
	assert_refused(scratch_write(scratch, "script", "#!/bin/sh\n", 10), -ENOEXEC, "no agent");
	assert_refused(write_program(scratch, PT_LOAD, 0775), -EPERM, "others than root");
	assert_refused(write_program(scratch, PT_LOAD, 0757), -EPERM, "others than root");
	snprintf(target, sizeof(target), "%s", write_program(scratch, PT_LOAD, 0755));
	assert_int_equal(symlink(target, scratch_file(scratch, "link")), 0);
	assert_refused(scratch_file(scratch, "link"), -ELOOP, "open");
	assert_refused(scratch_file(scratch, "nothing"), -ENOENT, "open");
	assert_int_equal(chown(target, 65534, 65534), 0);
	assert_refused(target, -EPERM, "others than root");
}

static int setup(void **state)
{
	static struct scratch scratch;

	scratch_init(&scratch);
	*state = &scratch;
	return 0;
}

static int teardown(void **state)
{
	scratch_fini(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_can_change_it, setup, teardown),
		cmocka_unit_test_setup_teardown(the_file_may_change_afterwards, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_agent_is_refused, setup, teardown),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP only root's files are agents\n");
		return 0;
	}
	return cmocka_run_group_tests_name("sealed", tests, NULL, NULL);
}
