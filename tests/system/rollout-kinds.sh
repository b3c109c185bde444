#!/bin/bash
# Rollouts of each kind of thing on real containers: limits, the agent, the storage driver (with one that would lose an
# image and goes back by itself), the root file system (with one that Docker does not work on). Where AppArmor enforces, the way of
# being confined and the root file system: by hand, for it takes eleven minutes,
# PH_PRESET=release PH_IMAGE=$(dev/lib/container-image umlgolden) tests/vm/uml --deadline 1200 tests/system/rollout-kinds.sh
# PH_METHODS=1: only the clone methods, each to others and back, on ext4, btrfs and xfs; three minutes, natively, by hand.
# beds: native
# deadline: 420
# image: golden
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# `fleet COUNT KEYS [IMAGE]`: a fleet file of so many containers with these defaults beside the image
fleet() {
	local i
	{
		printf 'version: 1\nrollout: {canary: 1, soak: 0, canary_soak: 0}\n'
		printf 'defaults: {image: %s, %s}\ncontainers:\n' "${3:-base}" "$2"
		for ((i = 1; i <= $1; i++)); do
			printf -- '- {name: c%d}\n' "$i"
		done
	} >"$PH_WORK/fleet.yaml"
}

rollout() {
	ctl rollout start -f "$PH_WORK/fleet.yaml" --watch "$@"
}

inside() {
	local name=$1
	shift
	lxc-attach -P "$PH_WORK/state/containers" -n "$name" --clear-env -v PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		-v GODEBUG=asyncpreemptoff=1 -- "$@" </dev/null
}

init_of() { ctl --json show "$1" | jq -r .observed.init_pid; }
driver_of() { inside "$1" docker info --format '{{.Driver}}'; }
images_of() { inside "$1" docker images --quiet --no-trunc; }
state_of() { ctl --json rollout status | jq -r --arg name "$1" '.items[] | select(.name == $name) | .state'; }

pids_of() { lxc-cgroup -P "$PH_WORK/state/containers" -n "$1" pids.max; }

# The digest of the program that a container's agent runs.
agent_of() {
	local pid
	for pid in $(pgrep --ns "$(init_of "$1")" --nslist pid .); do
		[[ $(readlink "/proc/$pid/exe" 2>/dev/null) == /memfd:phoenix-agent* ]] || continue
		sha256sum <"/proc/$pid/exe" && return
	done
}

test_limits() {
	local before limit
	before=$(init_of c1) limit=$(pids_of c1)
	fleet 2 "confinement: $(confinement), storage: {driver: fuse-overlayfs}, resources: {pids: 1500}"
	tap_run 'a rollout of limits' rollout
	tap_is 'the kernel has them' "$(pids_of c1) $(pids_of c2)" '1500 1500'
	tap_run 'the container was started again' test "$(init_of c1)" != "$before"
	tap_is 'its image is still there' "$(images_of c1)" "$KEPT"
	tap_run 'and both are ready' ctl health
	tap_run 'it is taken back' ctl rollout revert
	tap_run 'to its end' ctl rollout status --watch
	tap_is 'the old limit is back' "$(pids_of c1)" "$limit"
	fleet 2 "confinement: $(confinement), storage: {driver: fuse-overlayfs}"
}

# Another agent than the one that runs: the same program with a byte more.
test_agents() {
	local old init
	old=$(agent_of c1) init=$(init_of c1)
	printf x >>"$PH_AGENT"
	tap_run 'a rollout of the agent' rollout --push-agents
	tap_is 'is told as such' "$(ctl --json rollout show | jq -r '.items[0].changes[0]')" \
		"agent: the controller's own is pushed again"
	tap_is 'both run the new one' "$(agent_of c1) $(agent_of c2)" \
		"$(sha256sum <"$PH_AGENT") $(sha256sum <"$PH_AGENT")"
	tap_run 'which is another' test "$(agent_of c1)" != "$old"
	tap_is 'the containers ran on' "$(init_of c1)" "$init"
	tap_run 'and are ready' ctl health
}

