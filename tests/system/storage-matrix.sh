#!/bin/bash
# Docker's storage drivers on the file systems that a data-root may lie on: what is chosen, that it works with a
# real dockerd in a user namespace, and what it costs. Without Phoenix around it: the agent runs by hand.
# beds: native
# deadline: 300
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

AGENT=$PH_BIN/phoenix-agent
IDMAP=(-m b:0:100000:65536)
CELL=cell$BASHPID
MATRIX='' # directory of the mini container and the file systems
IMAGE=''  # a container image with Docker in it

# --- a container without Phoenix: one root file system, a data-root of its own per cell -----------------------------

unpack_root() {
	mkdir -p "$MATRIX/root" "$MATRIX/lxc" "$MATRIX/fs"
	chmod 755 "$MATRIX"
	chown 100000:100000 "$MATRIX/root"
	lxc-usernsexec "${IDMAP[@]}" -- tar --extract --numeric-owner --directory "$MATRIX/root" --exclude='./dev/*' <"$IMAGE"
	install -m 755 "$AGENT" "$MATRIX/root/phoenix-agent"
}

# `cell_start DATA_ROOT`
cell_start() {
	mkdir -p "$1"
	chown 100000:100000 "$1"
	rm -f "$MATRIX/root/etc/docker/daemon.json"
	cat >"$MATRIX/config" <<-END
	lxc.rootfs.path = dir:$MATRIX/root
	lxc.idmap = u 0 100000 65536
	lxc.idmap = g 0 100000 65536
	lxc.net.0.type = empty
	lxc.mount.auto = proc:rw sys:rw
	lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0
	lxc.mount.entry = tmpfs run tmpfs mode=755,size=64m 0 0
	lxc.mount.entry = $1 var/lib/docker none bind,create=dir 0 0
	lxc.apparmor.profile = unconfined
	lxc.uts.name = cell
	lxc.init.cmd = /bin/sleep infinity
	END
	lxc-start -P "$MATRIX/lxc" -n "$CELL" -f "$MATRIX/config" -o "$MATRIX/lxc.log"
}

cell_run() {
	timeout 120 lxc-attach -P "$MATRIX/lxc" -n "$CELL" -f "$MATRIX/config" --clear-env -- "$@"
}

cell_agent() {
	cell_run /phoenix-agent "$@"
}

cell_stop() {
	[[ -e $MATRIX/config ]] || return 0
	lxc-stop --kill -P "$MATRIX/lxc" -n "$CELL" --rcfile "$MATRIX/config" 2>/dev/null || true
}

# shellcheck disable=SC2317 # called by the trap
matrix_exit() {
	local status=$? mounted
	set +e
	trap - EXIT
	cell_stop
	while read -r mounted; do
		umount "$mounted" 2>/dev/null || umount --lazy "$mounted"
	done < <(awk -v below="$PH_WORK/" 'index($5, below) == 1 {print $5}' /proc/self/mountinfo | sort -r)
	rm -rf "$PH_WORK"
	exit "$status"
}

# `make_filesystem NAME`: mounted at $MATRIX/fs/NAME
make_filesystem() {
	local point=$MATRIX/fs/$1
	mkdir -p "$point"
	if [[ $1 == tmpfs ]]; then
		mount -t tmpfs -o size=400m,mode=755 tmpfs "$point"
		return
	fi
	truncate -s 800M "$MATRIX/$1.img"
	case $1 in
	ext4) mkfs.ext4 -q -F "$MATRIX/$1.img" ;;
	xfs) mkfs.xfs -q "$MATRIX/$1.img" ;;
	btrfs) mkfs.btrfs -q "$MATRIX/$1.img" >/dev/null ;;
	esac
	mount -o loop "$MATRIX/$1.img" "$point"
}

# --- the matrix ------------------------------------------------------------------------------------------------------

# What choose says of a driver: `chosen DRIVER [OPTION...]` prints the driver, or nothing when it is refused.
chosen() {
	local driver=$1
	shift
	cell_agent choose --driver "$driver" "$@" --json | jq -r '.decision.driver' || true
}

