#!/bin/bash
# A container made by hand, unconfined and with Docker running in it, is adopted, confined without losing its image,
# and given back. Several are confined as one rollout; one of them does not live under the profile and is put back by
# itself. Natively there is no AppArmor: there confine is refused and touches nothing.
# PH_TWIN=1 adds a third container, the second with Docker and an image, which takes minutes there.
# beds: native uml
# image: golden
# deadline: 500
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# shellcheck disable=SC2317 # called by the trap
adopt_exit() {
	local status=$? name
	trap - EXIT
	for name in box frail twin rooted; do
		lxc-stop -P "$LXC" -n "$name" --kill >/dev/null 2>&1 || true
	done
	rm -rf --one-file-system "$LXC"
	phoenix_exit "$status"
}

inside() {
	local name=$1
	shift
	lxc-attach -P "$LXC" -n "$name" --clear-env -v PATH=/usr/sbin:/usr/bin:/sbin:/bin -v GODEBUG=asyncpreemptoff=1 \
		-- "$@" </dev/null 2>&1
}

docker_answers() { inside "$1" docker info; }

# Every process below a container's init, as the host sees it.
labels() {
	local init pid
	init=$(init_pid "$1")
	for pid in $(pgrep --ns "$init" --nslist pid .); do
		cat "/proc/$pid/attr/apparmor/current" 2>/dev/null || true
	done | sort -u
}

init_pid() { lxc-info -P "$LXC" -n "$1" -pH; }
images() { inside "$1" docker images --quiet --no-trunc | sort; }

# `write_config NAME FIRST-ID INIT`
write_config() {
	cat <<-END
	# The box. Made by hand; do not touch.
	lxc.include = /dev/null

	lxc.uts.name = $1
	lxc.rootfs.path = dir:$LXC/$1/rootfs
	lxc.init.cmd = $3
	lxc.idmap = u 0 $2 65536
	lxc.idmap = g 0 $2 65536
	   lxc.apparmor.profile =   unconfined
	lxc.net.0.type = empty
	lxc.tty.max = 0
	lxc.console.path = none
	lxc.mount.auto = proc:mixed sys:mixed
	lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file,optional 0 0
	# the end
	END
}

# `make_container NAME FIRST-ID INIT ARCHIVE`: the archive's tree, its owners shifted as lxc-create does it.
make_container() {
	mkdir -p "$LXC/$1/rootfs"
	chmod 711 "$LXC" "$LXC/$1"
	chown "$2:$2" "$LXC/$1/rootfs"
	lxc-usernsexec -m "b:0:$2:65536" -- tar -C "$LXC/$1/rootfs" --exclude='./dev/*' -xf - <"$4" || return 1
	chmod 666 /dev/fuse
	write_config "$1" "$2" "$3" >"$LXC/$1/config"
	lxc-start -P "$LXC" -n "$1" -d
}

# A little one without Docker, whose init ends when something confines it: it cannot live under the profile.
make_frail() {
	local tree=$PH_WORK/frail program
	mkdir -p "$tree"/{dev,proc,sys,lib64}
	for program in /bin/sh /bin/cat /bin/sleep; do
		copy_program "$program" "$tree"
	done
	cat >"$tree/init" <<-'END'
	#!/bin/sh
	[ "$(cat /proc/self/attr/current)" = unconfined ] || exit 1
	while :; do sleep 1000; done
	END
	chmod 755 "$tree/init"
	tar -C "$tree" -cf "$PH_WORK/frail.tar" .
	make_container frail $((BASE + 65536)) /init "$PH_WORK/frail.tar"
}

# A program and the libraries that it wants, to a tree.
copy_program() {
	local file
	for file in "$1" $(ldd "$1" | grep -o '/[^ ]*\.so[^ ]*'); do
		install -D "$file" "$2$file"
	done
}

make_image() {
	inside "$1" sh -c 'mkdir -p /root/i/lib64 /root/i/lib/x86_64-linux-gnu && cp /bin/true /root/i &&
		cp /lib64/ld-linux-x86-64.so.2 /root/i/lib64 &&
		cp /lib/x86_64-linux-gnu/libc.so.6 /root/i/lib/x86_64-linux-gnu &&
		tar -C /root/i -c . | docker import - kept:1'
}

make_twin() {
	tap_run 'another with Docker' make_container twin $((BASE + 131072)) /sbin/init "$PH_IMAGE"
	tap_run 'which answers' wait_until 90 docker_answers twin
	tap_run 'and has an image' make_image twin
	twins=$(images twin)
	tap_run 'is adopted' ctl adopt "$LXC/twin"
}

check_twin() {
	tap_is 'so is the twin' "$(state_of twin)" DONE
	tap_is 'under the profile' "$(labels twin)" 'lxc-phoenix-v2 (enforce)'
	tap_is 'with its image' "$(images twin)" "$twins"
}

