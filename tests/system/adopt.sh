#!/bin/bash
# A container made by hand, unconfined and with Docker running in it, is adopted, confined without losing its image,
# and given back; one that does not live under the profile is put back by itself. Natively there is no AppArmor: there
# confine is refused and touches nothing.
# beds: native uml
# image: golden
# deadline: 400
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# shellcheck disable=SC2317 # called by the trap
adopt_exit() {
	local status=$? name
	trap - EXIT
	for name in box rooted; do
		lxc-stop -P "$LXC" -n "$name" --kill >/dev/null 2>&1 || true
	done
	rm -rf --one-file-system "$LXC"
	(exit "$status")
	phoenix_exit
}

inside() {
	lxc-attach -P "$LXC" -n box --clear-env -v PATH=/usr/sbin:/usr/bin:/sbin:/bin -v GODEBUG=asyncpreemptoff=1 \
		-- "$@" </dev/null 2>&1
}

docker_answers() { inside docker info; }

# Every process below the container's init, as the host sees it.
labels() {
	local init pid
	init=$(lxc-info -P "$LXC" -n box -pH)
	for pid in $(pgrep --ns "$init" --nslist pid .); do
		cat "/proc/$pid/attr/apparmor/current" 2>/dev/null || true
	done | sort -u
}

init_pid() { lxc-info -P "$LXC" -n box -pH; }
images() { inside docker images --quiet --no-trunc | sort; }

write_config() {
	cat <<-END
	# The box. Made by hand; do not touch.
	lxc.include = /dev/null

	lxc.uts.name = box
	lxc.rootfs.path = dir:$LXC/box/rootfs
	lxc.init.cmd = $1
	lxc.idmap = u 0 $BASE 65536
	lxc.idmap = g 0 $BASE 65536
	   lxc.apparmor.profile =   unconfined
	lxc.net.0.type = empty
	lxc.tty.max = 0
	lxc.console.path = none
	lxc.mount.auto = proc:mixed sys:mixed
	lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file,optional 0 0
	# the end
	END
}

# The image's tree, its owners shifted as lxc-create does it.
make_box() {
	mkdir -p "$LXC/box/rootfs"
	chmod 711 "$LXC" "$LXC/box"
	chown "$BASE:$BASE" "$LXC/box/rootfs"
	lxc-usernsexec -m "b:0:$BASE:65536" -- tar -C "$LXC/box/rootfs" --exclude='./dev/*' -xf - <"$PH_IMAGE" || return 1
	# An init that ends when something confines it: what cannot live under the profile.
	cat >"$LXC/box/rootfs/sbin/delicate" <<-'END'
	#!/bin/sh
	[ "$(cat /proc/self/attr/current)" = unconfined ] || exit 1
	exec /sbin/init
	END
	chmod 755 "$LXC/box/rootfs/sbin/delicate"
	chmod 666 /dev/fuse
	write_config /sbin/init >"$LXC/box/config"
	lxc-start -P "$LXC" -n box -d
}

make_image() {
	inside sh -c 'mkdir -p /root/i/lib64 /root/i/lib/x86_64-linux-gnu && cp /bin/true /root/i &&
		cp /lib64/ld-linux-x86-64.so.2 /root/i/lib64 &&
		cp /lib/x86_64-linux-gnu/libc.so.6 /root/i/lib/x86_64-linux-gnu &&
		tar -C /root/i -c . | docker import - kept:1'
}

phoenix_up
LXC=$PH_WORK/lxc
BASE=900000000
trap adopt_exit EXIT
tap_run 'a container is made by hand' make_box
tap_run 'its Docker answers' wait_until 90 docker_answers
tap_run 'it has an image' make_image
kept=$(images)
tap_like 'of which we know the id' "$kept" '^sha256:[0-9a-f]{64}$'
mkdir -p "$LXC/rooted/rootfs"
printf 'lxc.rootfs.path = dir:%s/rooted/rootfs\n' "$LXC" >"$LXC/rooted/config"
cp "$LXC/box/config" "$PH_WORK/config.before"

