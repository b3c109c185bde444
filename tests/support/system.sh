# shellcheck shell=bash
# Helpers of the system tests: TAP lines, a Phoenix of the script's own, waiting for facts, cleaning up.
#
# A script in tests/system/ starts with
#	# beds: native uml guest        where it runs; this and the other lines of the header: dev/lib/system-runs.sh
#	# deadline: 300                 seconds on the native and UML beds, four times that in a guest
#	set -euo pipefail
#	. "$(dirname "$0")/../support/system.sh"
#	phoenix_up
#	... tap_run NAME COMMAND..., tap_is NAME GOT EXPECTED, tap_skip NAME REASON
#	tap_done
# PH_CONFIG, when set, is one more line of the configuration.
# PH_BED says which bed it is on; dev/test sets it, and PH_PRESET and PH_IMAGE.

PH_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${PH_BED:=native}" "${PH_PRESET:=release}" "${PH_TIME_SCALE:=1}"
PH_BIN=$PH_ROOT/build/$PH_PRESET/bin
PH_WORK='' PH_BRIDGE='' PH_HOST_PID='' PH_DAEMON_PID=''
tap_count=0 tap_failed=0

# --- TAP ------------------------------------------------------------------------------------------------------------

tap_ok() {
	tap_count=$((tap_count + 1))
	printf 'ok %d - %s\n' "$tap_count" "$*"
}

tap_not_ok() {
	tap_count=$((tap_count + 1)) tap_failed=$((tap_failed + 1))
	printf 'not ok %d - %s\n' "$tap_count" "$*"
}

# `tap_skip NAME REASON`
tap_skip() {
	tap_count=$((tap_count + 1))
	printf 'ok %d - %s # SKIP %s\n' "$tap_count" "$1" "$2"
}

# Say something about the test before or after.
tap_note() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

# A test that is a command succeeding: `tap_run NAME COMMAND...`; shows what it printed when it fails.
tap_run() {
	local name=$1 output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	if ((status == 0)); then
		tap_ok "$name"
	else
		tap_not_ok "$name"
		tap_note "exit status $status from: $*"
		tap_note "$output"
	fi
}

# A test that is a command failing with one exit status: `tap_exits NAME STATUS COMMAND...`.
# What it printed is left in tap_output for further tests.
tap_exits() {
	local name=$1 expected=$2 status=0
	shift 2
	tap_output=$("$@" 2>&1) || status=$?
	if ((status == expected)); then
		tap_ok "$name"
	else
		tap_not_ok "$name"
		tap_note "exit status $status, expected $expected, from: $*"
		tap_note "$tap_output"
	fi
}

# `tap_is NAME GOT EXPECTED`
tap_is() {
	if [[ $2 == "$3" ]]; then
		tap_ok "$1"
	else
		tap_not_ok "$1"
		tap_note "got:      $2"
		tap_note "expected: $3"
	fi
}

# `tap_like NAME TEXT EXTENDED-REGULAR-EXPRESSION`
tap_like() {
	if [[ $2 =~ $3 ]]; then
		tap_ok "$1"
	else
		tap_not_ok "$1"
		tap_note "nothing matches /$3/ in: $2"
	fi
}

# End the script: its exit status says whether all passed. A script that ends without it counts as failed.
tap_done() {
	printf '1..%d\n' "$tap_count"
	((tap_failed == 0)) || exit 1
	exit 0
}

# --- waiting --------------------------------------------------------------------------------------------------------

# Poll until a command succeeds: `wait_until SECONDS COMMAND...`; the seconds grow with the bed's slowness.
wait_until() {
	local end=$((SECONDS + $1 * PH_TIME_SCALE))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}

# --- a Phoenix of one's own -----------------------------------------------------------------------------------------

# Whether the bed enforces AppArmor profiles.
apparmor_enforced() {
	[[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y && -d /sys/kernel/security/apparmor ]]
}

# What a fleet file of this bed has to ask for.
confinement() {
	if apparmor_enforced; then echo required; else echo best-effort; fi
}

ctl() {
	"$PH_BIN/phoenixctl" --socket "$PH_WORK/run/control.sock" "$@"
}

# Start phoenix-host and phoenixd on a private configuration and wait until the control socket answers.
phoenix_up() {
	# Not below /tmp, which may be a tmpfs: images and data-roots need a real file system.
	PH_WORK=$(mktemp -d /var/tmp/phx.XXXXXX) # short: a socket address has 108 bytes
	chmod 711 "$PH_WORK"
	PH_BRIDGE=phxt$(printf '%04x' $((BASHPID & 0xffff)))
	trap 'phoenix_exit' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	PH_NET=$(free_subnet)
	export PH_NET
	PH_SUBNET=$PH_NET.0.0/16
	mkdir -p "$PH_WORK/state"
	export PHOENIX_SPOOL=$PH_WORK/state/spool
	cat >"$PH_WORK/phoenix.yaml" <<-END
	user: ${PH_USER:-64998}
	group: 0
	run_dir: $PH_WORK/run
	state_dir: $PH_WORK/state
	agent: ${PH_AGENT:-$PH_BIN/phoenix-agent}
	profiles_dir: $PH_ROOT/profiles
	network: {bridge: $PH_BRIDGE, subnet: $PH_SUBNET, dns: true}
	log_level: ${PH_LOG_LEVEL:-info}
	${PH_CONFIG:-}
	lxc_paths: [$PH_WORK/lxc]
	END
	start_host
	start_phoenixd
}

