#!/bin/bash
# Agents that have been taken over: a hostile program is pushed into real containers in place of ours, with everything
# that ours is given, and does sixty bad things (tests/hostile). phoenixd's memory stays bounded, the calls of a
# neighbour go on, and the operator is told, once for each class of behaviour and not a thousand times.
# beds: native
# deadline: 150
# image: bare
set -euo pipefail
PH_AGENT=$(mktemp /var/tmp/phx-agent.XXXXXX)
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

HOSTILE=$PH_ROOT/build/$PH_PRESET/tests/hostile/hostile-agent
WORKERS=4
MEMORY_BOUND_KIB=65536

# shellcheck disable=SC2317 # called by the trap
hostile_exit() {
	local status=$?
	set +e
	rm -f "$PH_AGENT"
	phoenix_exit "$status"
}

# The program that is pushed from now on.
agent_is() {
	cp "$1" "$PH_AGENT.new"
	chmod 755 "$PH_AGENT.new"
	mv "$PH_AGENT.new" "$PH_AGENT"
}

fleet() {
	printf 'version: 1\ndefaults: {image: base, confinement: %s, docker: {source: none}}\ncontainers:\n' "$(confinement)"
	printf '  - name: %s\n' "$@"
}

inside() {
	echo "$PH_WORK/state/containers/$1/rootfs/hostile"
}

# `order NAME WORDS`: what a hostile agent is to do.
order() {
	echo "$2" >"$(inside "$1")/new"
	mv "$(inside "$1")/new" "$(inside "$1")/errand"
}

milliseconds() {
	local now=$EPOCHREALTIME
	echo $((${now/[.,]/} / 1000))
}

# Call the neighbour's agent, and phoenixd itself: a line of milliseconds each. Fails when the call does.
call_once() {
	local begin middle status=0
	begin=$(milliseconds)
	ctl --json preflight neighbour >"$PH_WORK/answer" 2>&1 || status=$?
	middle=$(milliseconds)
	# 2: there are findings, which is an answer.
	# An agent that could not be asked is told with this remedy.
	{ ((status == 0 || status == 2)) && jq -e '.container == "neighbour"' "$PH_WORK/answer" >/dev/null 2>&1 &&
		! grep -q 'phoenixctl apply starts it' "$PH_WORK/answer"; } ||
		echo "preflight: $status $(head -c 200 "$PH_WORK/answer")" >>"$PH_WORK/failed"
	ctl version >/dev/null || echo version >>"$PH_WORK/failed"
	echo "$((middle - begin)) $(($(milliseconds) - middle))" >>"$1"
}

# `quantile FILE COLUMN PERCENT`
quantile() {
	cut -d ' ' -f "$2" "$1" | sort -n | awk -v p="$3" '{v[NR] = $1} END {i = int((NR * p + 99) / 100); print v[i < 1 ? 1 : i]}'
}

all_done() {
	local i
	for ((i = 0; i < WORKERS; i++)); do
		grep -q '^end' "$(inside "evil$i")/done" 2>/dev/null || return 1
	done
}

memory_peak() {
	awk '/^VmHWM/ {print $2}' "/proc/$PH_DAEMON_PID/status"
}

descriptors() {
	find "/proc/$PH_DAEMON_PID/fd" -mindepth 1 2>/dev/null | wc -l
}

# `told NAME TYPE PATTERN`: whether events of the hostile containers tell of this.
told() {
	tap_run "the operator is told: $1" grep -Eq "\"container\":\"evil.*\"type\":\"$2\".*$3" "$PH_WORK/events"
}

agent_is "$PH_BIN/phoenix-agent"
phoenix_up
trap 'hostile_exit' EXIT
ctl image import base "$PH_IMAGE" >/dev/null
fleet neighbour >"$PH_WORK/fleet.yaml"
tap_run 'a neighbour with an honest agent' ctl apply -f "$PH_WORK/fleet.yaml"

agent_is "$HOSTILE"
read -ra evil <<<"$(seq -s ' ' -f 'evil%.0f' 0 "$WORKERS")"
fleet neighbour "${evil[@]}" >"$PH_WORK/fleet.yaml"
tap_run 'hostile agents are pushed and say hello' ctl apply -f "$PH_WORK/fleet.yaml"

