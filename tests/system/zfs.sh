#!/bin/bash
# A data-root on ZFS 2.1, which lacks RENAME_WHITEOUT: the kernel's overlay mounts there and looks well, but cannot
# rename a file of an image. Phoenix sees that before Docker is there. fuse-overlayfs works with POSIX ACLs; without them
# Debian 12's, which is older than 1.12, does not, and verify tells.
# beds: zfs
# deadline: 500
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

POOL=phxpool$BASHPID

# --- a pool in a file, with a dataset where Phoenix keeps the data-roots ---------------------------------------------

make_pool() {
	modprobe zfs
	truncate -s 4G "$PH_WORK/pool.img"
	zpool create -O mountpoint=none -O compression=off "$POOL" "$PH_WORK/pool.img"
	zfs create -o acltype=posix -o mountpoint="$PH_WORK/state/data" "$POOL/data"
}

# shellcheck disable=SC2317 # called by the trap
zfs_exit() {
	local status=$?
	set +e
	trap - EXIT
	# While Phoenix' folder is still there: the pool's file is in it.
	for name in web1 web2; do
		ctl remove "$name" >/dev/null 2>&1
	done
	zpool destroy -f "$POOL"
	phoenix_exit "$status"
}

# --- what is known of this ZFS, without Phoenix ----------------------------------------------------------------------

# Mount overlay in a user namespace, as Docker does there, and try to rename a file of its lower layer: prints "mounted",
# then "renamed" or what mv says.
# shellcheck disable=SC2016 # for the shell in the namespace
overlay_by_hand() {
	local base=$1
	mkdir "$base" "$base"/{lower,upper,work,merged}
	: >"$base/lower/file"
	chown -R 100000:100000 "$base"
	lxc-usernsexec -m b:0:100000:65536 -- unshare --mount sh -c 'cd "$1"
		mount -t overlay overlay -o userxattr,lowerdir=lower,upperdir=upper,workdir=work merged || exit
		echo mounted
		LC_ALL=C mv merged/file merged/other 2>&1 && echo renamed' sh "$base"
	rm -rf "$base"
}

test_premise() {
	local told
	tap_note "ZFS $(cat /sys/module/zfs/version), kernel $(uname -r)"
	tap_like 'this is a ZFS before 2.2' "$(cat /sys/module/zfs/version)" '^2\.1\.'
	tap_is 'the data-roots are on it' "$(stat --file-system --format %T "$PH_WORK/state/data")" zfs
	told=$(overlay_by_hand "$PH_WORK/state/data/premise") || true
	tap_like 'overlay mounts there in a user namespace' "$told" '^mounted'
	tap_like 'but a file of its lower layer cannot be renamed' "$told" 'mv: cannot move'
}

# --- Phoenix ---------------------------------------------------------------------------------------------------------

# `fleet NAME DRIVER`
fleet() {
	cat >"$PH_WORK/$1.yaml" <<-END
	version: 1
	containers: [{name: $1, image: base, confinement: $(confinement), storage: {driver: $2}}]
	END
}

in_container() {
	local name=$1
	shift
	lxc-attach -P "$PH_WORK/state/containers" -n "$name" --clear-env -- "$@"
}

fact() {
	jq -r --arg key "$2" '.facts[] | select(.key == $key) | .value' <<<"$1"
}

test_overlay2_is_refused() {
	fleet web2 overlay2
	tap_exits 'overlay2 is refused' 1 ctl apply -f "$PH_WORK/web2.yaml"
	tap_like 'because of RENAME_WHITEOUT' "$tap_output" 'overlay2 cannot be used: overlay mounts, but .*lacks RENAME_WHITEOUT'
	tap_like 'with what to do' "$tap_output" 'driver: auto'
	tap_run 'before Docker is installed' in_container web2 sh -c '! command -v dockerd'
	tap_is 'nothing is left on its data-root' "$(ls -A "$PH_WORK/state/data/web2")" ''
	ctl remove web2 >/dev/null
}

# What a verify of web1 says: the checks that failed, then whether it passed.
verdict() {
	ctl --json verify web1 | jq -rs '[.[] | select(.report != null) | .report] | last |
		(.checks[] | select(.status == "FAIL") | .id + ": " + .got), .passed'
}

# The dataset's ACLs go away under a container that works.
test_without_acls() {
	local report
	tap_is 'verify fails for the one check that ACLs are needed for' "$(verdict)" \
		$'storage.other-user: read other-user: Operation not supported\nfalse'
	report=$(ctl --json storage web1) || true
	tap_is 'the agent sees that there are no ACLs' "$(fact "$report" acl)" no
	tap_like 'and that fuse-overlayfs fails for it' "$(fact "$report" fuse-overlayfs-passes)" '^no: storage\.other-user'
	tap_like 'no driver is left to choose, and what to do is said' \
		"$(jq -r '.refusal.why + " " + .refusal.remedy' <<<"$report")" 'no driver can hold layers here: .*state_dir'
}

test_auto() {
	local report
	fleet web1 auto
	tap_run 'apply with driver: auto installs and verifies' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'chose fuse-overlayfs' "$(ctl --json show web1 | jq -r .storage_driver)" fuse-overlayfs
	tap_is 'which dockerd uses' "$(in_container web1 docker info --format '{{.Driver}}')" fuse-overlayfs
	report=$(ctl --json storage web1) || true
	tap_is 'the file system is known' "$(fact "$report" filesystem)" zfs
	tap_is 'with its version' "$(fact "$report" filesystem-version)" "$(cat /sys/module/zfs/version)"
	tap_is 'overlay mounts, as the agent sees it' "$(fact "$report" overlay-mount)" yes
	tap_is 'RENAME_WHITEOUT fails' "$(fact "$report" rename-whiteout)" no
	tap_like 'which is the reason of the choice' "$(jq -r '.reasons[]' <<<"$report")" \
		'not overlay2: .*a file of a lower layer cannot be renamed because the file system lacks RENAME_WHITEOUT'
	tap_is 'ACLs are kept' "$(fact "$report" acl)" yes
	tap_is 'fuse-overlayfs passes every storage check' "$(fact "$report" fuse-overlayfs-passes)" yes
	tap_note "$(ctl storage web1)"
}

phoenix_up
trap 'zfs_exit' EXIT
make_pool
ctl image import base "$PH_IMAGE" >/dev/null
test_premise
test_overlay2_is_refused
test_auto
zfs set acltype=off "$POOL/data"
test_without_acls
tap_done
