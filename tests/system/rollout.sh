#!/bin/bash
# A rollout on real containers: a Docker setting goes to all of them, one is poisoned so that its dockerd does not
# start with it. The rollout halts, the poisoned one goes back by itself, and a nested container in each answers
# requests throughout, but for those in hand. Then phoenixd is killed at recorded steps of a small rollout.
# PH_ROLLOUT_SIZE=20 is the full size; PH_POINTS=all kills at every recorded step instead of three of them, 0 at none.
# With all, the poisoned rollout comes a second time, and phoenixd is killed again and again as soon as it has recorded
# another step. PH_POINTS=exact does that instead at the records, ending phoenixd right behind the commit that made one.
# beds: native
# deadline: 600
# image: golden
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

: "${PH_ROLLOUT_SIZE:=6}" "${PH_POINTS:=3}"
POISONED=c$((PH_ROLLOUT_SIZE / 2 + 1))
WAVES='canary: 1, max_unavailable: 2, soak: 1s, spread: zone'
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

# What phoenixd says as soon as it answers, for it may be dead at the moment.
next_status() {
	local report
	until report=$(ctl --json rollout status 2>/dev/null); do sleep 0.1; done
	echo "$report"
}

# Ask every container again and again; a request that fails counts unless the container was in hand before or after it,
# or in between: a container never comes back to a state that it had.
poll() {
	local name before after
	before=$(next_status)
	while true; do
		for name in "${!ADDRESSES[@]}"; do
			# While phoenixd is dead, what it said last.
			after=$(status)
			[[ -z $after ]] || before=$after
			echo >>"$PH_WORK/requests"
			answers "${ADDRESSES[$name]}" && continue
			after=$(next_status)
			in_hand "$name" "$before" || in_hand "$name" "$after" ||
				[[ $(state_of "$name" "$before") != $(state_of "$name" "$after") ]] ||
				echo "$name" >>"$FAILURES"
		done
	done
}

state_of() {
	jq -r --arg name "$1" '.items[]? | select(.name == $name) | .state' <<<"$2"
}

# shellcheck disable=SC2317 # called by wait_until
is_over() {
	[[ $(status | jq -r .rollout.state) =~ ^(DONE|HALTED|REVERTED|REVERT_FAILED)$ ]]
}

setting_of() {
	inside "$1" cat /etc/docker/daemon.json | jq -r '."log-opts"."max-size" // "none"'
}

# All of the containers, each with a nested one that serves, and one of them poisoned.
make_all() {
	local name i
	declare -gA ADDRESSES=()
	FAILURES=$PH_WORK/failures
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
}

all_serve() {
	local name
	for name in "${!ADDRESSES[@]}"; do
		wait_until 20 answers "${ADDRESSES[$name]}" || tap_not_ok "$name serves $1"
	done
}

# What has to be true once a rollout of all to this size has been halted, and had the others serve: `check_halted SIZE`
check_halted() {
	local report
	report=$(status)
	tap_is 'the poisoned one is back' "$(state_of "$POISONED" "$report")" REVERTED
	tap_is 'with its old setting' "$(setting_of "$POISONED")" none
	tap_run 'and ready' ctl health "$POISONED"
	tap_is 'the canary has the new one' "$(setting_of c1)" "$1"
	tap_is 'the last wave was not touched' \
		"$(state_of "c$PH_ROLLOUT_SIZE" "$report") $(setting_of "c$PH_ROLLOUT_SIZE")" 'CHECKED none'
	tap_is 'every request outside the wave in hand was answered' "$(sort "$FAILURES" | uniq -c)" ''
	tap_note "$(wc -l <"$PH_WORK/requests") requests; $(jq -r '[.items[].state] | group_by(.) |
		map("\(length) \(.[0])") | join(", ")' <<<"$report")"
	all_serve afterwards
	tap_run 'all of them are ready' ctl health
}

begin_polling() {
	: >"$FAILURES"
	: >"$PH_WORK/requests"
	poll &
	POLLER=$!
}

# shellcheck disable=SC2317 # called by wait_until
asked_since() {
	(($(wc -l <"$PH_WORK/requests") >= $1 + 2 * PH_ROLLOUT_SIZE))
}

# Not before every container was asked behind the rollout's end.
end_polling() {
	wait_until 60 asked_since "$(wc -l <"$PH_WORK/requests")" || tap_not_ok 'requests go on behind the end'
	kill "$POLLER"
	wait "$POLLER" 2>/dev/null || true
	POLLER=
}

