#!/bin/bash
# Every rule of the profile has to be good for something. Each is taken out in turn, the rest compiled and loaded:
# - an allowing rule, under a running container: an operation that Docker needs (tests/escape) or that the host does to
#   a container has to break;
# - a denying one, in a container that has no wall but the profile: an attempt to break out has to get further;
# - what only the profile of stacked containers has, under processes that such a label holds;
# - what only hosts with control groups of version 1 have, against the text that the others have.
# What breaks nothing has to stand in profiles/lxc-phoenix-v2.justified with its reason, and nothing else may.
# A sample, picked by the profile's text, and every rule that docs/profile-rules.md does not have yet.
# PH_RULES=all takes all of them, new only those that the document lacks, 2/4 the second of four parts, allow or deny
# one kind, any other text those that it matches as a regular expression; PH_TABLE names a file for the document's tables.
# By hand: PH_RULES=all tests/vm/uml --deadline 1800 tests/system/minimality.sh
# beds: uml
# deadline: 300
set -uo pipefail
# shellcheck source=tests/support/escape.sh
. "$(dirname "$0")/../support/escape.sh"
# shellcheck source=tests/support/rules.sh
. "$ESCAPE_TREE/tests/support/rules.sh"
JUSTIFIED=$ESCAPE_TREE/profiles/$ESCAPE_PROFILE.justified
RECORDED=$ESCAPE_TREE/docs/profile-rules.md
# One in so many rules belongs to the sample.
STRIDE=16
HELD=escape-held
count=0 failed=0

report() { # GOOD TEXT
	count=$((count + 1))
	if (($1)); then echo "ok $count - $2"; else failed=$((failed + 1)) && echo "not ok $count - $2"; fi
}

# The reason why a rule may break nothing on this bed; fails when it has none.
reason_of() {
	awk -F '\t' -v rule="$1" -v bed="$PH_BED" '$1 == rule && ($2 == "all" || index(" " $2 " ", " " bed " ")) {
		print $3; found = 1 } END { exit !found }' "$JUSTIFIED"
}

is_recorded() { grep -qF "| \`$1\` |" "$RECORDED"; }
# Whether it is a rule's turn: `is_chosen NUMBER KIND RULE`.
is_chosen() {
	case ${PH_RULES:-} in
	all) return 0 ;;
	new) ! is_recorded "$3" ;;
	[1-9]*/[1-9]*) (($1 % ${PH_RULES#*/} == ${PH_RULES%/*} % ${PH_RULES#*/})) ;;
	allow | deny) [[ $2 == "$PH_RULES" ]] ;;
	'') (($1 % STRIDE == seed % STRIDE)) || ! is_recorded "$3" ;;
	*) [[ $3 =~ $PH_RULES ]] ;;
	esac
}

attempts() { # CONTAINER OPTIONS...: the lines of the program; "ended" when it could not say anything
	local name=$1 output=$ESCAPE_BASE/output status=0
	shift
	timeout 60 lxc-attach -P "$ESCAPE_BASE" -n "$name" --clear-env -- /root/escape --json "$@" \
		</dev/null >"$output" 2>/dev/null || status=$?
	# It waits for ever for a child that it may not kill; so does whoever reads its output from a pipe.
	((status != 124)) || escape_stop "$name"
	if [[ -s $output ]]; then cat "$output"; elif ((status)); then echo ended; fi
}
# Print what does not work under what is loaded, one a line. What the rule's words point at is tried first, and the rest
# only where that works: `broken_needs RULE`.
broken_needs() {
	local lines word
	for word in $(rules_words "$1") ''; do
		lines=$(attempts "$HELD" --group allowed --only "$word")
		[[ $lines != *ended ]] || { echo 'no program runs' && return; }
		lines=$(grep '^{' <<<"$lines" | jq -r 'select(.outcome != "done") | .theme + "/" + .name')
		[[ -z $lines ]] || break
	done
	if [[ -n $lines ]]; then echo "$lines"; else broken_by_host "$(held_init)"; fi
}
# Print what gets through where the profile is the only wall and did not with every rule, one a line: `got_through RULE`.
got_through() {
	local name=escape-variant word lines=
	escape_small_start "$name" only-apparmor >/dev/null || { echo 'the container does not start' && return; }
	for word in $(rules_words "$1") ''; do
		lines=$(attempts "$name" --group denied --wall apparmor --only "$word" | grep '^{' |
			jq -r 'select(.outcome == "done") | .theme + "/" + .name + (if .access == "" then "" else " (\(.access))" end)' |
			sort | comm -13 "$through" -)
		[[ -z $lines ]] || break
	done
	printf '%s' "${lines:+$lines$'\n'}"
	escape_stop "$name"
	rm -rf --one-file-system "${ESCAPE_BASE:?}/$name"
}