give_twin_back() {
	tap_run 'and the twin' ctl unadopt twin --yes
	tap_is 'as it was' "$(labels twin)" unconfined
	tap_run 'its Docker answers' wait_until 90 docker_answers twin
	tap_is 'with its image' "$(images twin)" "$twins"
}

state_of() {
	ctl --json rollout status 2>/dev/null | jq -r --arg name "$1" '.items[] | select(.name == $name) | .state'
}

phoenix_up
LXC=$PH_WORK/lxc
BASE=900000000
trap adopt_exit EXIT
tap_run 'a container is made by hand' make_container box "$BASE" /sbin/init "$PH_IMAGE"
tap_run 'its Docker answers' wait_until 90 docker_answers box
tap_run 'it has an image' make_image box
kept=$(images box)
tap_like 'of which we know the id' "$kept" '^sha256:[0-9a-f]{64}$'
mkdir -p "$LXC/rooted/rootfs"
printf 'lxc.rootfs.path = dir:%s/rooted/rootfs\n' "$LXC" >"$LXC/rooted/config"
cp "$LXC/box/config" "$PH_WORK/config.before"

# --- read-only ---

init=$(init_pid box)
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
tap_is 'nor was it restarted' "$(init_pid box)" "$init"
tap_exits 'it cannot be removed' 1 ctl remove box
printf 'version: 1\ncontainers: [{name: box, image: x, confinement: %s}]\n' "$(confinement)" >"$PH_WORK/fleet.yaml"
tap_exits 'nor can a fleet file take its name' 1 ctl apply -f "$PH_WORK/fleet.yaml"

# --- confine ---

if ! apparmor_enforced; then
	tap_exits 'without AppArmor it is not confined' 1 ctl confine box
	tap_run 'and its configuration stays' cmp "$LXC/box/config" "$PH_WORK/config.before"
	tap_is 'as does the container' "$(init_pid box)" "$init"
	tap_skip 'it is confined and its image is kept' 'this kernel has no AppArmor: the UML bed does it'
	tap_skip 'of several a poisoned one is put back by itself' 'this kernel has no AppArmor: the UML bed does it'
else
	tap_run 'one is made that cannot live under the profile' make_frail
	cp "$LXC/frail/config" "$PH_WORK/config.frail"
	tap_run 'and adopted' ctl adopt "$LXC/frail"
	[[ -z ${PH_TWIN:-} ]] || make_twin
	tap_exits 'alone, the frail one ends its rollout' 3 ctl confine frail --strategy 'canary_soak: 0'
	tap_run 'its configuration is put back' cmp "$LXC/frail/config" "$PH_WORK/config.frail"
	tap_is 'it runs again as it was' "$(labels frail)" unconfined
	tap_like 'the reason is kept' "$(ctl rollout show 2>/dev/null)" 'halted \(failure budget\)'
	plan=$(ctl confine --selector '*' --dry-run)
	tap_like 'a dry run says what changes' "$plan" "frail: confinement: 'unconfined' -> "
	tap_run 'all are confined as a rollout that may lose one' ctl confine --selector '*' \
		--strategy 'canary: 1, soak: 1s, failure_budget: 1'
	tap_is 'the frail one was put back by itself' "$(state_of frail) $(labels frail)" 'REVERTED unconfined'
	tap_is 'the other one is done' "$(state_of box)" DONE
	[[ -z ${PH_TWIN:-} ]] || check_twin
	tap_like 'history has both rollouts' "$(ctl rollout history)" 'done.*halted +failure budget'
	tap_like 'confined once more there is nothing to do' "$(ctl confine box)" 'nothing to do'
	tap_is 'every process is under the profile' "$(labels box)" 'lxc-phoenix-v2 (enforce)'
	tap_is 'its image is still there' "$(images box)" "$kept"
	tap_run 'and runs' inside box docker run --rm --network none kept:1 /true
	tap_like 'it is healthy' "$(ctl health box)" 'box +yes +yes'
	tap_is 'one line of its configuration was changed' \
		"$(diff "$PH_WORK/config.before" "$LXC/box/config" | grep -c '^<')" 1
	tap_like 'in its place, as its author writes' "$(cat "$LXC/box/config")" \
		$'65536\n   lxc.apparmor.profile =   lxc-phoenix-v2\nlxc.net.0.type'
fi

# --- and back ---

if apparmor_enforced; then
	tap_run 'the frail one is given back' ctl unadopt frail --yes
	[[ -z ${PH_TWIN:-} ]] || give_twin_back
fi
tap_run 'it is given back' ctl unadopt box --yes
tap_run 'with the configuration that it had' cmp "$LXC/box/config" "$PH_WORK/config.before"
tap_is 'it runs on' "$(lxc-info -P "$LXC" -n box -sH)" RUNNING
tap_exits 'Phoenix knows it no more' 4 ctl show box
tap_is 'and has kept nothing of it' "$(ls "$PH_WORK/state/containers")" ''
tap_done
