#!/bin/bash
# A container with FUSE mounts that never answer, one of them where its agent looks for Docker's data: who enters it
# may hang for ever. phoenixd's loop and phoenix-host go on, the neighbour is served, the container can be looked at,
# and removed.
# beds: native
# deadline: 150
# image: bare
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

HANG=$PH_ROOT/build/$PH_PRESET/tests/hostile/hang

milliseconds() {
	local now=$EPOCHREALTIME
	echo $((${now/[.,]/} / 1000))
}

# How long phoenixd takes to answer what needs nobody else: twenty times, and again until the given jobs have ended.
watch_loop() {
	local begin took count=0 waiting=1
	while ((count < 20)) || [[ $waiting ]]; do
		waiting=$(running "$@")
		count=$((count + 1))
		begin=$(milliseconds)
		ctl version >/dev/null || echo failed >>"$PH_WORK/loop.failed"
		took=$(($(milliseconds) - begin))
		echo "$took" >>"$PH_WORK/loop"
	done
}

# Print those of the given processes that run.
running() {
	local process
	for process; do
		! kill -0 "$process" 2>/dev/null || echo "$process"
	done
}

# `ask NAME STATUSES COMMAND...`: the command comes to its end, with one of these exit statuses.
ask() {
	local name=$1 statuses=$2 begin status=0
	shift 2
	begin=$(milliseconds)
	timeout 60 "$PH_BIN/phoenixctl" --socket "$PH_WORK/run/control.sock" "$@" >"$PH_WORK/answer" 2>&1 || status=$?
	tap_like "$name (exit status $status)" " $statuses " " $status "
	tap_note "$(($(milliseconds) - begin)) ms"
}

# Ask beside everything else; what it said and how long it took is left in beside.NAME.
ask_beside() {
	local begin status=0 file=$PH_WORK/beside.${1// /-}
	begin=$(milliseconds)
	# shellcheck disable=SC2086 # words
	timeout 60 "$PH_BIN/phoenixctl" --socket "$PH_WORK/run/control.sock" $1 >"$file" 2>&1 || status=$?
	echo "$1: status $status, $(($(milliseconds) - begin)) ms" >>"$file"
}

phoenix_up
ctl image import base "$PH_IMAGE" >/dev/null
cat >"$PH_WORK/fleet.yaml" <<-END
version: 1
defaults: {image: base, confinement: $(confinement), docker: {source: none}}
containers: [{name: hung}, {name: neighbour}]
END
tap_run 'two containers' ctl apply -f "$PH_WORK/fleet.yaml"
cp "$HANG" "$PH_WORK/state/containers/hung/rootfs/hang"
lxc-attach -P "$PH_WORK/state/containers" -n hung --clear-env -- \
	/hang /mnt/hung /var/lib/docker/hung >"$PH_WORK/hang.out" 2>&1 &
tap_run 'file systems that never answer are mounted' wait_until 10 grep -q hanging "$PH_WORK/hang.out"
status=0
timeout -s KILL 2 lxc-attach -P "$PH_WORK/state/containers" -n hung -- stat /mnt/hung >/dev/null 2>&1 || status=$?
tap_is 'and who looks at them waits' "$status" 137

# The longest that phoenixd's loop kept everybody waiting, in milliseconds.
longest() {
	ctl --json version | jq -r '(.loop_longest_us // 0 | tonumber) / 1000 | floor'
}

# All at once: what enters the container, and the loop meanwhile.
jobs=()
before=$(longest)
for command in 'storage hung' 'preflight hung' 'verify hung' 'health' 'show hung'; do
	ask_beside "$command" &
	jobs+=($!)
done
watch_loop "${jobs[@]}"
tap_note "the loop's longest turn before: $before ms, since: $(longest) ms;" \
	"phoenix-host's over 100 ms: $(grep -c 'nobody was served' "$PH_WORK/phoenix-host.log" || true)"
tap_note "phoenixd's answers meanwhile: $(wc -l <"$PH_WORK/loop"), the slowest $(sort -n "$PH_WORK/loop" | tail -n 1) ms," \
	"half of them within $(sort -n "$PH_WORK/loop" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}') ms, start of phoenixctl included"
tap_is "phoenixd's loop never failed to answer" "$(cat "$PH_WORK/loop.failed" 2>/dev/null)" ''
tap_run 'and did so again and again' test "$(wc -l <"$PH_WORK/loop")" -ge 20
ask 'the neighbour is looked into' '0 2' preflight neighbour
ask 'all are listed' 0 list
ask 'health of all is told' '0 3' health
ask 'the hung one is shown' 0 show hung
for job in "${jobs[@]}"; do wait "$job" || true; done
cat "$PH_WORK"/beside.* | while read -r line; do tap_note "$line"; done
ask 'and can be removed' 0 remove hung
tap_is 'nothing of it is left' "$(ctl list --names)" neighbour
tap_is 'no process waits in it any more' "$(pgrep -f '^/hang /mnt/hung' | wc -l)" 0
tap_done