# c1 has an image that the new driver would hide: it is refused there, and c2 is not touched.
test_storage() {
	fleet 2 "confinement: $(confinement), storage: {driver: overlay2}"
	tap_exits 'a rollout that would hide an image is halted' 3 rollout
	tap_like 'and names it' "$(ctl rollout show)" 'kept:1'
	tap_is 'c1 is back, c2 was not touched' "$(state_of c1) $(state_of c2)" 'REVERTED CHECKED'
	tap_is 'with its driver and its image' "$(driver_of c1) $(images_of c1)" "fuse-overlayfs $KEPT"
	fleet 2 "confinement: $(confinement), storage: {driver: overlay2, allow_image_loss: true}"
	tap_run 'with consent it is done' rollout
	tap_is 'both have the new driver' "$(driver_of c1) $(driver_of c2)" 'overlay2 overlay2'
	tap_run 'and are ready' ctl health
	tap_run 'it is taken back' ctl rollout revert
	tap_run 'to its end' ctl rollout status --watch
	tap_is 'with its driver and its image, which was only hidden' "$(driver_of c1) $(images_of c1)" \
		"fuse-overlayfs $KEPT"
}

# `image NAME FILE TEXT`: an image that is base with a file of its own, which is a program
image() {
	local tree=$PH_WORK/tree
	mkdir -p "$tree/$(dirname "$2")"
	printf '%s\n' "$3" >"$tree/$2"
	chmod 755 "$tree/$2"
	cp --reflink=auto "$PH_IMAGE" "$PH_WORK/$1.tar"
	tar --append --file "$PH_WORK/$1.tar" --owner 0 --group 0 --numeric-owner -C "$tree" "./$2"
	ctl image import "$1" "$PH_WORK/$1.tar" >/dev/null
	rm -r "$tree" "$PH_WORK/$1.tar"
}

has_changed_root() { [[ $(ctl --json events) == *'"container.rebuilt"'* ]]; }

kept_of() { ctl --json show "$1" | jq -r '.observed | "\(.kept_image) \(.prepared_image)"'; }
address_of() { ctl --json show "$1" | jq -r .address; }

# `image_fleet COUNT IMAGE`: as the containers are, but for the image
image_fleet() {
	fleet "$1" "$KEYS" "$2"
}

# c1 gets another root file system and comes back to the very one that it had; its Docker data stays where it is.
test_image() {
	local address
	address=$(address_of c1)
	image other usr/bin/other 'exit 0'
	inside c1 sh -c 'echo mine >/etc/by-hand'
	image_fleet 1 other
	tap_like 'the plan says what becomes of the root file system' "$(ctl rollout start -f "$PH_WORK/fleet.yaml" --dry-run)" \
		'another is made; the old one is kept'
	ctl rollout start -f "$PH_WORK/fleet.yaml" >/dev/null
	tap_run 'a rollout of another image' wait_until 180 has_changed_root
	kill_daemon "$PH_DAEMON_PID" KILL
	start_phoenixd
	tap_run 'phoenixd, killed right then, goes on to its end' ctl rollout status --watch
	tap_run 'c1 is on it' inside c1 other
	tap_exits 'without what was written by hand' 1 inside c1 test -e /etc/by-hand
	tap_is 'its Docker has the image that it had, and it its address' "$(images_of c1) $(address_of c1)" "$KEPT $address"
	tap_run 'and it is ready' ctl health c1
	tap_is 'the old one is kept' "$(kept_of c1)" 'base '
	tap_exits 'and its image is in use' 1 ctl image remove base
	tap_run 'it is taken back' ctl rollout revert
	tap_run 'to its end' ctl rollout status --watch
	tap_is 'it is on the very one that it had' "$(inside c1 cat /etc/by-hand) $(images_of c1)" "mine $KEPT"
	tap_run 'and it is ready' ctl health c1
	tap_is 'the other one is kept' "$(kept_of c1)" 'other '
}

# Docker can be installed on this one and cannot run anything.
test_bad_image() {
	image bad usr/sbin/runc 'exit 1'
	image_fleet "$1" bad
	tap_exits 'a rollout of an image on which Docker runs nothing is halted' 3 rollout
	tap_is 'c1 went back by itself' "$(state_of c1)" REVERTED
	tap_is 'to the very one that it had' "$(inside c1 cat /etc/by-hand) $(images_of c1)" "mine $KEPT"
	tap_run 'and is ready' ctl health c1
	tap_is 'the bad one is there to be looked at, the one before it is gone' "$(kept_of c1)" 'bad '
	tap_run 'until it is discarded' ctl discard c1 --yes
	tap_is 'and is gone' "$(kept_of c1)" ' '
	tap_is 'c1 runs on' "$(inside c1 cat /etc/by-hand)" mine
	tap_run 'its image can be removed' ctl image remove bad
}

