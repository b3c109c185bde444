#!/bin/bash
# The main job on real parts: image, apply, health, verify, apply again, a killed agent, remove.
# beds: native uml guest
# suites: bookworm trixie forky
# suites on guest12: bookworm
# suites on guest13: forky
# deadline: 420
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

FLEET=

fleet() {
	FLEET=$PH_WORK/fleet.yaml
	cat >"$FLEET" <<-END
	version: 1
	defaults:
	  image: base
	  confinement: $(confinement)
	  resources: {memory: 1GiB, cpus: 2, pids: 2000}
	containers:
	  - name: web1
	    labels: {tier: web}
	END
}

milliseconds() {
	date +%s%3N
}

# Everything that was written below a container's own file system and data-root since a marker file.
written_since() {
	find "$PH_WORK/state/containers/web1" "$PH_WORK/state/data/web1" -xdev -newercm "$1" \
		! -path '*/var/log/*' ! -path '*/run/*' -printf '%p\n' 2>/dev/null | sort
}

# Whether nothing was written for three seconds.
is_quiet() {
	touch -d '3 seconds ago' "$PH_WORK/recent"
	[[ -z $(written_since "$PH_WORK/recent") ]]
}

test_apply() {
	local begin middle end marker
	begin=$(milliseconds)
	tap_run 'apply prepares, confines, installs Docker and verifies' ctl apply -f "$FLEET"
	middle=$(milliseconds)
	# What dockerd still writes after its start is not the second apply's.
	wait_until 60 is_quiet || tap_note 'the container never stopped writing'
	marker=$PH_WORK/marker
	touch "$marker"
	local before=$((middle - begin)) output
	middle=$(milliseconds)
	output=$(ctl apply -f "$FLEET" 2>&1) || true
	end=$(milliseconds)
	tap_like 'a second apply says that nothing changed' "$output" '0 created, 0 changed, 1 unchanged, 0 failed'
	tap_is 'a second apply writes nothing in the container' "$(written_since "$marker")" ''
	tap_note "first apply $before ms, second $((end - middle)) ms, ratio $((before / (end - middle + 1)))"
}

test_health() {
	local health
	health=$(ctl --json health) || true
	tap_is 'health says ready' "$(jq -r '.containers[0].ready' <<<"$health")" true
	tap_is 'Docker answers' "$(condition "$health" DockerResponding)" TRUE
	if apparmor_enforced; then
		tap_is 'every process is confined, as the host sees it' "$(condition "$health" Confined)" TRUE
		tap_is 'none of the processes is off the label' \
			"$(jq -r '.containers[0].observed.processes_off_label' <<<"$health")" 0
	else
		tap_is 'without AppArmor, Confined is never claimed' "$(condition "$health" Confined)" FALSE
		tap_like 'best effort shows in every listing' "$(ctl list)" BEST-EFFORT
	fi
}

condition() {
	jq -r --arg type "$2" '.containers[0].conditions[] | select(.type == $type) | .status' <<<"$1"
}

test_verify() {
	local report
	tap_note "versions: $(ctl --json show web1 | jq -c .versions)"
	report=$(ctl --json verify web1 | jq -s '[.[] | select(.report != null) | .report] | last') || true
	tap_is 'verify passes' "$(jq -r '.passed' <<<"$report")" true
	tap_is 'no check failed' "$(jq -r '[.checks[] | select(.status == "FAIL") | .id] | join(" ")' <<<"$report")" ''
	tap_is 'the nested root is fuse-overlayfs' \
		"$(jq -r '.checks[] | select(.id == "docker.root") | .got' <<<"$report" | cut -d, -f1)" fuse.fuse-overlayfs
	if apparmor_enforced; then
		tap_like 'the nested process carries the profile, read by the host' \
			"$(jq -r '.checks[] | select(.id == "confinement.nested-label") | .got' <<<"$report")" \
			'lxc-phoenix-v2 \(enforce\)'
	else
		tap_skip 'the nested process carries the profile, read by the host' "this kernel has no AppArmor"
	fi
}

# The oldest process on this machine that runs a pushed agent.
agent_pid() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		if [[ $(readlink "$exe" 2>/dev/null) == /memfd:phoenix-agent* ]]; then
			basename "$(dirname "$exe")"
		fi
	done | sort -n | head -n 1
}

agent_is_connected() {
	[[ $(ctl --json show web1 | jq -r '.agent_state') == connected ]]
}

test_killed_agent() {
	local pid begin
	pid=$(agent_pid)
	begin=$(milliseconds)
	kill -KILL "$pid"
	wait_until 5 test ! -e "/proc/$pid"
	tap_run 'a killed agent is back' wait_until 10 agent_is_connected
	tap_note "back after $(($(milliseconds) - begin)) ms"
	tap_run 'and it is another process' test "$(agent_pid)" != "$pid"
}

leftovers() {
	ls -A "$PH_WORK/state/containers" "$PH_WORK/state/data" "$PH_WORK/run/agents" | grep -v ':$' | grep -v '^$' || true
	ip -br link show | grep -E "^($PH_BRIDGE|phxv0)" || true
	grep -F "$PH_WORK/state/containers" /proc/mounts || true
	grep -F lxc-phoenix-v2 /sys/kernel/security/apparmor/profiles 2>/dev/null || true
}

test_remove() {
	tap_run 'remove' ctl remove web1
	tap_is 'nothing is left of it' "$(leftovers)" ''
	tap_exits 'and it is not found any more' 4 ctl show web1
}

phoenix_up
fleet
tap_run 'an image is imported' ctl image import base "$PH_IMAGE"
tap_like 'importing it again changes nothing' "$(ctl image import base "$PH_IMAGE")" unchanged
test_apply
test_health
test_verify
test_killed_agent
test_remove
tap_done
