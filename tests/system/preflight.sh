#!/bin/bash
# What stands in Docker's way: a host and a container that are fine, and real causes found before Docker meets them.
# beds: native uml
# deadline: 240
# shellcheck disable=SC2317,SC2016 # functions are run by tap_run and wait_until; perl has variables of its own
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

NAMESPACES=/proc/sys/user/max_user_namespaces
# `findings [NAME]`: the kernel, then "SEVERITY ID" of each; nothing when there is no answer
findings() {
	{ ctl --json preflight "$@" || true; } | jq -r '.kernel, (.findings[] | "\(.severity) \(.id)")'
}

has() {
	local wanted=$1
	shift
	findings "$@" | grep -qx -- "$wanted"
}

has_not() {
	local wanted=$1 list
	shift
	list=$(findings "$@")
	[[ -n $list ]] && ! grep -qx -- "$wanted" <<<"$list"
}

in_web1() {
	lxc-attach -P "$PH_WORK/state/containers" -n web1 --clear-env -- "$@"
}

# Keys in the user keyring of the container's root, until the quota of its host id says no: add_key(2).
fill_quota() {
	in_web1 perl -e '$type = "user"; $data = "x";
		for (1..5000) { $name = "preflight-$_"; syscall(248, $type, $name, $data, 1, -4) < 0 or next; exit !$!{EDQUOT} } exit 2'
}

# KEYCTL_CLEAR of that keyring.
free_quota() {
	in_web1 perl -e 'exit(syscall(250, 7, -4) < 0)'
}

# A machine-wide setting: only where the kernel is the bed's own.
test_namespaces() {
	local saved
	if [[ $PH_BED == native ]]; then
		tap_skip 'a host without user namespaces' 'the setting would hit everything else on this machine'
		return
	fi
	saved=$(<"$NAMESPACES")
	echo 0 >"$NAMESPACES"
	tap_exits 'without user namespaces it exits with 2' 2 ctl preflight
	tap_like 'and says why' "$tap_output" 'max_user_namespaces is 0: no container can start'
	echo "$saved" >"$NAMESPACES"
	tap_run 'put right, it is no finding' has_not 'FAIL preflight.user-namespaces'
}

test_host() {
	local text
	tap_note "$(ctl preflight || true)"
	tap_like 'it speaks of this kernel' "$(ctl --json preflight | jq -r .kernel)" "^$(uname -r)$"
	tap_is 'every finding has evidence and remedy' \
		"$({ ctl --json preflight || true; } | jq '[.findings[] | select(.evidence == "" or .remedy == "")] | length')" 0
	tap_run 'user namespaces are in order' has_not 'FAIL preflight.user-namespaces'
	text='failed to Lchown "/x" for UID 70000, GID 0 (try increasing the number of subordinate IDs in /etc/subuid)'
	tap_exits 'an error of Docker is judged' 2 ctl preflight --error "$text"
	tap_like 'by the ids it names' "$tap_output" 'uid 70000 for /x, and the container.s id map ends at 65535'
	tap_exits 'an unknown container is told' 4 ctl preflight web9
}

test_container() {
	tap_note "$(ctl preflight web1 || true)"
	tap_run 'the inside was looked at' has_not 'WARN preflight.inside-unknown' web1
	tap_run 'runc can write its sysctls there' has_not 'FAIL preflight.runc-clash' web1
	tap_run '/dev/fuse can be opened there' has_not 'FAIL preflight.fuse-device' web1
	tap_run 'keys are to be had' has_not 'FAIL preflight.keyring-quota' web1
}

# The kernel gives dead keys back when it likes, which leaves room for one more: then it is filled again.
quota_is_seen_twice() {
	local status=0 findings
	fill_quota && has 'FAIL preflight.keyring-quota' web1 || return
	findings=$(ctl --json preflight web1) || status=$?
	((status == 2)) || return
	jq -e '[.findings[] | select(.id == "preflight.keyring-quota") | .observed] | sort == [false, true]' <<<"$findings"
}

# The quota of the container's root, filled by its own keys: host and agent both see it.
test_quota() {
	tap_run 'a full quota of keys' fill_quota
	tap_run 'is found, by the host and by trying, with exit status 2' wait_until 20 quota_is_seen_twice
	tap_run 'the keys are given back' free_quota
	tap_run 'put right, it is no finding' wait_until 20 has_not 'FAIL preflight.keyring-quota' web1
}

# A log of dockerd as Docker writes it: the agent finds the complaint, phoenixd judges it.
test_complaint() {
	in_web1 sh -c 'mkdir -p /run/phoenix-agent && cat >>/run/phoenix-agent/dockerd.log' <<-'END'
	level=error msg="Not continuing with pull after error: failed to register layer: failed to Lchown \"/opt/big\" for UID 718322462, GID 3 (try increasing the number of subordinate IDs in /etc/subuid and /etc/subgid): lchown /opt/big: invalid argument"
	END
	tap_run "an image whose owners the id map lacks is found in dockerd's log" has 'FAIL preflight.id-map-too-small' web1
	tap_like 'with the id that it needs' "$(ctl preflight web1 || true)" 'uid 718322462 for /opt/big'
}

phoenix_up
test_host
test_namespaces
cat >"$PH_WORK/fleet.yaml" <<-END
version: 1
containers:
- name: web1
  image: base
  confinement: $(confinement)
  docker: {source: none}
END
tap_run 'an image is imported' ctl image import base "$PH_IMAGE"
tap_run 'a container is made' ctl apply -f "$PH_WORK/fleet.yaml"
test_container
test_quota
test_complaint
tap_run 'the container is removed' ctl remove web1
tap_exits 'and unknown then' 4 ctl preflight web1
tap_done
