#!/bin/bash
# The link to the agents over both transports: who has a session, what the key's rotation does to it, what a
# restart of phoenixd does, and what those get who do not hold the key or are not where they should be.
# beds: native uml
# deadline: 240
# shellcheck disable=SC2317,SC2016 # functions are run by tap_run and wait_until; perl has variables of its own
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

PORT=1022

has_vsock() {
	modprobe vsock_loopback 2>/dev/null || true
	perl -e 'socket(my $s, 40, 1, 0) or exit 1; bind($s, pack("SSLLCx3", 40, 0, 4294967295, 1, 0)) or exit 1'
}

fleet() { # NAME TRANSPORT
	cat >"$PH_WORK/$1.yaml" <<-END
	version: 1
	containers:
	  - {name: $1, image: base, confinement: $(confinement), transport: $2, docker: {source: none}}
	END
}

field() { # NAME FILTER
	ctl --json show "$1" | jq -r "$2"
}

connected() {
	[[ $(field "$1" .agent_state) == connected ]]
}

in_container() {
	local name=$1
	shift
	lxc-attach -P "$PH_WORK/state/containers" -n "$name" --clear-env -- "$@"
}

# The agent of a container: the one process outside its init's children that runs our memfd.
agent_of() {
	local pid
	for pid in $(cat $(find /sys/fs/cgroup -path "*phoenix.payload.$1*" -name cgroup.procs) 2>/dev/null | sort -un); do
		[[ $(readlink "/proc/$pid/exe" 2>/dev/null) == /memfd:phoenix-agent* ]] || continue
		echo "$pid"
		return
	done
}

events_of() { # NAME TYPE
	ctl --json events | jq -s "[.. | objects | select(.type? == \"$2\" and .container == \"$1\")] | length"
}

is_told() {
	(($(events_of "$1" "$2") > 0))
}

refusals() { # NAME
	events_of "$1" agent.refused
}

is_refused() { # NAME BEFORE
	(($(refusals "$1") > $2))
}

# Dial as the agent of a container, from outside it and with a key of one's own choice, until that is refused.
is_turned_away() { # NAME ADDRESS KEY-FILE
	local before dialer status=0
	before=$(refusals "$1")
	"$PH_BIN/phoenix-agent" --socket "$2" --name "$1" --boot-id "$(field "$1" .incarnation)" \
		--key-fd 9 9<"$3" >/dev/null 2>&1 &
	dialer=$!
	wait_until 10 is_refused "$1" "$before" || status=$?
	kill "$dialer"
	wait "$dialer" || true
	return "$status"
}

# Nothing of the key where another process of the container could read it.
key_is_hidden() { # PID NAME
	local pid=$1 inside key
	key=$(od -An -tx1 -v "$PH_WORK/state/db/keys/$2" | tr -d ' \n')
	for file in cmdline environ; do
		! od -An -tx1 -v "/proc/$pid/$file" | tr -d ' \n' | grep -q "$key" || return 1
	done
	inside=$(sed -n 's/^NSpid:.*\t//p' "/proc/$pid/status")
	# Another user of the container sees neither its memory nor its descriptors.
	! in_container "$2" setpriv --reuid 65534 --regid 65534 --clear-groups \
		sh -c "ls /proc/$inside/fd || head -c 1 /proc/$inside/mem || cat /proc/$inside/environ" >/dev/null 2>&1
}

