#!/bin/bash
# Bad input and bad worlds: each gives an error with place and remedy, a documented exit code, and changes nothing.
# beds: native
# deadline: 400
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

ERRORS=

# `refused NAME EXIT-STATUS PATTERN COMMAND...`: fails so, says what to do, and leaves no container.
refused() {
	local name=$1 status=$2 pattern=$3 got=0
	shift 3
	ERRORS=$("$@" 2>&1) || got=$?
	tap_is "$name: exit status" "$got" "$status"
	tap_like "$name: says what and where" "$ERRORS" "$pattern"
	tap_like "$name: says what to do" "$ERRORS" 'to do|Try:'
	tap_is "$name: nothing was made" "$(ctl list --names)" "$KNOWN"
}

fleet() {
	cat >"$PH_WORK/bad.yaml"
}

apply() {
	ctl apply -f "$PH_WORK/bad.yaml"
}

test_fleet_files() {
	fleet <<<'version: 1
defaults: {image: base, resources: {memroy: 1GiB}}
containers: [{name: a}]'
	refused 'unknown key' 2 "did you mean .memory.*bad.yaml:2:" apply
	fleet <<<'version: 1
containers: [{name: a, image: base, resources: {memory: much}}]'
	refused 'wrong type' 2 'bad.yaml:2:' apply
	fleet <<<'version: 1
defaults: {image: base}
containers: [{name: a}, {name: a}]'
	refused 'duplicate name' 2 'bad.yaml:3:' apply
	fleet <<<'version: 1
defaults: {image: base}
containers: [{name: ../x}]'
	refused 'a name that is a path' 2 'bad.yaml:3:' apply
	fleet <<<"version: 1
defaults: {image: base}
containers: [{name: a, network: {address: $PH_NET.0.9}}, {name: b, network: {address: $PH_NET.0.9}}]"
	refused 'overlapping addresses' 2 'bad.yaml:3:' apply
	fleet <<<"version: 1
defaults: {image: base, confinement: $(confinement)}
containers: [{name: a, network: {address: 192.0.2.7}}]"
	refused 'an address of another network' 2 '192.0.2.7' apply
	printf '[%.0s' $(seq 1000000) >"$PH_WORK/bad.yaml"
	refused 'a megabyte of nesting' 2 'bad.yaml' apply
	head -c 100000 /dev/urandom >"$PH_WORK/bad.yaml"
	refused 'noise' 2 'bad.yaml' apply
	refused 'a file that is not there' 2 'nowhere.yaml' ctl apply -f nowhere.yaml
	fleet <<<"version: 1
defaults: {image: nothing, confinement: $(confinement)}
containers: [{name: a}]"
	refused 'an image that is not there' 4 "image 'nothing'" apply
}

test_images() {
	head -c 100000 /dev/urandom >"$PH_WORK/noise.tar"
	refused 'an archive that is noise' 2 'noise|archive|format' ctl image import noise "$PH_WORK/noise.tar"
	mkdir "$PH_WORK/empty"
	refused 'a root file system without one' 2 'os-release|root' ctl image import empty "$PH_WORK/empty"
	refused 'an archive that is not there' 2 'absent.tar' ctl image import absent "$PH_WORK/absent.tar"
	refused 'a bad image name' 2 'UPPER' ctl image import UPPER "$PH_IMAGE"
	tap_is 'the spool is empty again' "$(ls -A "$PH_WORK/state/spool")" ''
}

test_confinement() {
	if apparmor_enforced; then
		tap_skip 'required without AppArmor is refused' 'this kernel has AppArmor'
		return
	fi
	fleet <<<'version: 1
defaults: {image: base}
containers: [{name: a}]'
	refused 'required without AppArmor' 1 'cannot enforce' apply
}

# ---- the world inside a container ----

inside() {
	lxc-attach -P "$PH_WORK/state/containers" -n web1 --clear-env -- "$@"
}

data_of_web1() {
	echo "$PH_WORK/state/containers/web1/rootfs"
}

