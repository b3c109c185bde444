#!/bin/bash
# Docker of three distributions side by side, each in a container of its own: 20.10 (Debian 12), 26.1 (Debian 13) and 28.5
# with runc 1.3 (forky), converged, verified, and left alone by a second apply. In the guest with systemd in all of them and
# AppArmor enforcing.
# beds: native
# images on guest13: offline-trixie offline-forky
# deadline: 400
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# Container, suite, Docker's version and runc's. Natively they have no init: systemd of Debian 13 and later does not
# boot on a host with cgroup v1, and Docker does not need it.
DISTRIBUTIONS=(
	'd12 bookworm 20.10 1.1'
	'd13 trixie 26.1 1.1'
	'd14 forky 28.5 1.3'
)

fleet() {
	local name suite rest
	printf 'version: 1\ndefaults: {confinement: %s}\ncontainers:\n' "$(confinement)"
	while read -r name suite rest; do
		printf '  - {name: %s, image: %s}\n' "$name" "$suite"
	done < <(printf '%s\n' "${DISTRIBUTIONS[@]}")
}

import_images() {
	local name suite rest kind
	while read -r name suite rest; do
		kind=bare
		[[ $PH_BED == native ]] || kind=offline
		[[ $suite == bookworm ]] || kind+=-$suite
		tap_run "image $suite" ctl image import "$suite" "$("$PH_ROOT/dev/lib/container-image" "$kind")"
	done < <(printf '%s\n' "${DISTRIBUTIONS[@]}")
}

version_of() {
	ctl --json show "$1" | jq -r --arg package "$2" '.versions[] | select(.key == $package) | .value'
}

# Files of the containers with their times, but what dockerd and its containers write as they run.
state_of() {
	find "$PH_WORK/state/containers" -mindepth 1 -xdev ! -path '*/run/*' ! -path '*/var/log/*' -printf '%p %T@ %C@ %s\n' 2>/dev/null | sort
}

check_one() {
	local name=$1 docker=$2 runc=$3
	tap_like "$name: Docker $docker" "$(version_of "$name" docker.io)" "^${docker//./\\.}\\."
	tap_like "$name: runc $runc" "$(version_of "$name" runc)" "^${runc//./\\.}\\."
	tap_is "$name: verified, all at the same time" \
		"$(ctl --json show "$name" | jq -r '.ready and .verify.passed')" true
	tap_run "$name: verify again" ctl verify "$name"
	if apparmor_enforced; then
		tap_like "$name: the nested process carries the profile, read by the host" \
			"$(ctl --json show "$name" | jq -r '.verify.checks[] | select(.id == "confinement.nested-label") | .got')" \
			'lxc-phoenix-v2 \(enforce\)'
		tap_is "$name: so does every other process" "$(ctl --json show "$name" | jq -r .observed.processes_off_label)" 0
	else
		tap_skip "$name: every process carries the profile" 'this kernel has no AppArmor'
	fi
}

check_second_apply() {
	local before after output began
	before=$(state_of)
	began=$(date +%s%3N)
	output=$(ctl --json apply -f "$PH_WORK/fleet.yaml" 2>/dev/null | tail -n 1) || true
	tap_note "the second apply took $(($(date +%s%3N) - began)) ms for three containers"
	after=$(state_of)
	tap_like 'a second apply changes nothing' "$output" '"unchanged": ?3'
	# systemd writes for itself; main-job.sh waits for it.
	[[ $PH_BED != native ]] || tap_is 'and writes nothing' "$(diff <(echo "$before") <(echo "$after") || true)" ''
}

dockerd_of() {
	pgrep --ns "$(ctl --json show "$1" | jq -r .observed.init_pid)" --nslist pid --exact dockerd
}

# What dockerd would not start with is refused by dockerd itself, which from 23.0 on can be asked: `check_refused NAME SUITE`.
check_refused() {
	local name=$1 file before process
	file=$PH_WORK/state/containers/$name/rootfs/etc/docker/daemon.json
	before=$(sha256sum "$file")
	process=$(dockerd_of "$name")
	one_container "$name" "$2" '{daemon: {no-such-key: true}}'
	tap_exits "$name: a daemon.json that dockerd does not take is refused" 1 ctl apply -f "$PH_WORK/one.yaml"
	tap_like "$name: in dockerd's words" "$tap_output" 'dockerd would not start with it: .*no-such-key'
	tap_is "$name: the old one stays" "$(sha256sum "$file")" "$before"
	one_container "$name" "$2" '{}'
	tap_run "$name: without it all is well" ctl apply -f "$PH_WORK/one.yaml"
	tap_is "$name: the same dockerd has run all the time" "$(dockerd_of "$name")" "$process"
}

one_container() {
	printf 'version: 1\ncontainers: [{name: %s, image: %s, confinement: %s, docker: %s}]\n' "$1" "$2" \
		"$(confinement)" "$3" >"$PH_WORK/one.yaml"
}

phoenix_up
import_images
fleet >"$PH_WORK/fleet.yaml"
tap_run 'three distributions in one apply' ctl apply -f "$PH_WORK/fleet.yaml"
for line in "${DISTRIBUTIONS[@]}"; do
	read -r name _ docker runc <<<"$line"
	check_one "$name" "$docker" "$runc"
done
check_second_apply
if [[ $PH_BED == native ]]; then
	check_refused d13 trixie
	check_refused d14 forky
fi
tap_done