held_init() { lxc-info -P "$ESCAPE_BASE" -n "$HELD" -pH 2>/dev/null; }
is_held() {
	local pid
	pid=$(held_init) && [[ -n $pid && $(cat "/proc/$pid/attr/apparmor/current") == "$ESCAPE_PROFILE (enforce)" ]]
}
# The container that the allowing rules are taken from: anew when the last rule has cost it its life.
hold() {
	is_held && return
	escape_load
	lxc-stop -P "$ESCAPE_BASE" -n "$HELD" -k 2>/dev/null
	escape_small_start "$HELD" named
}

# Judge one rule: `judge KIND RULE WHAT-BREAKS`.
judge() {
	local reason what
	what=$(head -n 3 <<<"$3" | paste -sd, | sed 's/,/, /g')
	(($(grep -c . <<<"$3") <= 3)) || what+=" and $(($(grep -c . <<<"$3") - 3)) more"
	if reason=$(reason_of "$2"); then
		if [[ -z $3 ]]; then
			report 1 "nothing breaks without '$2': $reason"
		else
			report 0 "'$2' is justified in $(basename "$JUSTIFIED"), but is needed: $what"
		fi
		what=${3:+$what}
		printf '| `%s` | %s |\n' "$2" "${what:-$reason}" >>"$table.justified"
		return
	fi
	if [[ -n $3 ]]; then report 1 "without '$2': $what"; else report 0 "'$2' is good for nothing"; fi
	printf '| `%s` | %s |\n' "$2" "${what:-**nothing**}" >>"$table.$1"
}

try_allowing() { # LINE RULE
	local broken=
	hold || { report 0 "no container for '$2'" && return; }
	if ! rules_load_without "$1"; then
		broken='the rest does not compile'
	elif rules_changed; then
		broken=$(broken_needs "$2")
	fi
	judge allow "$2" "$broken"
}
try_denying() { # LINE RULE
	local further=
	if rules_load_without "$1"; then
		if rules_changed; then further=$(got_through "$2"); fi
		judge deny "$2" "$further"
	else
		report 0 "the profile does not compile without '$2'"
	fi
}