# `test_cell FILESYSTEM DRIVER`
test_cell() {
	local driver=$2 consent=() report storage
	[[ $2 != vfs ]] || consent=(--accept vfs)
	cell_start "$MATRIX/fs/$1/$2"
	tap_is "$1, $2: is tried on $1" "$(cell_agent choose --json | jq -r .facts.filesystem)" "$1"
	[[ $2 != vfs ]] || tap_is "$1: vfs is refused without consent" "$(chosen vfs)" ''
	driver=$(chosen "$2" "${consent[@]}")
	[[ $2 == auto ]] || tap_is "$1, $2: can be used" "$driver" "$2"
	[[ $2 != auto ]] || tap_is "$1, auto: takes the kernel's overlay where it passes" "$driver" overlay2
	tap_run "$1, $2: dockerd runs with it" cell_agent install --driver "$driver"
	report=$(cell_agent verify --driver "$driver" --json) || true
	tap_is "$1, $2: verify passes with $(jq '.checks | length' <<<"$report") checks" \
		"$(jq -r '.passed, (.checks[] | select(.status == "FAIL") | .id + ": " + .got)' <<<"$report")" true
	storage=$(cell_agent storage --driver "$2" "${consent[@]}" --json) || true
	tap_is "$1, $2: the storage report measures it and another driver" \
		"$(jq -r '(.costs | length) >= 2 and all(.costs[]; .usable)' <<<"$storage")" true
	tap_note "$1, $2: verify $(jq .duration_ms <<<"$report") ms, report $(jq .duration_ms <<<"$storage") ms (goal: 2000):" \
		"$(jq -r .summary <<<"$storage")"
	tap_is "$1, $2: nothing is left on the data-root" \
		"$(find "$MATRIX/fs/$1/$2" -maxdepth 1 -name 'phoenix-*')$(cell_run docker ps --all --quiet)$(cell_run docker images --quiet)" ''
	cell_stop
}

# The same facts give the same verdict: two reports, all but the times.
test_deterministic() {
	local filter='.checks | map({id, status, got})' one two
	cell_start "$MATRIX/fs/ext4/again"
	one=$(cell_agent verify --skip-docker --driver overlay2 --json | jq -c "$filter")
	two=$(cell_agent verify --skip-docker --driver overlay2 --json | jq -c "$filter")
	tap_is 'two verifies say the same' "$one" "$two"
	tap_is 'two choices are the same, facts and all' "$(cell_agent choose --json)" "$(cell_agent choose --json)"
	cell_stop
}

# --- where overlay2 must not be used ---------------------------------------------------------------------------------

# shellcheck disable=SC2317 # called by tap_exits and tap_run
by_hand() {
	lxc-usernsexec "${IDMAP[@]}" -- "$MATRIX/agent" "$@"
}

test_on_overlay() {
	local base=$MATRIX/fs/ext4/layers
	install -m 755 "$AGENT" "$MATRIX/agent"
	mkdir -p "$base"/{lower,upper,work,merged}
	mount -t overlay overlay -o "lowerdir=$base/lower,upperdir=$base/upper,workdir=$base/work" "$base/merged"
	mkdir "$base/merged/data"
	chown 100000:100000 "$base/merged/data"
	tap_exits 'overlay2 on overlay is refused' 3 by_hand choose --driver overlay2 --data-root "$base/merged/data"
	tap_like 'and the reason is said' "$tap_output" 'layered file system.*\(overlay\)'
	tap_exits 'verify refuses it too' 3 by_hand verify --skip-docker --driver overlay2 --data-root "$base/merged/data"
	tap_like 'before it mounts anything' "$tap_output" 'FAIL +storage.backing'
	tap_exits 'auto takes fuse-overlayfs there' 0 by_hand choose --data-root "$base/merged/data"
	tap_like 'and says so' "$tap_output" 'Driver: fuse-overlayfs'
	tap_run 'which passes' by_hand verify --skip-docker --driver fuse-overlayfs --data-root "$base/merged/data"
	tap_is 'nothing is left there' "$(ls -A "$base/merged/data")" ''
	umount "$base/merged"
}

test_by_hand() {
	tap_exits 'bad usage' 2 by_hand choose --driver aufs
	tap_exits 'no data-root' 1 by_hand choose --data-root /nowhere
	tap_exits 'help' 0 by_hand verify --help
}

PH_WORK=$(mktemp -d /var/tmp/phx.XXXXXX) # not below /tmp, which may be a tmpfs
chmod 711 "$PH_WORK"
MATRIX=$PH_WORK/matrix
IMAGE=$("$PH_ROOT/dev/lib/container-image" golden)
trap 'matrix_exit' EXIT
unpack_root
for filesystem in ext4 xfs btrfs tmpfs; do
	make_filesystem "$filesystem"
	for driver in fuse-overlayfs overlay2 auto vfs; do
		test_cell "$filesystem" "$driver"
	done
done
test_deterministic
test_on_overlay
test_by_hand
tap_done
