# shellcheck shell=bash
# What the bed runners share: options, the job's folder, the deadline, the exit status, cleaning up.
# Needs dev/lib/common.sh. A runner defines `boot_bed` (start the machine in the foreground; its standard
# output is the command's output), names itself in BED and the bed's init in BED_INIT, and calls `run_bed "$@"`.

bed_usage() {
	cat >&2 <<-END
	usage: tests/vm/$BED [--deadline SECONDS] [--console] COMMAND [ARGUMENT...]

	Boots the $BED bed, runs COMMAND in it as root, in this folder (the checkout is there at the same path, read-only),
	prints its output as it comes and exits with its status. 125: the bed itself failed, 124: the deadline passed.
	PH_* variables are handed on; PH_BED and PH_TIME_SCALE are set inside.
	--console  also shows what the kernel says
	END
	exit 2
}

run_bed() {
	# shellcheck disable=SC2153 # the runner sets it
	local deadline=$DEADLINE console=
	while (($#)); do
		case $1 in
		--deadline) deadline=${2:?} && shift 2 ;;
		--console) console=1 && shift ;;
		-*) bed_usage ;;
		*) break ;;
		esac
	done
	(($#)) || bed_usage
	JOB=$(mktemp -d "${TMPDIR:-/tmp}/phoenix-$BED.XXXXXX")
	machine='' follower='' watchdog=''
	trap 'clean_up' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	write_job "$@"
	: >"$JOB/console.log"
	run_machine "$deadline" "$console"
}

write_job() {
	install -m 755 "$REPO/tests/vm/init-$BED_INIT" "$JOB/init"
	printf '%s\n' "$BED" >"$JOB/bed"
	install -m 755 "$REPO/tests/vm/inner" "$JOB/inner"
	printf '%s\n' "$REPO" >"$JOB/tree"
	{
		# What says where the command is comes from the bed itself.
		(unset PH_BED PH_TIME_SCALE && declare -px "${!PH_@}" 2>/dev/null) || true
		printf 'cd %q\n' "$PWD"
		printf 'exec'
		printf ' %q' "$@"
		printf '\n'
	} >"$JOB/command"
}

run_machine() {
	local deadline=$1 console=$2 status=0 ended
	[[ -z $console ]] || { tail -f "$JOB/console.log" >&2 & follower=$!; }
	# A PID namespace: whatever ends its first process, or this one, ends the whole machine, helpers included.
	setpriv --pdeathsig KILL unshare --pid --mount --fork --kill-child --mount-proc \
		bash -c "$(declare -f boot_bed); boot_bed" </dev/null &
	machine=$!
	sleep "$deadline" &
	watchdog=$!
	wait -n -p ended "$machine" "$watchdog" || status=$?
	if [[ -s $JOB/exit ]]; then
		exit "$(<"$JOB/exit")"
	elif [[ $ended == "$watchdog" ]]; then
		explain_failure 124 "still running after its deadline of $deadline s, stopped"
	fi
	explain_failure 125 "the machine ended (status $status) before the command did"
}

explain_failure() {
	local result=$1 reason=$2
	printf '%s bed: %s. The end of its console:\n' "$BED" "$reason" >&2
	{
		# The first complaint tells more than the register dump behind it.
		grep -m 3 -n -E 'Kernel panic|BUG:|Oops' "$JOB/console.log" || true
		tail -n 25 "$JOB/console.log"
	} | tr -d '\r' | sed 's/^/| /' >&2
	exit "$result"
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	trap - EXIT INT TERM HUP
	local process
	for process in $machine $follower $watchdog; do
		kill -KILL "$process" 2>/dev/null || true
		wait "$process" 2>/dev/null || true
	done
	if [[ -n ${PH_BED_KEEP_LOG:-} ]]; then
		cp "$JOB/console.log" "$PH_BED_KEEP_LOG" || true
	fi
	rm -rf "$JOB"
}
