#!/bin/bash
# Kills in the middle of the work: phoenixd, phoenix-host and the agent die with SIGKILL while Docker is being
# installed. The install goes on, is shown, finished and verified, and nothing is installed twice.
# beds: native
# deadline: 400
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

ROOTFS=

fleet() {
	cat >"$PH_WORK/$1.yaml" <<-END
	version: 1
	defaults: {image: base, confinement: $(confinement)}
	containers: [{name: $1}]
	END
}

# The container's root as the host sees it.
root_of() {
	ROOTFS=$PH_WORK/state/containers/$1/rootfs
}

installing() {
	[[ $(ctl --json show "$1" | jq -r .step) == 'install docker' ]]
}

# apt has begun to unpack: the middle of the install.
unpacking() {
	installing "$1" && [[ -n $(find "$ROOTFS/var/lib/dpkg/info" -name 'docker.io.list' -print -quit) ]]
}

ready() {
	[[ $(ctl --json show "$1" | jq -r '.ready and .phase == "running"') == true ]]
}

agent_pids() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		if [[ $(readlink "$exe" 2>/dev/null) == /memfd:phoenix-agent* ]]; then
			basename "$(dirname "$exe")"
		fi
	done | sort -n
}

# How often dpkg has installed docker.io for good, by its own log.
times_installed() {
	grep -c ' status installed docker.io:' "$ROOTFS/var/log/dpkg.log" || true
}

begin_apply() {
	fleet "$1"
	root_of "$1"
	ctl apply -f "$PH_WORK/$1.yaml" >"$PH_WORK/$1.out" 2>&1 &
	APPLY=$!
	wait_until 60 unpacking "$1" || tap_not_ok "$1: the install was reached"
}

check_end() {
	tap_run "$1: ends ready and verified" wait_until 180 ready "$1"
	tap_is "$1: docker.io was installed once" "$(times_installed)" 1
	tap_is "$1: the operation is over" "$(ctl --json show "$1" | jq -r .step)" ''
	tap_run "$1: verify passes" ctl verify "$1"
}

has_event() {
	[[ $(ctl events) == *" $1 "* ]]
}

test_phoenixd_killed() {
	begin_apply web1
	kill_daemon "$PH_DAEMON_PID" KILL
	wait "$APPLY" || true
	tap_run 'web1: the install goes on without phoenixd' wait_until 60 dpkg_is_done
	start_phoenixd
	tap_run 'web1: the new phoenixd shows the operation' wait_until 20 has_event operation.resumed
	check_end web1
}

dpkg_is_done() {
	[[ $(times_installed) == 1 ]]
}

test_agent_killed() {
	local pids
	begin_apply web2
	pids=$(agent_pids)
	# The newest container's agent, without its workers: the parent of the others.
	kill -KILL "$(oldest_of_web2 "$pids")"
	check_end web2
	wait "$APPLY" || true
}

# Of the given processes the oldest in web2's own pid namespace.
oldest_of_web2() {
	local pid init
	init=$(ctl --json show web2 | jq -r .observed.init_pid)
	for pid in $1; do
		if [[ $(readlink "/proc/$pid/ns/pid") == "$(readlink "/proc/$init/ns/pid")" ]]; then
			echo "$pid"
			return
		fi
	done
}

test_host_killed() {
	begin_apply web3
	kill_daemon "$PH_HOST_PID" KILL
	start_host
	check_end web3
	wait "$APPLY" || true
	tap_like 'web3: the client saw it to its end' "$(cat "$PH_WORK/web3.out")" '1 created, 0 changed, 0 unchanged, 0 failed'
}

test_everything_killed() {
	kill_daemon "$PH_DAEMON_PID" KILL
	kill_daemon "$PH_HOST_PID" KILL
	tap_run 'containers do not notice' test "$(agent_pids | wc -l)" -ge 3
	start_host
	start_phoenixd
	tap_run 'all of them are taken over' wait_until 20 all_ready
}

all_ready() {
	[[ $(ctl --json health | jq -r '[.containers[].ready] | all') == true ]]
}

phoenix_up
ctl image import base "$PH_IMAGE" >/dev/null
test_phoenixd_killed
test_agent_killed
test_host_killed
test_everything_killed
tap_done
