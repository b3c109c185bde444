#!/bin/bash
# The escape suite: what a container's root tries, under every layer alone, under all of them, under none, against
# what the host's own root can do (the control). Small containers that hold nothing but the program; the nested
# ones, and what Docker needs end to end, are docker-needs.sh.
# Prints one line per attempt and condition, then tables; the raw results (JSON lines) go to PH_ESCAPE_RESULTS.
# PH_ESCAPE_CONDITIONS chooses among the conditions (tests/support/escape.sh): all of them in User-Mode Linux, in
# the guests those that the product has, stacked in one of them, unless it is set.
# beds: uml guest
# deadline: 400
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"
# shellcheck source=tests/support/escape.sh
. "$(dirname "$0")/../support/escape.sh"
results=${PH_ESCAPE_RESULTS:-/tmp/escape-results.jsonl}
joined=/tmp/escape-joined.json
case $PH_BED in
guest13) conditions=(named stacked) ;;
guest*) conditions=(named) ;;
*) conditions=(privileged only-{userns,apparmor,seccomp,devices} unconfined named stacked mount-api) ;;
esac
[[ -z ${PH_ESCAPE_CONDITIONS:-} ]] || read -ra conditions <<<"$PH_ESCAPE_CONDITIONS"

# Try everything under one condition; a container that is not to be held by much may change the host.
try() {
	local condition=$1 start=$SECONDS difference options=(--json)
	# The other policy, for newer systemds: what it may differ in.
	[[ $condition != mount-api ]] || options+=(--wall seccomp)
	escape_load
	escape_state >/tmp/escape-before
	escape_small "$condition" "${options[@]}" >>"$results" || true
	tap_note "$condition: $(grep -c "\"condition\":\"$condition\"" "$results") attempts, $((SECONDS - start)) s"
	case $condition in
	named | stacked | mount-api | unconfined | only-userns)
		escape_state >/tmp/escape-after
		difference=$(diff /tmp/escape-before /tmp/escape-after) || true
		tap_is "$condition: nothing global on the host has changed" "$difference" ''
		;;
	esac
}

figure() { jq -r ".table[] | select(.condition == \"$1\") | .$2" "$joined"; }

# `at_least TITLE NUMBER LEAST`
at_least() { tap_run "$1" test "$2" -ge "$3"; }

judge() {
	local condition
	for condition in "${conditions[@]}"; do
		case $condition in
		named | stacked)
			tap_is "$condition: none of $(figure "$condition" stopped) attempts gets through" \
				"$(figure "$condition" through)" 0
			at_least "$condition: that many were tried" "$(figure "$condition" stopped)" 76
			tap_is "$condition: all of $(figure "$condition" allowed) operations that Docker needs work" \
				"$(figure "$condition" allowed_done)" "$(figure "$condition" allowed)"
			at_least "$condition: that many are needed" "$(figure "$condition" allowed)" 39
			;;
		# File systems in its own user and mount namespace, which the policy is there for.
		mount-api)
			tap_is 'mount-api: only mounts of its own get through' "$(jq -r '.table[] | select(.condition == "mount-api") |
				.through_names[] | select(test("^mount-api/((ramfs|proc|sysfs) .*by move_mount|fsopen by the 32-bit gate)$") | not)' \
				"$joined")" ''
			at_least 'mount-api: that many are stopped' "$(figure mount-api stopped)" 40
			;;
		# The suite bites: where a layer is missing, attempts get through.
		unconfined) at_least "unconfined: $(figure unconfined through) attempts get through" "$(figure unconfined through)" 20 ;;
		privileged) at_least "privileged: $(figure privileged through) attempts get through" "$(figure privileged through)" 100 ;;
		esac
	done
}

show_tables() {
	local format='# %-16s %7s %7s %7s %7s %7s %9s %7s\n' row
	# shellcheck disable=SC2059 # one format for the head and the rows
	printf "$format" condition denied stopped through absent control allowed policy
	jq -r '.table[] | [.condition, .denied, .stopped, .through, .absent, -.without_control, "\(.allowed_done)/\(.allowed)",
		"\(.policy_as_decided)/\(.policy)"] | map(tostring) | join(" ")' "$joined" | while read -ra row; do
		# shellcheck disable=SC2059
		printf "$format" "${row[@]}"
	done
	jq -r '.layers[] | "# \(.wall) alone: had to stop \(.claimed), stopped \(.stopped) of them and \(.more) others"' "$joined"
}

# What the product began with: three rules, which alone start no container, and which leave Docker without these
# operations where LXC's own rules are added.
literal_profile() {
	local lacks=(proc 'sysfs writable' cgroup2 devpts overlay 'rbind /' pivot_root 'sysctl as runc writes it') name
	escape_load_literal
	tap_exits 'the literal three-rule profile starts no container' 1 escape_small_start escape-literal literal
	escape_small literal-on-base --json --group allowed >/tmp/escape-literal.jsonl || true
	for name in "${lacks[@]}"; do
		tap_is "the three rules on LXC's own: $name is refused" \
			"$(jq -r --arg name "$name" 'select(.name == $name) | .outcome' /tmp/escape-literal.jsonl)" refused
	done
	tap_note "refused: $(jq -r 'select(.outcome != "done") | .name' /tmp/escape-literal.jsonl | paste -s -d ,)"
}

[[ -d /sys/kernel/security/apparmor ]] || { tap_skip 'the escape suite' 'no AppArmor in this kernel' && tap_done; }
escape_prepare
trap escape_clean EXIT
if [[ " ${conditions[*]} " == *' stacked '* ]] && ! escape_stacked_prepare; then
	tap_skip stacked "$escape_reason"
	read -ra conditions <<<"${conditions[*]/stacked/}"
fi
escape_host --json >"$results" || true
for condition in "${conditions[@]}"; do
	try "$condition"
done
escape_join "$results" >"$joined"
escape_tap control "$joined"
[[ ! " ${conditions[*]} " =~ \ (named|stacked)\  ]] || escape_tap confined "$joined"
[[ ${conditions[*]} != *only-* ]] || escape_tap walls "$joined"
judge
literal_profile
show_tables
tap_done
