#!/bin/bash
# The test bed itself: has this machine what the other tests build on?
# beds: native uml guest
# deadline: 60
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# Print those of the given words that a text lacks.
lacking() {
	local text=" $1 " word
	shift
	for word; do
		[[ $text == *" $word "* ]] || printf '%s ' "$word"
	done
}

test_apparmor() {
	if apparmor_enforced; then
		tap_ok 'AppArmor enforces'
	elif [[ $PH_BED == native ]]; then
		tap_skip 'AppArmor enforces' "this machine's kernel has no AppArmor; the UML and guest beds have it"
	else
		tap_not_ok 'AppArmor enforces'
	fi
}

test_cgroup2() {
	local controllers
	controllers=$(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null || true)
	if [[ -z $controllers && $PH_BED == native ]]; then
		tap_skip 'cgroup2 has cpu, io, memory, pids' "this machine's cgroups are version 1 or hybrid"
	else
		tap_is 'cgroup2 has cpu, io, memory, pids' "$(lacking "$controllers" cpu io memory pids)" ''
	fi
}

test_overlay() {
	local work
	work=$(mktemp -d /var/tmp/phoenix-beds.XXXXXX)
	mkdir "$work"/{lower,upper,work,merged}
	tap_run 'overlay mounts' mount -t overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" \
		overlay "$work/merged"
	umount "$work/merged" || true
	rm -rf "$work"
}

test_bridge() {
	ip link delete phxbed type bridge 2>/dev/null || true
	tap_run 'a bridge can be made' ip link add phxbed type bridge
	tap_run 'a veth pair can be put on it' ip link add phxbed0 master phxbed type veth peer name phxbed1
	ip link delete phxbed0 || true
	ip link delete phxbed || true
}

test_libraries() {
	local program
	for program in phoenixd phoenix-host phoenixctl; do
		tap_is "$program finds its libraries" "$(ldd "$PH_BIN/$program" 2>&1 | grep -c 'not found' || true)" 0
	done
}

test_apparmor
test_cgroup2
test_overlay
test_bridge
tap_is '/dev/fuse is there' "$(stat -c %F /dev/fuse)" 'character special file'
tap_run 'root has a range of subordinate ids' grep -q '^root:' /etc/subuid /etc/subgid
for tool in apparmor_parser nft ip dnsmasq newuidmap jq; do
	tap_run "$tool is installed" which "$tool"
done
tap_run 'the container image can be read' test -r "${PH_IMAGE:?}"
test_libraries
tap_done
