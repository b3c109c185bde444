#!/bin/bash
# Phoenix' whole state on ZFS 2.1: it mounts nothing with shifted ids and shares no blocks with an image, so that clones are
# copies; the other methods are refused with the reason when they are asked for.
# beds: zfs
# deadline: 300
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

POOL=phxpool$BASHPID

stop_daemons() {
	kill_daemon "$PH_DAEMON_PID"
	kill_daemon "$PH_HOST_PID"
	PH_DAEMON_PID='' PH_HOST_PID=''
}

# shellcheck disable=SC2317 # called by the trap
zfs_exit() {
	local status=$? name
	set +e
	trap - EXIT
	for name in web1 web2; do
		ctl remove "$name" >/dev/null 2>&1
	done
	stop_daemons
	zpool destroy -f "$POOL"
	phoenix_exit "$status"
}

# Let Phoenix begin anew on a dataset of a pool in a file.
onto_zfs() {
	stop_daemons
	modprobe zfs
	truncate -s 4G "$PH_WORK/pool.img"
	zpool create -O mountpoint=none -O compression=off "$POOL" "$PH_WORK/pool.img"
	zfs create -o acltype=posix -o mountpoint="$PH_WORK/state" "$POOL/state"
	start_host
	start_phoenixd
}

# `fleet METHOD COUNT`
fleet() {
	local index
	{
		printf 'version: 1\ndefaults: {image: base, clone: %s, confinement: %s, docker: {source: none}}\ncontainers:\n' \
			"$1" "$(confinement)"
		for index in $(seq "$2"); do
			echo "- {name: web$index}"
		done
	} >"$PH_WORK/fleet.yaml"
}

# `test_refused METHOD REASON`
test_refused() {
	fleet "$1" 1
	tap_exits "a clone by $1 is refused" 1 ctl apply -f "$PH_WORK/fleet.yaml"
	tap_like 'with the reason' "$tap_output" "$2"
	tap_note "$(grep -m 1 "cannot be made" <<<"$tap_output")"
	tap_like 'and what to do' "$tap_output" 'clone: auto'
	tap_is 'nothing is left of it' "$(ls -A "$PH_WORK/state/containers")$(ls -A "$PH_WORK/state/data")" ''
}

in_container() {
	local name=$1
	shift
	lxc-attach -P "$PH_WORK/state/containers" -n "$name" --clear-env -- "$@"
}

phoenix_up
trap 'zfs_exit' EXIT
onto_zfs
tap_note "ZFS $(cat /sys/module/zfs/version), kernel $(uname -r)"
tap_is 'the state is on ZFS' "$(stat --file-system --format %T "$PH_WORK/state")" zfs
tap_run 'an image is imported there' ctl image import base "$PH_IMAGE"
test_refused overlay 'a clone by overlay cannot be made on this host: .*on ZFS its 2\.2'
test_refused snapshot 'a clone by snapshot cannot be made on this host: .*not on btrfs'
test_refused reflink 'a clone by reflink cannot be made on this host: .*shares no blocks'
fleet auto 2
tap_run 'apply with clone: auto makes two' ctl apply -f "$PH_WORK/fleet.yaml"
tap_like 'which are copies, and why is told' "$(ctl show web1)" 'cloned by +copy \(no reflink: .*shares no blocks'
tap_is 'the root file system belongs to its root' "$(in_container web1 stat --format %u:%g /etc/passwd)" 0:0
tap_run 'its root writes there' in_container web1 sh -c 'echo mine >/etc/hostname'
tap_is 'the other one keeps its own' "$(in_container web2 cat /etc/hostname)" web2
tap_note "$(ctl show web1 | grep cloned)"
tap_run 'web1 is removed' ctl remove web1
tap_run 'web2 is removed' ctl remove web2
tap_is 'and nothing is left of them' "$(ls -A "$PH_WORK/state/containers")$(ls -A "$PH_WORK/state/data")" ''
tap_done