# What another rendering has and the named one on this host has not: `list_more TEXT`.
list_more() { rules_list "$1" | awk -F '\t' 'NR == FNR { named[$3] = 1; next } !($3 in named)' "$ESCAPE_BASE/rules" -; }
# With its name as the named one's.
list_stacked() {
	sed "s/$ESCAPE_PROFILE-stacked/$ESCAPE_PROFILE/g" "$ESCAPE_STACKED_TEXT" >"$ESCAPE_BASE/stacked.renamed"
	list_more "$ESCAPE_BASE/stacked.renamed"
}
try_stacked() { # LINE KIND RULE
	local broken=
	if rules_load_without "$1"; then
		if rules_changed; then broken=$(broken_by_stack) || broken+=' the attempts ended'; fi
		judge "$2" "$3" "$broken"
	else
		report 0 "the stacked profile does not compile without '$3'"
	fi
}
try_all_stacked() {
	local line kind rule broken tried=
	list_stacked >"$ESCAPE_BASE/rules.stacked"
	RULES_TEXT=$ESCAPE_STACKED_TEXT
	rm -f "$ESCAPE_BASE/whole"
	while IFS=$'\t' read -r line kind rule <&3; do
		number=$((number + 1))
		is_chosen "$number" "$kind" "$rule" || continue
		if [[ -z $tried ]]; then
			tried=yes broken=$(broken_by_stack) || broken+=' the attempts ended'
			report $((${#broken} == 0)) "with every rule all works in a policy namespace${broken:+, but not: ${broken//$'\n'/, }}"
		fi
		try_stacked "$line" "$kind" "$rule"
	done 3<"$ESCAPE_BASE/rules.stacked"
}

# What hosts with control groups of version 1 have more. Without the rule is how this host's text has it: the frame's
# list of all other file systems, which are denied, is then one longer.
try_version1() {
	local kind rule broken text=$ESCAPE_BASE/version1.text
	rules_render_version1 "$text" || { report 0 'the profile of a host with version 1 is rendered' && return; }
	list_more "$text" >"$ESCAPE_BASE/rules.version1"
	report $(($(wc -l <"$ESCAPE_BASE/rules.version1") == 1)) 'such a host has one rule more'
	while IFS=$'\t' read -r _ kind rule <&3; do
		number=$((number + 1))
		is_chosen "$number" "$kind" "$rule" || continue
		broken='the text does not compile'
		! apparmor_parser -r -K "$text" || broken=$(broken_by_version1)
		report $((${#broken} == 0)) "with '$rule' a hierarchy can be mounted${broken:+, but not: $broken}"
		apparmor_parser -r -K "$ESCAPE_PROFILE_TEXT" || report 0 "the text without '$rule' compiles"
		judge "$kind" "$rule" "$(broken_by_version1)"
	done 3<"$ESCAPE_BASE/rules.version1"
}

# Reasons for rules that are no more: `check_justified`.
check_justified() {
	local rule
	while IFS=$'\t' read -r rule _; do
		[[ $rule != '#'* && -n $rule ]] || continue
		report "$(rules_know "$rule")" "the justified '$rule' is a rule"
	done <"$JUSTIFIED"
}

[[ -d /sys/kernel/security/apparmor ]] || { echo '1..0 # SKIP no AppArmor in this kernel' && exit 0; }
[[ -x $ESCAPE ]] || { echo "not ok 1 - the program is not built: $ESCAPE" && exit 1; }
escape_prepare
trap 'escape_stop "$HELD" 2>/dev/null; escape_clean' EXIT
table=$ESCAPE_BASE/table through=$ESCAPE_BASE/through
: >"$through"
seed=$(cksum <"$ESCAPE_PROFILE_TEXT") seed=${seed%% *}
needs=$("$ESCAPE" --list --group allowed | wc -l)
check_justified
hold || { report 0 'the container starts' && exit 1; }
broken=$(broken_needs '')
report $((${#broken} == 0)) "with every rule all of $needs operations work${broken:+, but not: ${broken//$'\n'/, }}"
number=0
rules_list "$ESCAPE_PROFILE_TEXT" >"$ESCAPE_BASE/rules"
RULES_TEXT=$ESCAPE_PROFILE_TEXT
while IFS=$'\t' read -r line kind rule <&3; do
	number=$((number + 1))
	is_chosen "$number" "$kind" "$rule" || continue
	# What gets through with every rule is measured once, and only when it is asked for.
	[[ $kind == allow || -s $through ]] || { escape_load && got_through '' >"$ESCAPE_BASE/all" && mv "$ESCAPE_BASE/all" "$through"; }
	case $kind in
	allow) try_allowing "$line" "$rule" ;;
	deny) try_denying "$line" "$rule" ;;
	esac
done 3<"$ESCAPE_BASE/rules"
if [[ -d /sys/fs/cgroup/memory ]]; then
	report 1 'the rules of a host with version 1 # SKIP this is one: they are among the others'
else
	try_version1
fi
if escape_stacked_prepare; then
	try_all_stacked
else
	report 1 "the rules of stacked containers # SKIP $escape_reason"
fi
escape_load
[[ -z ${PH_TABLE:-} ]] || rules_print_tables "$table" >"$PH_TABLE"
printf '1..%d\n' "$count"
exit $((failed != 0))