test_poisoned() {
	local report
	all_serve before
	fleet all '{log-driver: json-file, log-opts: {max-size: 10m}}' "$PH_ROLLOUT_SIZE" "$WAVES"
	report=$(ctl rollout start -f "$PH_WORK/all.yaml" --dry-run)
	tap_like 'a dry run says what changes' "$report" 'c1: docker.daemon: .*max-size'
	begin_polling
	tap_exits 'the rollout is halted' 3 ctl rollout start -f "$PH_WORK/all.yaml" --watch
	tap_like 'and says why' "$tap_output" 'halted \(failure budget\)'
	end_polling
	check_halted 10m
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

# The same, but for ends that are told twice and alike: a phoenixd that dies between its log and its store tells an end
# once more (controller/container/operation.c).
ended_differently() {
	local id
	id=$(status | jq -r .rollout.id)
	ctl --json events --since "$FIRST" | jq -r --arg id "$id" '.. | objects |
		select((.type? == "operation.done" or .type? == "operation.failed") and (.operation | startswith($id))) |
		"\(.operation) \(.type)"' | sort -u | cut -d ' ' -f 1 | uniq -d
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

# The number of the newest recorded step behind an event's; nothing when there is none.
step_behind() {
	ctl --json events --since $(($1 + 1)) 2>/dev/null | jq -s '[.. | objects | select(.type? == "rollout.container" or
		.type? == "rollout.state" or .type? == "operation.step") | .seq] | max // empty'
}

# shellcheck disable=SC2317 # called by wait_until
moved_on() {
	[[ -n $(step_behind "$1") ]] || is_over
}

# The poisoned rollout again, with phoenixd killed as soon as it has recorded another step, from the first to the last.
test_killed_throughout() {
	local newest next kills=0
	FIRST=$(($(last_event) + 1))
	newest=$((FIRST - 1))
	fleet all '{log-driver: json-file, log-opts: {max-size: 11m}}' "$PH_ROLLOUT_SIZE" "$WAVES"
	begin_polling
	ctl rollout start -f "$PH_WORK/all.yaml" >/dev/null
	while wait_until 300 moved_on "$newest"; do
		next=$(step_behind "$newest")
		[[ -n $next ]] || break
		newest=$next kills=$((kills + 1))
		kill_daemon "$PH_DAEMON_PID" KILL
		start_phoenixd
	done
	end_polling
	tap_note "phoenixd killed $kills times, behind $(steps) recorded steps"
	tap_is 'a phoenixd that is killed behind each step halts it as well' "$(status | jq -r .rollout.state)" HALTED
	tap_is 'and no operation ended twice' "$(ended_twice)" ''
	check_halted 11m
}

# `step_records POSITION`: how many commits with records of rollouts and operations came behind that position of the
# dead phoenixd's store, and the position of the last one. Read in a copy: the store is phoenixd's alone.
step_records() {
	rm -rf "$PH_WORK/copy"
	cp -r "$PH_WORK/state/db" "$PH_WORK/copy"
	sqlite3 -separator ' ' "$PH_WORK/copy/state.db" "select count(distinct position / 128), ifnull(max(position), $1) from change
		where position > $1 and (key like 'rollout/%' or key like 'operation/%')"
}

# Let phoenixd run until it is behind its so many-th commit of a step, or until the rollout is over, which fails.
run_until_commit() {
	LD_PRELOAD=$PH_ROOT/build/$PH_PRESET/tests/libfaults.so PH_FAULT_ENDS=$1 \
		"$PH_BIN/phoenixd" --config "$PH_WORK/phoenix.yaml" >>"$PH_WORK/phoenixd.log" 2>&1 &
	PH_DAEMON_PID=$!
	while kill -0 "$PH_DAEMON_PID" 2>/dev/null; do
		! is_over || return 1
		sleep 0.1
	done
	wait "$PH_DAEMON_PID" || true
}

# The poisoned rollout again, with phoenixd ended behind the first commit that records a step, then behind the second one,
# and so on by turns: the first one is often no step ahead, for a soak begins anew with each phoenixd.
test_ended_at_each_record() {
	local position moved commits=1 ends=0 records=0 most=0
	FIRST=$(($(last_event) + 1))
	fleet all '{log-driver: json-file, log-opts: {max-size: 12m}}' "$PH_ROLLOUT_SIZE" "$WAVES"
	begin_polling
	ctl rollout start -f "$PH_WORK/all.yaml" >/dev/null
	kill_daemon "$PH_DAEMON_PID" KILL
	read -r moved position < <(step_records 0)
	while run_until_commit "$commits"; do
		ends=$((ends + 1))
		read -r moved position < <(step_records "$position")
		records=$((records + moved))
		((moved <= most)) || most=$moved
		commits=$((3 - commits))
	done
	kill_daemon "$PH_DAEMON_PID" KILL
	start_phoenixd
	end_polling
	tap_note "phoenixd ended $ends times, behind $records commits that record steps, at most $most between two ends"
	tap_run 'it ended again and again on the way' test "$ends" -ge "$((5 * PH_ROLLOUT_SIZE))"
	tap_run 'behind each of its steps, or the next one' test "$most" -le 2
	tap_is 'a phoenixd that ends behind its records halts it as well' "$(status | jq -r .rollout.state)" HALTED
	tap_is 'and no operation ended in two ways' "$(ended_differently)" ''
	check_halted 12m
}

# shellcheck disable=SC2317 # called by the trap
stop_poller() {
	[[ -z $POLLER ]] || kill "$POLLER" 2>/dev/null || true
	phoenix_exit
}

phoenix_up
trap 'stop_poller' EXIT
ctl image import base "$PH_IMAGE" >/dev/null
make_all
test_poisoned
case $PH_POINTS in
0) ;;
exact) test_ended_at_each_record ;;
all) test_killed_throughout; test_kills ;;
*) test_kills ;;
esac
tap_done