# Let Phoenix begin anew with its state on a file system of its own: `phoenix_onto ext4|xfs|btrfs [SIZE]`.
phoenix_onto() {
	local disk=$PH_WORK/state.img
	truncate -s "${2:-3G}" "$disk"
	case $1 in
	ext4) mkfs.ext4 -q -F "$disk" ;;
	xfs) mkfs.xfs -q "$disk" ;;
	btrfs) mkfs.btrfs -q "$disk" >/dev/null ;;
	esac
	kill_daemon "$PH_DAEMON_PID"
	kill_daemon "$PH_HOST_PID"
	mount -o loop "$disk" "$PH_WORK/state"
	start_host
	start_phoenixd
}

# And as before; fails when something there is still in use.
phoenix_off() {
	kill_daemon "$PH_DAEMON_PID"
	kill_daemon "$PH_HOST_PID"
	umount "$PH_WORK/state"
	rm "$PH_WORK/state.img"
	start_host
	start_phoenixd
}

# Print the first two numbers of a /16 that nothing on this machine routes to.
free_subnet() {
	local second
	for second in $(shuf -i 210-250); do
		if [[ -z $(ip -4 route list root "10.$second.0.0/16"; ip -4 addr show to "10.$second.0.0/16") ]]; then
			echo "10.$second"
			return
		fi
	done
	return 1
}

start_host() {
	"$PH_BIN/phoenix-host" --config "$PH_WORK/phoenix.yaml" >>"$PH_WORK/phoenix-host.log" 2>&1 &
	PH_HOST_PID=$!
	wait_until 20 test -S "$PH_WORK/run/host.sock" || daemon_failed phoenix-host "$PH_WORK/phoenix-host.log"
}

start_phoenixd() {
	"$PH_BIN/phoenixd" --config "$PH_WORK/phoenix.yaml" >>"$PH_WORK/phoenixd.log" 2>&1 &
	PH_DAEMON_PID=$!
	wait_until 20 ctl version || daemon_failed phoenixd "$PH_WORK/phoenixd.log"
}

daemon_failed() {
	tap_not_ok "$1 starts"
	tap_note "its log:"
	tap_note "$(tail -n 30 "$2")"
	exit 1
}

# Kill a daemon and wait for its end: `kill_daemon PID [SIGNAL]`. Fails when it crashed instead of ending.
kill_daemon() {
	local status=0
	[[ -n $1 ]] || return 0
	kill -"${2:-TERM}" "$1" 2>/dev/null || true
	for _ in $(seq 100); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || status=$?
	case $status in
	0 | 127 | 137 | 143) ;; # ended by itself, not our child (a kept demonstration's), by SIGKILL or by SIGTERM
	*) return 1 ;;
	esac
}

# For the trap on EXIT, or the last thing that a script's own trap calls: `phoenix_exit [STATUS]`.
# shellcheck disable=SC2317 # called by the trap
phoenix_exit() {
	local status=${1:-$?}
	trap - EXIT
	trap '' INT TERM HUP
	if ((status != 0)) && [[ -d $PH_WORK ]]; then
		for log in phoenix-host phoenixd; do
			tap_note "end of $log's log:"
			tap_note "$(tail -n 40 "$PH_WORK/$log.log" 2>/dev/null)"
		done
	fi
	phoenix_down || true
	((tap_failed == 0 || status != 0)) || status=1
	exit "$status"
}

daemon_crashed() {
	tap_not_ok "$1 ends without crashing"
	tap_note "the end of its log:"
	tap_note "$(tail -n 60 "$PH_WORK/$1.log" 2>/dev/null)"
}

# Take everything of phoenix_up's away again, also what a broken daemon would leave.
phoenix_down() {
	local name
	[[ -n $PH_WORK ]] || return 0
	if [[ -n $PH_DAEMON_PID ]]; then
		for name in $(timeout 20 "$PH_BIN/phoenixctl" --socket "$PH_WORK/run/control.sock" --json list 2>/dev/null |
			jq -r '.. | objects | .name? // empty' 2>/dev/null | sort -u); do
			timeout $((60 * PH_TIME_SCALE)) "$PH_BIN/phoenixctl" --socket "$PH_WORK/run/control.sock" \
				remove "$name" >/dev/null 2>&1 || true
		done
	fi
	kill_daemon "$PH_DAEMON_PID" || daemon_crashed phoenixd
	kill_daemon "$PH_HOST_PID" || daemon_crashed phoenix-host
	PH_DAEMON_PID='' PH_HOST_PID=''
	"$PH_ROOT/tests/support/sweep" "$PH_WORK" "$PH_BRIDGE"
	PH_WORK=
}
