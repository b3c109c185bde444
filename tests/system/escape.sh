#!/bin/bash
# The escape suite: what a container's root tries, under every layer alone, under all of them, under none, against
# what the host's own root can do (the control). Small containers that hold nothing but the program; the nested
# ones, and what Docker needs end to end, are docker-needs.sh.
# Prints one line per attempt and condition, then tables; the raw results (JSON lines) go to PH_ESCAPE_RESULTS.
# PH_ESCAPE_CONDITIONS chooses among the conditions (tests/support/escape.sh).
# By hand: tests/vm/uml --deadline 300 tests/system/escape.sh
# beds: uml
# deadline: 400
set -uo pipefail
# shellcheck source=tests/support/escape.sh
. "$(dirname "$0")/../support/escape.sh"
results=${PH_ESCAPE_RESULTS:-/tmp/escape-results.jsonl}
read -ra conditions <<<"${PH_ESCAPE_CONDITIONS:-privileged only-userns only-apparmor only-seccomp only-devices unconfined named stacked mount-api}"
count=0 failed=0

report() { # GOOD TEXT
	count=$((count + 1))
	if (($1)); then echo "ok - $2"; else failed=$((failed + 1)) && echo "not ok - $2"; fi
}
# Print lines of the joined results, counting what failed among them.
print_lines() {
	local lines
	lines=$(jq -r ".$1[]" "$joined")
	[[ -z $lines ]] || printf '%s\n' "$lines"
	count=$((count + $(grep -c . <<<"$lines")))
	failed=$((failed + $(grep -c '^not ok' <<<"$lines")))
	((count > 0)) || failed=1
}
figure() { jq -r ".table[] | select(.condition == \"$1\") | .$2" "$joined"; }

[[ -d /sys/kernel/security/apparmor ]] || { echo '1..0 # SKIP no AppArmor in this kernel' && exit 0; }
[[ -x $ESCAPE ]] || { echo "not ok - the program is not built: $ESCAPE" && exit 1; }
escape_prepare
trap escape_clean EXIT
if [[ " ${conditions[*]} " == *' stacked '* ]] && ! escape_stacked_prepare; then
	echo "ok - stacked # SKIP $escape_reason"
	conditions=("${conditions[@]/stacked/}")
fi
escape_host --json >"$results"
for condition in ${conditions[*]}; do
	escape_load
	"$ESCAPE" --state >/tmp/escape-before
	start=$SECONDS
	options=(--json)
	# The other policy, for newer systemds: what it may differ in.
	[[ $condition != mount-api ]] || options+=(--wall seccomp)
	escape_small "$condition" "${options[@]}" >>"$results" || true
	echo "# $condition: $(grep -c "\"condition\":\"$condition\"" "$results") attempts, $((SECONDS - start)) s"
	"$ESCAPE" --state >/tmp/escape-after
	case $condition in
	named | stacked | mount-api | unconfined | only-userns)
		difference=$(diff /tmp/escape-before /tmp/escape-after)
		report $((${#difference} == 0)) "$condition: nothing global on the host has changed"
		[[ -z $difference ]] || printf '# %s\n' "${difference//$'\n'/$'\n'# }"
		;;
	esac
done

joined=/tmp/escape-joined.json
jq -s -f "$ESCAPE_TREE/tests/escape/escape.jq" "$results" >"$joined" || exit 1
print_lines control
print_lines confined
print_lines walls
for condition in ${conditions[*]}; do
	[[ $condition == named || $condition == stacked ]] || continue
	report $(($(figure "$condition" through) == 0 && $(figure "$condition" denied) >= 76)) \
		"$condition: none of $(figure "$condition" stopped) attempts got through"
	report $(($(figure "$condition" allowed) >= 39 && $(figure "$condition" allowed) == $(figure "$condition" allowed_done))) \
		"$condition: all of $(figure "$condition" allowed) operations that Docker needs work"
done
# The suite bites: where a layer is missing, attempts get through.
for condition in ${conditions[*]}; do
	case $condition in
	unconfined) report $(($(figure unconfined through) >= 20)) "unconfined: $(figure unconfined through) attempts get through" ;;
	# File systems in its own user and mount namespace, which the policy is there for.
	mount-api)
		beyond=$(jq -r '.table[] | select(.condition == "mount-api") | .through_names[]' "$joined" |
			grep -vE '^mount-api/((ramfs|proc|sysfs) .*by move_mount|fsopen by the 32-bit gate)$')
		report $((${#beyond} == 0 && $(figure mount-api stopped) >= 40)) \
			"mount-api: $(figure mount-api stopped) attempts are stopped, only mounts of one's own get through${beyond:+, and $beyond}"
		;;
	privileged) report $(($(figure privileged through) >= 100)) "privileged: $(figure privileged through) attempts get through" ;;
	esac
done
printf '# %-16s %7s %7s %7s %7s %7s %9s %7s\n' condition denied stopped through absent control allowed policy
jq -r '.table[] | [.condition, .denied, .stopped, .through, .absent, .without_control, "\(.allowed_done)/\(.allowed)",
	"\(.policy_as_decided)/\(.policy)"] | @tsv' "$joined" |
	while IFS=$'\t' read -r a b c d e f g h; do printf '# %-16s %7s %7s %7s %7s %7s %9s %7s\n' "$a" "$b" "$c" "$d" "$e" "-$f" "$g" "$h"; done
jq -r '.layers[] | "# \(.wall) alone: had to stop \(.claimed), stopped \(.stopped) of them and \(.more) others"' "$joined"
printf '1..%d\n' "$count"
exit $((failed != 0))
