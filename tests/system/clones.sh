#!/bin/bash
# Clones on file systems of their own: by snapshot on btrfs, with Docker in it, by reflink on xfs, by overlay on ext4.
# Containers start and write, get another root and come back to theirs, what a host cannot do is refused with the reason, and removal
# leaves nothing.
# beds: native
# deadline: 240
# image: golden
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# `fleet METHOD SOURCE COUNT`
fleet() {
	local index
	cat <<-END
	version: 1
	defaults: {image: base, clone: $1, confinement: $(confinement), docker: {source: $2}}
	containers:
	END
	for index in $(seq "$3"); do
		echo "- {name: web$index}"
	done
}

in_container() {
	local name=$1
	shift
	timeout 60 lxc-attach -P "$PH_WORK/state/containers" -n "$name" --clear-env -- "$@"
}

mounts_left() {
	awk -v below="$PH_WORK/state/" 'index($5, below) == 1 {print $5}' /proc/self/mountinfo
}

# `test_lives METHOD`: the containers of the fleet run from such a clone and are their own.
test_lives() {
	tap_like "web1 is cloned by $1, as asked for" "$(ctl show web1)" "cloned by +$1 \(asked for\)"
	tap_is 'the root file system belongs to its root' "$(in_container web1 stat --format %u:%g /etc/passwd)" 0:0
	tap_run 'its root writes there' in_container web1 sh -c 'echo mine >/etc/hostname && chown 33:33 /etc/hostname'
	tap_is 'the other one keeps its own' "$(in_container web2 cat /etc/hostname)" web2
	tap_is 'the image stays as it was' "$(stat --format %u "$PH_WORK/state/images/base/rootfs/etc/passwd")" 0
	tap_exits 'the image is not removed under them' 1 ctl image remove base
}

# `test_other_root METHOD OTHER SOURCE`: web1 gets another root by the other method, and comes back to its own.
test_other_root() {
	in_container web1 sh -c 'echo mine >/etc/by-hand'
	fleet "$2" "$3" 2 >"$PH_WORK/other.yaml"
	echo 'rollout: {canary: 1, soak: 0, canary_soak: 0}' >>"$PH_WORK/other.yaml"
	tap_run "a rollout of clones by $2" ctl rollout start -f "$PH_WORK/other.yaml" --only web1 --watch
	tap_like 'web1 is one' "$(ctl show web1)" "cloned by +$2 \(asked for\)"
	tap_exits 'without what was written by hand' 1 in_container web1 test -e /etc/by-hand
	tap_like 'and web2 is not' "$(ctl show web2)" "cloned by +$1 \(asked for\)"
	tap_run 'it is taken back' ctl rollout revert
	tap_run 'to its end' ctl rollout status --watch
	tap_is 'it is on the very root that it had' "$(in_container web1 cat /etc/by-hand)" mine
	tap_like "by $1" "$(ctl show web1)" "cloned by +$1 \(asked for\)"
	tap_run 'the other root is kept' test -d "$PH_WORK/state/containers/web1/root-1"
	tap_run 'until it is discarded' ctl discard web1 --yes
	tap_is 'and no file is left of it' "$(find "$PH_WORK/state/containers/web1" -maxdepth 1 -name 'root-*')" ''
}

# `test_removal COUNT`
test_removal() {
	local index
	for index in $(seq "$1"); do
		tap_run "web$index is removed" ctl remove "web$index"
	done
	tap_is 'no file is left of them' "$(ls -A "$PH_WORK/state/containers")$(ls -A "$PH_WORK/state/data")" ''
	tap_is 'and no mount' "$(mounts_left)" ''
	tap_run 'the image is removed' ctl image remove base
	tap_is 'and nothing is left of it' "$(ls -A "$PH_WORK/state/images")" ''
}

# `test_refused METHOD REASON`
test_refused() {
	fleet "$1" none 1 >"$PH_WORK/fleet.yaml"
	tap_exits "a clone by $1 is refused" 1 ctl apply -f "$PH_WORK/fleet.yaml"
	tap_like 'with the reason and what to do' "$tap_output" "$2"
	tap_like 'as the plan says before' "$(ctl plan -f "$PH_WORK/fleet.yaml" || true)" "refuse +web1: .*$1"
	tap_is 'and nothing is made' "$(ls -A "$PH_WORK/state/containers")" ''
}

subvolumes() {
	btrfs subvolume list -o "$PH_WORK/state" | wc -l
}

test_btrfs() {
	phoenix_onto btrfs
	ctl image import base "$PH_IMAGE" >/dev/null
	tap_is 'btrfs: the image is a subvolume' "$(subvolumes)" 1
	fleet snapshot distribution 2 >"$PH_WORK/fleet.yaml"
	tap_run 'btrfs: two containers with Docker by snapshot' ctl apply -f "$PH_WORK/fleet.yaml"
	tap_is 'each is a subvolume' "$(subvolumes)" 3
	tap_is 'no layer lies over its files' "$(in_container web1 stat --file-system --format %T /)" btrfs
	tap_run 'Docker answers there, and verify has passed' in_container web1 docker info
	test_lives snapshot
	test_other_root snapshot reflink distribution
	test_removal 2
	tap_is 'no subvolume is left' "$(subvolumes)" 0
	phoenix_off
}

# `test_plain KIND METHOD OTHER`: without Docker, which looks at its data-root and not at the clone.
test_plain() {
	phoenix_onto "$1"
	ctl image import base "$BARE" >/dev/null
	test_refused snapshot 'the images are not on btrfs'
	fleet "$2" none 2 >"$PH_WORK/fleet.yaml"
	tap_run "$1: two containers by $2" ctl apply -f "$PH_WORK/fleet.yaml"
	test_lives "$2"
	test_other_root "$2" "$3" none
	test_removal 2
	phoenix_off
}

BARE=$("$PH_ROOT/dev/lib/container-image" bare)
phoenix_up
test_btrfs
test_plain xfs reflink overlay
test_plain ext4 overlay copy
tap_done
