#!/bin/bash
# A rollout on real containers: a Docker setting goes to all of them, one is poisoned so that its dockerd does not
# start with it. The rollout halts, the poisoned one goes back by itself, and a nested container in each answers
# requests throughout, but for those in hand. Then phoenixd is killed at recorded steps of a small rollout.
# PH_ROLLOUT_SIZE=20 is the full size; PH_POINTS=all kills at every recorded step instead of three of them, 0 at none.
# beds: native
# deadline: 600
# image: golden
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

: "${PH_ROLLOUT_SIZE:=6}" "${PH_POINTS:=3}"
POISONED=c$((PH_ROLLOUT_SIZE / 2 + 1))
POLLER='' FAILURES=

# `fleet NAME DAEMON-MAP COUNT STRATEGY`
fleet() {
	local i
	{
		printf 'version: 1\nrollout: {%s}\n' "$4"
		printf 'defaults: {image: base, confinement: %s, docker: {daemon: %s}}\ncontainers:\n' "$(confinement)" "$2"
		for ((i = 1; i <= $3; i++)); do
			printf -- '- {name: c%d, labels: {zone: z%d}}\n' "$i" $((i % 2))
		done
	} >"$PH_WORK/$1.yaml"
}

inside() {
	local name=$1
	shift
	lxc-attach -P "$PH_WORK/state/containers" -n "$name" --clear-env -v \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin -- "$@" </dev/null
}

# A nested container that answers on port 8080 of its container: perl and what it needs, for no registry is in reach.
# shellcheck disable=SC2016 # for the shell inside
serve() {
	inside "$1" bash -c 'set -e; cd "$(mktemp -d)"
		for file in /usr/bin/perl $(ldd /usr/bin/perl | grep -o "/[^ ]*\.so[^ ]*"); do
			mkdir -p ".$(dirname "$file")"; cp -L "$file" ".$file"; done
		mkdir -p usr/lib/x86_64-linux-gnu; cp -r /usr/lib/x86_64-linux-gnu/perl-base usr/lib/x86_64-linux-gnu/
		cat >serve.pl <<-"END"
		use IO::Socket::INET;
		$SIG{CHLD} = "IGNORE";
		my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die $!;
		while (my $client = $server->accept) {
			if (fork == 0) { <$client>; print $client "HTTP/1.0 200 OK\r\n\r\nserved\n"; close $client; exit }
			close $client;
		}
		END
		tar -c . | docker import - serve:1
		docker run --detach --restart always --network host --name serve serve:1 perl /serve.pl' >/dev/null
}

address_of() {
	ctl --json show "$1" | jq -r .address
}

answers() {
	[[ $(curl --silent --max-time 3 "http://$1:8080/") == served ]]
}

# Whether the rollout has its hands on a container.
in_hand() {
	jq -e --arg name "$1" '.items[]? | select(.name == $name) | .state |
		IN("DRAINING", "DRAINED", "CONVERTING", "CONVERTED", "VERIFYING", "SOAKING", "FAILED", "REVERTING")' \
		>/dev/null <<<"$2"
}

status() {
	ctl --json rollout status 2>/dev/null || true
}

# Ask every container again and again; a request that fails counts unless the container was in hand before or after it.
poll() {
	local name before after
	while true; do
		for name in "${!ADDRESSES[@]}"; do
			before=$(status)
			echo >>"$PH_WORK/requests"
			answers "${ADDRESSES[$name]}" && continue
			after=$(status)
			in_hand "$name" "$before" || in_hand "$name" "$after" || echo "$name" >>"$FAILURES"
		done
	done
}

state_of() {
	jq -r --arg name "$1" '.items[] | select(.name == $name) | .state' <<<"$2"
}

# shellcheck disable=SC2317 # called by wait_until
is_over() {
	[[ $(status | jq -r .rollout.state) =~ ^(DONE|HALTED|REVERTED|REVERT_FAILED)$ ]]
}

setting_of() {
	inside "$1" cat /etc/docker/daemon.json | jq -r '."log-opts"."max-size" // "none"'
}

