#!/bin/bash
# The failure walk on a real host: every verb of the prepare flow fails once before and once after its work. Nothing
# may be left: no container, mount, bridge, port, id range, profile or file; and the next apply must not stumble.
# Uses the dev build, which has the fault points compiled in.
# beds: native
# deadline: 300
set -euo pipefail
PH_PRESET=dev
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

FAULTS=(NetworkEnsure ConfineEnsure ContainerCreate ContainerStart ContainerObserve)

leftovers() {
	ls -A "$PH_WORK/state/containers" "$PH_WORK/state/data" "$PH_WORK/run/agents" "$PH_WORK/state/spool" |
		grep -v -e ':$' -e '^$' || true
	ip -br link show | grep -E "^($PH_BRIDGE|phxv)" || true
	grep -F "$PH_WORK/state/containers" /proc/mounts || true
	nft list tables 2>/dev/null | grep -F "$PH_BRIDGE" || true
	find /sys/fs/cgroup -maxdepth 3 -name 'lxc*walk*' 2>/dev/null || true
	ctl list --names
}

restart_host() {
	kill_daemon "$PH_HOST_PID" KILL || true
	PHOENIX_FAULT=$1 start_host
}

walk() {
	local fault output status
	for fault in "${FAULTS[@]/%/:before}" "${FAULTS[@]/%/:after}"; do
		restart_host "$fault"
		status=0
		output=$(ctl apply -f "$PH_WORK/walk.yaml" 2>&1) || status=$?
		tap_is "$fault: apply fails" "$status" 1
		tap_like "$fault: the step is named" "$output" 'step   [a-z]'
		tap_is "$fault: nothing is left" "$(leftovers)" ''
	done
}

if [[ ! -x $PH_BIN/phoenix-host ]]; then
	tap_skip 'the failure walk' 'the dev build is not there: run ./dev/test --unit before, or all of ./dev/test'
	tap_done
fi
phoenix_up
ctl image import base "$PH_IMAGE" >/dev/null
cat >"$PH_WORK/walk.yaml" <<-END
version: 1
defaults: {image: base, confinement: $(confinement), docker: {source: none}}
containers: [{name: walk}]
END
walk
restart_host ''
tap_run 'and without a fault it is made' ctl apply -f "$PH_WORK/walk.yaml"
tap_run 'and removed' ctl remove walk
tap_is 'with nothing left' "$(leftovers)" ''
tap_done