# --- read-only ---

init=$(init_pid)
found=$(ctl adopt)
tap_like 'it is found, unconfined since its start' "$found" "/box.*UNCONFINED since $(date +%Y)-"
tap_like 'with its id map' "$found" "0 to 65535 are the host's $BASE to"
tap_like 'its storage driver' "$found" 'storage driver +(overlay2|fuse-overlayfs|vfs|btrfs)  \[its file system'
tap_like 'its Docker' "$found" 'Docker +docker.io [0-9]'
tap_like 'and its image' "$found" "images +${kept:7:12}"
tap_like 'one without ids of its own cannot be adopted' "$found" '/rooted.*CANNOT BE ADOPTED there is no lxc.idmap'
tap_exits 'and is refused' 4 ctl adopt "$LXC/absent"
tap_exits 'as is one that is privileged' 1 ctl adopt "$LXC/rooted"
tap_exits 'and one in a path that is not registered' 1 ctl adopt /var/lib/lxc/box
tap_run 'it is adopted' ctl adopt "$LXC/box"
tap_run 'twice is once' ctl adopt "$LXC/box"
tap_like 'it is listed' "$(ctl list)" 'box +adopted +NO'
tap_run 'nothing of it was changed' cmp "$LXC/box/config" "$PH_WORK/config.before"
tap_is 'nor was it restarted' "$(init_pid)" "$init"
tap_exits 'it cannot be removed' 1 ctl remove box
printf 'version: 1\ncontainers: [{name: box, image: x, confinement: %s}]\n' "$(confinement)" >"$PH_WORK/fleet.yaml"
tap_exits 'nor can a fleet file take its name' 1 ctl apply -f "$PH_WORK/fleet.yaml"

# --- confine ---

if ! apparmor_enforced; then
	tap_exits 'without AppArmor it is not confined' 1 ctl confine box
	tap_run 'and its configuration stays' cmp "$LXC/box/config" "$PH_WORK/config.before"
	tap_is 'as does the container' "$(init_pid)" "$init"
	tap_skip 'it is confined and its image is kept' 'this kernel has no AppArmor: the UML bed does it'
	tap_skip 'a poisoned one is put back by itself' 'this kernel has no AppArmor: the UML bed does it'
else
	write_config /sbin/delicate >"$LXC/box/config"
	cp "$LXC/box/config" "$PH_WORK/config.delicate"
	tap_exits 'one that cannot live under the profile is refused' 1 ctl confine box
	tap_run 'its configuration is put back' cmp "$LXC/box/config" "$PH_WORK/config.delicate"
	tap_is 'it runs again as it was' "$(labels)" unconfined
	tap_like 'the reason is kept' "$(ctl show box)" 'The last operation failed'
	cp "$PH_WORK/config.before" "$LXC/box/config"
	tap_run 'it is confined' ctl confine box
	tap_is 'every process is under the profile' "$(labels)" 'lxc-phoenix-v2 (enforce)'
	tap_is 'its image is still there' "$(images)" "$kept"
	tap_run 'and runs' inside docker run --rm --network none kept:1 /true
	tap_like 'it is healthy' "$(ctl health box)" 'box +yes +yes'
	tap_is 'one line of its configuration was changed' \
		"$(diff "$PH_WORK/config.before" "$LXC/box/config" | grep -c '^<')" 1
	tap_like 'in its place, as its author writes' "$(cat "$LXC/box/config")" \
		$'65536\n   lxc.apparmor.profile =   lxc-phoenix-v2\nlxc.net.0.type'
fi

# --- and back ---

tap_run 'it is given back' ctl unadopt box --yes
tap_run 'with the configuration that it had' cmp "$LXC/box/config" "$PH_WORK/config.before"
tap_is 'it runs on' "$(lxc-info -P "$LXC" -n box -sH)" RUNNING
tap_exits 'Phoenix knows it no more' 4 ctl show box
tap_is 'and has kept nothing of it' "$(ls "$PH_WORK/state/containers")" ''
tap_done
