/*
 * LXC configurations of others. What was taken apart gives the same lines again, an edit changes its own
 * line only and is there when the result is read once more.
 */
#include <errno.h>
#include <string.h>

#include "controller/host/lxc/lxc_config.h"
#include "tests/fuzz/fuzz.h"

#define KEY "lxc.apparmor.profile"

static void check_same(const uint8_t *bytes, size_t size, const struct lxc_config *config)
{
	PH_AUTO_STR struct str text = STR_INIT;
	bool has_end = size == 0 || bytes[size - 1] == '\n';

	lxc_config_format(config, &text);
	FUZZ_CHECK(text.length == size + !has_end);
	FUZZ_CHECK(size == 0 || memcmp(str_text(&text), bytes, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	PH_AUTO_STR struct str text = STR_INIT;
	struct lxc_config config, again;
	uint32_t base, count;
	size_t length = 0, lines;
	struct ph_error error;
	int code = lxc_config_parse((const char *)bytes, size, &config, &error);

	FUZZ_CHECK(code == 0 || code == -EINVAL || code == -EFBIG);
	if (code < 0)
		return 0;
	check_same(bytes, size, &config);
	code = lxc_config_id_map(&config, &base, &count, &error);
	FUZZ_CHECK(code == -ENOENT || code == -ENOTSUP || (code == 0 && base >= 65536));
	lxc_config_mounted_at(&config, "var/lib/docker", &length);
	FUZZ_CHECK(length <= size);
	lines = config.count + (lxc_config_get(&config, KEY) == NULL);
	lxc_config_set(&config, KEY, "lxc-phoenix-v2");
	FUZZ_CHECK(config.count == lines);
	lxc_config_format(&config, &text);
	FUZZ_CHECK(lxc_config_parse(str_text(&text), text.length, &again, &error) == 0 ||
		   text.length > LXC_CONFIG_TEXT_MAXIMUM || lines >= LXC_CONFIG_LINES_MAXIMUM);
	if (text.length <= LXC_CONFIG_TEXT_MAXIMUM && lines < LXC_CONFIG_LINES_MAXIMUM) {
		FUZZ_CHECK(strcmp(lxc_config_get(&again, KEY), "lxc-phoenix-v2") == 0);
		lxc_config_fini(&again);
	}
	lxc_config_fini(&config);
	return 0;
}