keep_image() {
	inside c1 sh -c 'tar --create --directory /etc hostname | docker import - kept:1' >/dev/null
	KEPT=$(images_of c1)
}

methods_of() { ctl --json show c1 | jq -r '.observed | "\(.clone_method) \(.kept_clone_method)"'; }

# `walk METHOD OTHER...`: a container made by the one, by each of the others, and back each time.
walk() {
	local first=$1 other
	shift
	ctl image import base "$PH_IMAGE" >/dev/null
	fleet 1 "clone: $first, $KEYS"
	tap_run "a container by $first" ctl apply -f "$PH_WORK/fleet.yaml"
	inside c1 sh -c 'echo mine >/etc/by-hand'
	for other; do
		fleet 1 "clone: $other, $KEYS"
		tap_run "a rollout of $other" rollout
		tap_is 'that is what it is now' "$(methods_of)" "$other $first"
		tap_exits 'another root file system' 1 inside c1 test -e /etc/by-hand
		tap_run 'it is taken back' ctl rollout revert
		tap_run 'to its end' ctl rollout status --watch
		tap_is 'it is on the very one that it had' "$(methods_of) $(inside c1 cat /etc/by-hand)" "$first $other mine"
	done
	tap_run 'the other one is discarded' ctl discard c1 --yes
	tap_is 'its directory is gone' "$(find "$PH_WORK/state/containers/c1" -maxdepth 1 -name 'root-*')" ''
	tap_run 'c1 is removed' ctl remove c1
	tap_is 'with all that it was' "$(ls "$PH_WORK/state/containers")" ''
	tap_run 'its image can be removed' ctl image remove base
}

test_methods() {
	KEYS="confinement: $(confinement), docker: {source: none}"
	walk overlay copy
	phoenix_onto btrfs 4G
	walk snapshot reflink copy overlay
	phoenix_off
	phoenix_onto xfs 4G
	walk reflink overlay
	phoenix_off
}

label_of() {
	cat "/proc/$(init_of "$1")/attr/apparmor/current"
}

test_confinement() {
	if [[ $(ctl --json apparmor status | jq -r .stacked) != true ]]; then
		tap_skip 'a rollout to another confinement' "$(ctl --json apparmor status | jq -r .stacked_reason)"
		return
	fi
	fleet 1 'confinement: {level: required, mode: stacked}'
	tap_run 'a rollout to another confinement' rollout
	tap_is 'its init is stacked' "$(label_of c1)" 'lxc-phoenix-v2-stacked//&:phoenix-c1:unconfined (enforce)'
	tap_run 'and it is ready' ctl health
	tap_run 'it is taken back' ctl rollout revert
	tap_run 'to its end' ctl rollout status --watch
	tap_is 'its init is as it was' "$(label_of c1)" 'lxc-phoenix-v2 (enforce)'
	tap_run 'and it is ready' ctl health
}

export PH_AGENT=/var/tmp/phx-agent.$$
cp "$PH_BIN/phoenix-agent" "$PH_AGENT"
phoenix_up
# shellcheck disable=SC2317 # called by the trap
kinds_exit() {
	local status=$?
	rm -f "$PH_AGENT"
	phoenix_exit "$status"
}
trap kinds_exit EXIT
if [[ -n ${PH_METHODS:-} ]]; then
	test_methods
	tap_done
fi
ctl image import base "$PH_IMAGE" >/dev/null
if apparmor_enforced; then
	KEYS='confinement: required'
	fleet 1 "$KEYS"
	tap_run 'a container' ctl apply -f "$PH_WORK/fleet.yaml"
	test_confinement
	keep_image
	test_image
	tap_is 'its init is under the profile' "$(label_of c1)" 'lxc-phoenix-v2 (enforce)'
	test_bad_image 1
	tap_is 'its init is under the profile' "$(label_of c1)" 'lxc-phoenix-v2 (enforce)'
else
	KEYS="confinement: $(confinement), storage: {driver: fuse-overlayfs}"
	fleet 2 "$KEYS"
	tap_run 'two containers' ctl apply -f "$PH_WORK/fleet.yaml"
	keep_image
	test_limits
	test_agents
	test_storage
	test_image
	test_bad_image 2
	tap_is 'c2 was not touched' "$(state_of c2)" CHECKED
	tap_skip 'a rollout to another confinement' 'this kernel has no AppArmor: by hand on UML'
fi
tap_done