test_daemon_json() {
	local file
	file=$(data_of_web1)/etc/docker/daemon.json
	cp -a "$file" "$PH_WORK/daemon.json"
	printf '{"storage-driver": "fuse-overlayfs",\n  "debug": tru' >"$file"
	refused 'an unparsable daemon.json' 1 'daemon.json' apply
	tap_is 'it was not overwritten' "$(tail -c 5 "$file")" ': tru'
	printf '{"storage-driver": "vfs"}' >"$file"
	refused 'a daemon.json that wants another driver' 1 'daemon.json|vfs' apply
	tap_is 'it was not overwritten either' "$(cat "$file")" '{"storage-driver": "vfs"}'
	cp -a "$PH_WORK/daemon.json" "$file"
	tap_run 'with the right one again, apply finishes' apply
}

# Phoenix holds the packages of its set, and apt leaves held ones alone unless it is told.
fuse_overlayfs_removed() {
	inside apt-get -qq remove -y --allow-change-held-packages fuse-overlayfs >/dev/null 2>&1 || true
	tap_is 'fuse-overlayfs is gone' "$(status_of_fuse_overlayfs | grep -c '^.i')" 0
}

status_of_fuse_overlayfs() {
	inside dpkg-query -W -f '${db:Status-Abbrev}' fuse-overlayfs 2>/dev/null || true
}

test_no_network() {
	inside ip route del default # apply puts a bridge right, but not a container's own routes
	fuse_overlayfs_removed
	inside sh -c 'rm -f /var/cache/apt/archives/*.deb'
	refused 'no network' 1 'fetch|network|resolve|connect' apply
	inside ip route add default via "$PH_NET.0.1"
	tap_run 'with the network again, apply finishes' apply
}

test_dpkg_interrupted() {
	# What a killed dpkg leaves: a package unpacked and not configured, and a journal of updates.
	inside sh -c 'apt-get -qq download fuse-overlayfs && dpkg --unpack fuse-overlayfs*.deb && rm fuse-overlayfs*.deb' \
		>/dev/null 2>&1 || true
	tap_like 'dpkg is half-way' "$(status_of_fuse_overlayfs)" '^.U'
	tap_run 'apply heals it' apply
	tap_like 'and it is installed' "$(status_of_fuse_overlayfs)" '^hi'
}

test_apt_locked() {
	local holder
	fuse_overlayfs_removed
	inside perl -e 'use Fcntl; open my $f, ">>", "/var/lib/dpkg/lock-frontend"; my $l = pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0);
		fcntl($f, F_SETLK, $l) or die; print "locked\n"; $| = 1; sleep 8' >"$PH_WORK/lock.out" &
	holder=$!
	wait_until 10 grep -q locked "$PH_WORK/lock.out" || true
	tap_run 'another package manager is waited for' apply
	wait "$holder" || true
}

test_deleted_behind_our_back() {
	ctl --json show web1 | jq -r .observed.init_pid | xargs kill -KILL
	wait_until 20 stopped
	tap_run 'a container that was killed behind our back is started again' apply
	tap_is 'and ready' "$(ctl --json health web1 | jq -r '.containers[0].ready')" true
}

stopped() {
	[[ $(ctl --json show web1 | jq -r .observed.running) == false ]]
}

# Run phoenixctl as a user and a group without others: `as USER GROUP WORD...`.
as() {
	local user=$1 group=$2
	shift 2
	setpriv --reuid "$user" --regid "$group" --clear-groups "$PH_WORK/phoenixctl" --socket "$PH_WORK/run/control.sock" "$@"
}

# The first wall is the socket's mode, the second one the peer's credentials: each alone has to hold.
test_strangers() {
	local socket=$PH_WORK/run/control.sock
	install -m 755 "$PH_BIN/phoenixctl" "$PH_WORK/phoenixctl"
	tap_run "a member of the control socket's group is served" as 65533 0 version
	tap_exits "another user is refused by the control socket's mode" 1 as 65533 65533 version
	chmod 666 "$socket"
	tap_exits 'and by who he is, when the mode lets him in' 75 as 65533 65533 version
	tap_run 'which is in the log' grep -q 'refused uid 65533' "$PH_WORK/phoenixd.log"
	chmod 660 "$socket"
}

phoenix_up
KNOWN=
test_strangers
ctl image import base "$PH_IMAGE" >/dev/null
test_fleet_files
test_images
test_confinement
fleet <<<"version: 1
defaults: {image: base, confinement: $(confinement)}
containers: [{name: web1}]"
tap_run 'a good file is applied' apply
KNOWN=web1
test_daemon_json
test_no_network
test_dpkg_interrupted
test_apt_locked
test_deleted_behind_our_back
tap_done
