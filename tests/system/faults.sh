#!/bin/bash
# Calls of phoenixd that fail: reads, writes, fsyncs, connects, opens and allocations, each at several points and then
# again and again, while a container is changed. Whatever comes of it comes to an end; what phoenixctl was told is
# kept; the next phoenixd is well, and so is the container, after another apply where this one was told to have failed.
# PH_FAULT_POINTS=N tries so many points of each kind (by hand: 100 take some ten minutes).
# beds: by-hand
# deadline: 240
# image: bare
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

FAULTS=$PH_ROOT/build/$PH_PRESET/tests/libfaults.so
POINTS=${PH_FAULT_POINTS:-3}
round=0 kept=''

# A fleet whose one container carries the number of this round.
fleet() {
	cat >"$PH_WORK/fleet.yaml" <<-END
	version: 1
	defaults: {image: base, confinement: $(confinement), docker: {source: none}}
	containers: [{name: web1, labels: {round: "$1"}}]
	END
}

round_of() {
	ctl --json show web1 | jq -r '[.spec.labels[]? | select(.key == "round") | .value][0] // ""'
}

# `start_failing CALL AT EVERY`: whether it comes up.
start_failing() {
	LD_PRELOAD=$FAULTS PH_FAULT_CALL=$1 PH_FAULT_AT=$2 PH_FAULT_EVERY=$3 \
		"$PH_BIN/phoenixd" --config "$PH_WORK/phoenix.yaml" >>"$PH_WORK/phoenixd.log" 2>&1 &
	PH_DAEMON_PID=$!
	for _ in $(seq 50); do
		! timeout 2 "$PH_BIN/phoenixctl" --socket "$PH_WORK/run/control.sock" version >/dev/null 2>&1 || return 0
		kill -0 "$PH_DAEMON_PID" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# End phoenixd, if it is still there; what it ended with is in ended.
end_failing() {
	ended=0
	kill -TERM "$PH_DAEMON_PID" 2>/dev/null || true
	for _ in $(seq 100); do
		kill -0 "$PH_DAEMON_PID" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$PH_DAEMON_PID" 2>/dev/null && ended=hung
	wait "$PH_DAEMON_PID" || [[ $ended == hung ]] || ended=$?
}

# Without memory, and where libuv cannot wake its own loop, it ends at once, by design: all that counts is on the disk.
may_end_with() {
	case $1-$2 in
	*-0 | *-1 | *-2) true ;; # stopped; could not start; could not read its configuration
	malloc-134 | write-134 | read-134) true ;;
	fsync-74) true ;; # nobody was told of what the disk may have lost
	*) false ;;
	esac
}

try_point() {
	local name="$1 $2" status=none
	(($3 == 0)) || name+=", then every $3"
	round=$((round + 1))
	kill_daemon "$PH_DAEMON_PID" || true
	fleet "$round"
	if start_failing "$@"; then
		status=0
		timeout 25 "$PH_BIN/phoenixctl" --socket "$PH_WORK/run/control.sock" apply -f "$PH_WORK/fleet.yaml" \
			>"$PH_WORK/apply.out" 2>&1 || status=$?
	fi
	end_failing
	if [[ $status != 124 ]] && may_end_with "$1" "$ended"; then
		tap_ok "$name: it comes to an end"
	else
		tap_not_ok "$name: it comes to an end"
		tap_note "$(cat "$PH_WORK/apply.out")"
	fi
	tap_note "apply: $status, phoenixd: $ended"
	start_phoenixd
	[[ $status != 0 ]] || kept=$round
	check_kept "$name" "$status"
}

# What was confirmed is there; what was not may be or not, but nothing else.
check_kept() {
	local found
	found=$(round_of)
	if [[ $found == "$kept" || ($2 != 0 && $found == "$round") ]]; then
		tap_ok "$1: what was confirmed is kept"
	else
		tap_not_ok "$1: what was confirmed is kept"
		tap_note "found round $found, confirmed $kept, tried $round"
	fi
	kept=$found
	if [[ $2 != 0 && $(ctl --json show web1 | jq -r .phase) == failed ]]; then
		tap_run "$1: what failed is mended by the next apply" ctl apply -f "$PH_WORK/fleet.yaml"
		kept=$round
	fi
	tap_is "$1: the container runs" "$(ctl --json show web1 | jq -r '"\(.phase) \(.observed.running)"')" 'running true'
}

phoenix_up
ctl image import base "$PH_IMAGE" >/dev/null
fleet 0
tap_run 'a container' ctl apply -f "$PH_WORK/fleet.yaml"
kept=0
for kind in read:37:60 write:11:25 fsync:4:3 connect:1:2 accept:1:2 open:9:12 rename:1:2 malloc:307:4000; do
	IFS=: read -r call step every <<<"$kind"
	for ((i = 1; i <= POINTS; i++)); do
		try_point "$call" $((i * step)) 0
	done
	try_point "$call" "$every" "$every"
done
tap_done
