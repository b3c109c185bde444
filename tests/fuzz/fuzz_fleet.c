/*
 * Fleet files. What is refused has a place and a reason; what is taken passes the check for fleets that come
 * over a socket, and does not differ from itself.
 */
#include <errno.h>
#include <string.h>

#include "controller/fleet/fleet.h"
#include "tests/fuzz/fuzz.h"

static void use(const Phoenix__Fleet *fleet)
{
	struct ph_error error = { 0 };

	FUZZ_CHECK(fleet_validate(fleet, &error) == 0);
	for (size_t i = 0; i < fleet->n_containers; i++) {
		struct fleet_differences differences;
		Phoenix__ContainerSpec *copy = fleet_spec_copy(fleet->containers[i]);

		FUZZ_CHECK(fleet_spec_equal(fleet->containers[i], copy));
		fleet_spec_diff(fleet->containers[i], copy, &differences);
		FUZZ_CHECK(differences.count == 0);
		fleet_differences_fini(&differences);
		fleet_spec_diff(NULL, copy, &differences);
		fleet_differences_fini(&differences);
		phoenix__container_spec__free_unpacked(copy, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	Phoenix__Fleet *fleet = NULL;
	struct ph_error error = { 0 };
	int result = fleet_parse("fleet.yaml", (const char *)bytes, size, &fleet, &error);

	if (result < 0) {
		FUZZ_CHECK(!fleet && error.why[0]);
		return 0;
	}
	use(fleet);
	fleet_free(fleet);
	return 0;
}
