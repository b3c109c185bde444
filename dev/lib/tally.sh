# shellcheck shell=bash
# Counts test cases for dev/test: in ctest's log (cmocka prints TAP, one line a case) and in system scripts' TAP.
# Needs dev/lib/common.sh.

passed=0 failed=0 skipped=0
skips=() failures=()

# Count the cases in the verbose log of a ctest run, and print all that a failing program printed.
#
# A program that printed no TAP counts as one case; one that ended badly without a failed case is one failed case.
# A line `SKIP: reason` before a case's own line is something that the case could not do here: the whole case
# where cmocka says so (`# SKIP`), else a skip beside a passed case.
tally_ctest() {
	local kind detail
	while IFS=$'\t' read -r kind detail; do
		note_case "$kind" "$detail"
	done < <(awk -f "$REPO/dev/lib/ctest-cases.awk" "$1")
}

# Count the cases in what a system script printed: `tally_script NAME LOG EXIT-STATUS`.
tally_script() {
	local name=$1 log=$2 status=$3 line before=$failed planned=
	while IFS= read -r line; do
		case $line in
		'ok '[0-9]*'# SKIP'*) note_case skip "$name: ${line#ok * - }" ;;
		'ok '[0-9]*) note_case pass "$name: ${line#ok * - }" ;;
		'not ok '[0-9]*) note_case fail "$name: ${line#not ok * - }" ;;
		1..[0-9]*) planned=1 ;;
		esac
	done < <(tr -d '\r' <"$log")
	if ((status != 0 && failed == before)); then
		note_case fail "$name: ended with status $status"
	elif [[ -z $planned && $failed == "$before" ]]; then
		note_case fail "$name: ended before its last test"
	fi
}

note_case() {
	case $1 in
	pass) passed=$((passed + 1)) ;;
	skip) skipped=$((skipped + 1)) && skips+=("$2") ;;
	fail) failed=$((failed + 1)) && failures+=("$2") ;;
	esac
}

# Print what was skipped and what failed, then the one line that sums it all up; the status says whether all is well.
print_tally() {
	local entry
	for entry in "${skips[@]}"; do
		printf 'SKIP %s\n' "$entry"
	done
	for entry in "${failures[@]}"; do
		printf 'FAIL %s\n' "$entry"
	done
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	((failed == 0))
}