test_transport() { # NAME TRANSPORT ADDRESS
	local name=$1 transport=$2 address=$3 first second profile
	fleet "$name" "$transport"
	tap_run "$transport: applied" ctl apply -f "$PH_WORK/$name.yaml"
	tap_run "$transport: the agent has a session" wait_until 10 connected "$name"
	first=$(agent_of "$name")
	tap_run "$transport: the key is in no file that others can read" key_is_hidden "$first" "$name"
	tap_is "$transport: the key's file is phoenixd's alone" \
		"$(stat -c '%a %u' "$PH_WORK/state/db/keys" "$PH_WORK/state/db/keys/$name" | xargs)" '700 64998 600 64998'

	# Somebody with all that is known to everybody, and a key of his own making.
	head -c 32 /dev/urandom >"$PH_WORK/another-key"
	tap_run "$transport: who has another key is refused, and told of" is_turned_away "$name" "$address" "$PH_WORK/another-key"
	tap_run "$transport: the session is still there" connected "$name"
	tap_is "$transport: with the same agent" "$(agent_of "$name")" "$first"

	kill_daemon "$PH_DAEMON_PID" KILL
	start_phoenixd
	tap_run "$transport: after kill -9 of phoenixd the agent is back" wait_until 20 connected "$name"
	tap_is "$transport: and is the same" "$(agent_of "$name")" "$first"
	tap_run "$transport: what it spooled meanwhile is told" wait_until 10 is_told "$name" claim.link.restored
	tap_is "$transport: and told once" "$(events_of "$name" claim.link.restored)" 1

	tap_run "$transport: rotate-key" ctl rotate-key "$name"
	tap_run "$transport: an agent is back with the new key" wait_until 20 connected "$name"
	second=$(agent_of "$name")
	tap_run "$transport: and is another one" test "$second" != "$first"

	profile=$(field "$name" .profile)
	if [[ -n $profile ]]; then
		tap_is "$transport: its profile" "$profile" "lxc-phoenix-v2${4:-}"
	else
		tap_skip "$transport: its profile" "no AppArmor on this bed"
	fi
}

socket_in() { # NAME: what socket(AF_VSOCK) gives inside
	in_container "$1" perl -e 'socket(my $s, 40, 1, 0) ? print "open" : print "closed"'
}

# A container that may use vsock cannot take the place of phoenixd.
port_in() { # NAME
	in_container "$1" perl -e 'socket(my $s, 40, 1, 0) or die; print bind($s, pack("SSLLCx3", 40, 0, 1021, 4294967295, 0)) ? "bound" : "refused"'
}

test_walls() {
	tap_is 'unix: no vsock socket can be made inside' "$(socket_in plain)" closed
	if [[ -z $VSOCK ]]; then
		tap_skip 'vsock: inside it can' 'no vsock_loopback on this kernel; UML and the guests have it'
		tap_skip 'vsock: but no port below 1024 can be taken' 'the same'
		return
	fi
	tap_is 'vsock: inside it can' "$(socket_in vm)" open
	tap_is 'vsock: but no port below 1024 can be taken' "$(port_in vm)" refused
}

# The key of one container opens nothing of another.
test_other_key() {
	local key=$PH_WORK/state/db/keys/plain
	tap_run 'vsock: the right key of a container that comes over Unix is refused' is_turned_away plain "vsock:1:$PORT" "$key"
	tap_is 'vsock: and opens nothing' "$(field plain .agent_state)" connected
	tap_run 'unix: nor does it for a process that is not in the container' \
		is_turned_away plain "unix:$PH_WORK/run/agents/plain/agent.sock" "$key"
	tap_run 'unix: whose own agent stays' connected plain
}

VSOCK=
! has_vsock || VSOCK=1
[[ -z $VSOCK ]] || export PH_CONFIG="vsock: vsock:1:$PORT"
phoenix_up
ctl image import base "$PH_IMAGE" >/dev/null
test_transport plain unix "unix:$PH_WORK/run/agents/plain/agent.sock"
if [[ -n $VSOCK ]]; then
	test_transport vm vsock "vsock:1:$PORT" -vsock
	test_other_key
else
	tap_skip 'vsock: all of the above' 'no vsock_loopback on this kernel; UML and the guests have it'
	fleet vm vsock
	tap_exits 'vsock: refused where it is not configured' 1 ctl apply -f "$PH_WORK/vm.yaml"
	tap_like 'with the reason and what to write' "$tap_output" "configuration has no key 'vsock'.*vsock:1:1022"
fi
test_walls
tap_run 'removed' ctl remove plain ${VSOCK:+vm}
tap_is 'their keys are gone' "$(ls "$PH_WORK/state/db/keys")" ''
tap_done
