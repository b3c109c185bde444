#!/bin/bash
# The storage driver through Phoenix: chosen by probing, remembered, measured, changed only as far as images allow.
# beds: native uml
# deadline: 420
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# `fleet STORAGE`: the fleet file with that storage section
fleet() {
	cat >"$PH_WORK/fleet.yaml" <<-END
	version: 1
	containers:
	- name: web1
	  image: base
	  confinement: $(confinement)
	  storage: $1
	END
}

in_web1() {
	lxc-attach -P "$PH_WORK/state/containers" -n web1 --clear-env -- "$@"
}

driver_in_use() {
	ctl --json show web1 | jq -r .storage_driver
}

test_phoenix() {
	local report
	ctl image import base "$PH_IMAGE" >/dev/null
	fleet '{driver: auto}'
	tap_run 'apply with driver: auto' ctl apply -f "$PH_WORK/fleet.yaml"
	tap_is 'the choice is remembered' "$(driver_in_use)" overlay2
	tap_like 'a second apply changes nothing' "$(ctl apply -f "$PH_WORK/fleet.yaml" 2>&1)" '0 created, 0 changed, 1 unchanged'
	report=$(ctl --json storage web1) || true
	tap_is 'phoenixctl storage measures both drivers' "$(jq -r '[.costs[] | select(.usable) | .driver] | sort | join(" ")' \
		<<<"$report")" 'fuse-overlayfs overlay2'
	tap_note "$(ctl storage web1)"

	fleet '{driver: fuse-overlayfs}'
	tap_run 'another driver while nothing is held' ctl apply -f "$PH_WORK/fleet.yaml"
	tap_is 'is used' "$(driver_in_use)" fuse-overlayfs
	tap_like 'and overlay2 is named as faster' "$(ctl storage web1)" 'overlay2 passes here and creates files'

	in_web1 sh -c 'tar --create --directory /etc hostname | docker import - kept:1' >/dev/null
	fleet '{driver: overlay2}'
	tap_exits 'a change that hides images is refused' 1 ctl apply -f "$PH_WORK/fleet.yaml"
	tap_like 'and the images are named' "$tap_output" 'hide 1 images.*kept:1'
	tap_is 'nothing was changed' "$(driver_in_use)" fuse-overlayfs
	fleet '{driver: auto}'
	tap_run 'auto keeps the images' ctl apply -f "$PH_WORK/fleet.yaml"
	tap_is 'with their driver' "$(driver_in_use)" fuse-overlayfs
	fleet '{driver: overlay2, allow_image_loss: true}'
	tap_run 'with consent it changes' ctl apply -f "$PH_WORK/fleet.yaml"
	tap_is 'and is used' "$(driver_in_use)" overlay2
}

phoenix_up
test_phoenix
tap_done