test_poisoned() {
	local name before report i
	declare -gA ADDRESSES=()
	FAILURES=$PH_WORK/failures
	: >"$FAILURES"
	fleet all '{}' "$PH_ROLLOUT_SIZE" ''
	tap_run "$PH_ROLLOUT_SIZE containers" ctl apply -f "$PH_WORK/all.yaml"
	for ((i = 1; i <= PH_ROLLOUT_SIZE; i++)); do
		serve "c$i"
		ADDRESSES[c$i]=$(address_of "c$i")
	done
	# dockerd of this one does not start with the new setting.
	# shellcheck disable=SC2016 # for the shell inside
	inside "$POISONED" bash -c 'mkdir -p /etc/systemd/system/docker.service.d
		printf "[Service]\nExecStartPre=/bin/sh -c \"! grep -q max-size /etc/docker/daemon.json\"\n" \
			>/etc/systemd/system/docker.service.d/poison.conf
		systemctl daemon-reload'
	for name in "${!ADDRESSES[@]}"; do
		wait_until 20 answers "${ADDRESSES[$name]}" || tap_not_ok "$name serves before"
	done
	fleet all '{log-driver: json-file, log-opts: {max-size: 10m}}' "$PH_ROLLOUT_SIZE" \
		'canary: 1, max_unavailable: 2, soak: 1s, spread: zone'
	before=$(ctl rollout start -f "$PH_WORK/all.yaml" --dry-run)
	tap_like 'a dry run says what changes' "$before" 'c1: docker.daemon: .*max-size'
	poll &
	POLLER=$!
	tap_exits 'the rollout is halted' 3 ctl rollout start -f "$PH_WORK/all.yaml" --watch
	tap_like 'and says why' "$tap_output" 'halted \(failure budget\)'
	sleep 1 # a few more requests behind its end
	kill "$POLLER"
	wait "$POLLER" 2>/dev/null || true
	POLLER=
	report=$(status)
	tap_is 'the poisoned one is back' "$(state_of "$POISONED" "$report")" REVERTED
	tap_is 'with its old setting' "$(setting_of "$POISONED")" none
	tap_run 'and ready' ctl health "$POISONED"
	tap_is 'the canary has the new one' "$(setting_of c1)" 10m
	tap_is 'the last wave was not touched' \
		"$(state_of "c$PH_ROLLOUT_SIZE" "$report") $(setting_of "c$PH_ROLLOUT_SIZE")" 'CHECKED none'
	tap_is 'every request outside the wave in hand was answered' "$(sort "$FAILURES" | uniq -c)" ''
	tap_note "$(wc -l <"$PH_WORK/requests") requests; $(jq -r '[.items[].state] | group_by(.) |
		map("\(length) \(.[0])") | join(", ")' <<<"$report")"
	for name in "${!ADDRESSES[@]}"; do
		wait_until 20 answers "${ADDRESSES[$name]}" || tap_not_ok "$name serves afterwards"
	done
	tap_run 'all of them are ready' ctl health
}

# Recorded steps of the newest rollout so far.
steps() {
	ctl --json events --since "$FIRST" 2>/dev/null | jq -s '[.. | objects | select(.type? == "rollout.container" or
		.type? == "rollout.state" or .type? == "operation.step")] | length'
}

last_event() {
	ctl --json events --tail 1 | jq -s '[.. | objects | .seq? // empty] | max'
}

# shellcheck disable=SC2317 # called by wait_until
reached() {
	(($(steps) >= $1)) || is_over
}

# Every operation of the newest rollout ended once: nothing was repeated, nothing forgotten.
ended_twice() {
	local id
	id=$(status | jq -r .rollout.id)
	ctl --json events --since "$FIRST" | jq -r --arg id "$id" '.. | objects |
		select((.type? == "operation.done" or .type? == "operation.failed") and (.operation | startswith($id))) |
		.operation' | sort | uniq -d
}

# `rollout_with SIZE POINT`: a rollout of two containers to a setting, phoenixd killed behind that many steps; 0: never.
rollout_with() {
	FIRST=$(($(last_event) + 1))
	fleet small "{log-driver: json-file, log-opts: {max-size: $1}}" 2 'canary: 1, soak: 0, canary_soak: 0'
	ctl rollout start -f "$PH_WORK/small.yaml" >/dev/null
	if (($2)); then
		wait_until 60 reached "$2"
		kill_daemon "$PH_DAEMON_PID" KILL
		start_phoenixd
	fi
	wait_until 120 is_over
}

test_kills() {
	local total point size points
	rollout_with 20m 0
	total=$(steps)
	tap_note "$total recorded steps"
	points=$(seq 1 "$total")
	[[ $PH_POINTS == all ]] || points=$(seq $((total / PH_POINTS)) $((total / PH_POINTS)) "$total" | head -n "$PH_POINTS")
	for point in $points; do
		size=$((20 + point))m
		rollout_with "$size" "$point" || true
		if [[ $(status | jq -r .rollout.state) == DONE && $(setting_of c1) == "$size" && $(setting_of c2) == "$size" &&
			-z $(ended_twice) ]]; then
			tap_ok "killed behind step $point: it goes on to its end, and repeats nothing"
		else
			tap_not_ok "killed behind step $point: it goes on to its end, and repeats nothing"
			tap_note "$(ctl rollout show; setting_of c1; setting_of c2; ended_twice)"
		fi
	done
}

# shellcheck disable=SC2317 # called by the trap
stop_poller() {
	[[ -z $POLLER ]] || kill "$POLLER" 2>/dev/null || true
	phoenix_exit
}

phoenix_up
trap 'stop_poller' EXIT
ctl image import base "$PH_IMAGE" >/dev/null
test_poisoned
[[ $PH_POINTS == 0 ]] || test_kills
tap_done