# Calm, with the same sessions.
for _ in $(seq 20); do call_once "$PH_WORK/calm"; done
echo 5 >"/proc/$PH_DAEMON_PID/clear_refs" 2>/dev/null || true
before=$(memory_peak) opened=$(descriptors)

began=$(milliseconds)
order "evil$WORKERS" frozen
for ((i = 0; i < WORKERS; i++)); do
	order "evil$i" "$i $WORKERS"
done
until all_done; do
	(($(milliseconds) - began < 90000)) || break
	call_once "$PH_WORK/storm"
done
tap_note "all behaviours took $(($(milliseconds) - began)) ms, $(wc -l <"$PH_WORK/storm") calls meanwhile"

for ((i = 0; i < WORKERS; i++)); do
	while IFS=$'\t' read -r name outcome; do
		[[ $name != end ]] || continue
		# Words in capitals are for what must not be.
		if [[ $outcome =~ [A-Z]{4} ]]; then tap_not_ok "$name"; else tap_ok "$name"; fi
		tap_note "$outcome"
	done <"$(inside "evil$i")/done"
done
tap_run 'at least 40 behaviours' test "$(cat "$PH_WORK"/state/containers/evil?/rootfs/hostile/done | sort -u | grep -vc '^end')" -ge 40
tap_run 'all of them were done' all_done
peak=$(memory_peak)
tap_note "phoenixd's memory: $before KiB before, $peak KiB at most, bound $MEMORY_BOUND_KIB KiB more"
tap_run "phoenixd's memory is bounded" test $((peak - before)) -le "$MEMORY_BOUND_KIB"
for column in 1 2; do
	[[ $column == 1 ]] && what="the neighbour's agent" || what='phoenixd'
	tap_note "$what, ms: calm p50 $(quantile "$PH_WORK/calm" $column 50) p99 $(quantile "$PH_WORK/calm" $column 99)," \
		"meanwhile p50 $(quantile "$PH_WORK/storm" $column 50) p99 $(quantile "$PH_WORK/storm" $column 99)"
done
tap_is "no call of the neighbour's failed" "$(cat "$PH_WORK/failed" 2>/dev/null)" ''
tap_run 'phoenixd is the same process' kill -0 "$PH_DAEMON_PID"
few_descriptors() { (($(descriptors) <= opened + WORKERS + 1)); }
tap_run 'and holds no descriptor of theirs' wait_until 10 few_descriptors

frozen_is_told() {
	ctl --json events --container "evil$WORKERS" | grep -q 'no heartbeat'
}
tap_run 'the frozen one is missed' wait_until 60 frozen_is_told
ctl --json events >"$PH_WORK/events"
told 'a peer that does not prove itself' agent.refused 'did not prove who it is|does not hold the key'
told 'a peer that says nothing in time' agent.refused 'in time|hung up'
told 'a message that is none' agent.lost 'not an envelope'
told 'a frame that is too large' agent.lost 'larger than'
told 'a session that breaks the protocol' agent.lost 'second hello'
told 'a peer that does not read' agent.lost 'does not read'
told 'events above the rate' agent.limited 'dropped [1-9]'
told 'connections above the rate' agent.limited 'turned away [1-9]'
told 'frames above the rate' agent.limited 'stopped reading [1-9]'
told 'a peer that is frozen' agent.lost 'no heartbeat'
count=$(grep -c '"container":"evil' "$PH_WORK/events")
claims=$(grep -c '"type":"claim\.' "$PH_WORK/events" || true)
tap_note "$count events of hostile containers, $claims of them their own claims"
tap_run 'and not a thousand times' test $((count - claims)) -le 600
tap_is 'what they claim is theirs' "$(grep '"type":"claim\.' "$PH_WORK/events" | grep -c '"container":"neighbour"' || true)" 0
tap_is 'no byte of theirs gets to a terminal' "$(ctl events | grep -c $'[\033\a\r\177]' || true)" 0
tap_is 'lies about what the host observes change nothing' \
	"$(ctl --json health | grep -c PWNED || true)" 0
tap_is 'the neighbour never lost its session' "$(grep '"container":"neighbour"' "$PH_WORK/events" | grep -c agent.lost || true)" 0
tap_done
