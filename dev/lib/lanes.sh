# shellcheck shell=bash
# Runs the scripts of tests/system side by side, in one lane more than this machine has processors (what runs natively
# waits half of its time), and leaves of each its log (LOGS/BED-NAME.log) and its status and seconds
# (LOGS/BED-NAME.status).
#
# A lane takes what is next from the queues: first what runs on this machine itself, which only the first lane does,
# for two fleets would collide in the names of their ports and control groups; then User-Mode Linux, which has one
# processor and a boot of its own for each script; then the guests, one boot each.
# Needs dev/lib/common.sh, dev/lib/container-images.sh, dev/lib/system-runs.sh; LOGS and PH_PRESET are the caller's.

QUEUES=         # folder with native, uml and guest: lines of "BED NAME SECONDS KIND SCRIPT" or "BED"

# Begin with empty queues.
lanes_begin() {
	QUEUES=$(mktemp -d "${TMPDIR:-/tmp}/phoenix-lanes.XXXXXX")
	: >"$QUEUES/native"
	: >"$QUEUES/uml"
	: >"$QUEUES/guest"
	rm -f "$LOGS"/*.status
}

# Put a bed's runs (the lines of system_runs) into its queue: `lanes_add BED RUNS`.
lanes_add() {
	case $1 in
	guest* | zfs)
		printf '%s\n' "$2" >"$QUEUES/$1.runs"
		echo "$1" >>"$QUEUES/guest"
		;;
	*) while read -r; do echo "$1 $REPLY"; done <<<"$2" >>"$QUEUES/$1" ;;
	esac
}

# Run all that is queued, and wait for it, PH_TEST_MINUTES at most since the shell began.
lanes_run() {
	local lane running=() watchdog ended
	for ((lane = 0; lane <= $(nproc); lane++)); do
		# In a process group of its own: what runs in the background doesn't hear ^C, lanes_end tells it.
		set -m
		run_lane "$lane" </dev/null &
		set +m
		running+=("$!")
	done
	sleep $((${PH_TEST_MINUTES:-80} * 60 - SECONDS)) &
	watchdog=$!
	while ((${#running[@]})); do
		wait -n -p ended "$watchdog" "${running[@]}" || true
		if [[ $ended == "$watchdog" ]]; then
			say "the time is over (PH_TEST_MINUTES=${PH_TEST_MINUTES:-80}): stopping what still runs"
			end_lanes "${running[@]}"
			return
		fi
		mapfile -t running < <(printf '%s\n' "${running[@]}" | grep -vx "$ended")
	done
	kill "$watchdog"
}

# Tell lanes to end, and wait until what they run has cleaned up: `end_lanes PROCESS...`.
end_lanes() {
	local lane
	for lane; do
		kill -TERM -- "-$lane" 2>/dev/null || kill -TERM "$lane" 2>/dev/null || true
	done
	wait "$@" || true
}

# End all lanes, whenever and however the tests end.
lanes_end() {
	local running
	running=$(jobs -p)
	# shellcheck disable=SC2086 # one a line
	[[ -z $running ]] || end_lanes $running
	[[ -z $QUEUES ]] || rm -rf "$QUEUES"
}

# Take the first line of a queue: `take_next QUEUE`; fails when nothing is left in it.
take_next() {
	local line lock
	exec {lock}>"$QUEUES/lock"
	flock "$lock"
	line=$(head -n 1 "$QUEUES/$1")
	sed -i 1d "$QUEUES/$1"
	exec {lock}>&-
	[[ -n $line ]] && printf '%s\n' "$line"
}

run_lane() {
	local queue line queues=(uml guest)
	(($1 > 0)) || queues=(native uml guest)
	# Whoever is told to end waits for what it runs, which was told too and cleans up.
	trap 'rm -f "$QUEUES"/{native,uml,guest}' TERM
	for queue in "${queues[@]}"; do
		while line=$(take_next "$queue" 2>/dev/null); do
			if [[ $queue == guest ]]; then
				run_in_guest "$line" "$(<"$QUEUES/$line.runs")"
			else
				# shellcheck disable=SC2086 # its words
				run_one $line
			fi
		done
	done
}

# Hand a script's output on, each line with its run's name in front, and keep it: `keep_output LOG PREFIX`.
keep_output() {
	# Whoever ends the tests ends the script, which still has something to say.
	trap '' TERM INT
	tee "$1" | sed -u "s|^|$2: |"
}

# Run one script: `run_one BED NAME SECONDS KIND SCRIPT`.
run_one() {
	local bed=$1 name=$2 seconds=$3 script=$5 log=$LOGS/$1-$2.log start=$SECONDS status=0
	PH_IMAGE=$(run_image "$bed" "$4" "$script")
	export PH_IMAGE
	"run_on_$bed" "$script" "$seconds" "$name" 2>&1 | keep_output "$log" "$bed/$name" || status=${PIPESTATUS[0]}
	# Now and then a Go program stands still in User-Mode Linux (docs/test-beds.md): the bed then ends by its
	# deadline, and the script gets one more try. A failed test gets none.
	if [[ $bed == uml && $status == 124 ]] && ! grep -q '^not ok' "$log"; then
		say "$bed/$name: the bed stood still; once more"
		status=0
		"run_on_$bed" "$script" "$seconds" "$name" 2>&1 | keep_output "$log" "$bed/$name" ||
			status=${PIPESTATUS[0]}
	fi
	leave_status "$bed-$name" "$status" $((SECONDS - start))
}

# `leave_status RUN STATUS SECONDS`
leave_status() {
	echo "$2 $3" >"$LOGS/$1.status"
	say "$1: $3 s, status $2"
}

# One script at a time on this machine, whoever runs it.
run_on_native() {
	PH_BED=native flock --close /run/lock/phoenix-native.lock timeout -k 60 "$2" "$1"
}

run_on_uml() {
	PH_BED_KEEP_LOG=$LOGS/uml-$3-console.log "$REPO/tests/vm/uml" --deadline "$2" "$1"
}

# Run a guest's scripts in one boot; a script that takes the machine with it fails, and those after it get another.
run_in_guest() {
	local bed=$1 runs=$2 log=$LOGS/$1.log arguments deadline status name seconds kind script image
	while [[ -n $runs ]]; do
		arguments=() deadline=300 status=0
		while read -r name seconds kind script; do
			image=$(run_image "$bed" "$kind" "$script")
			arguments+=("$name" "$seconds" "$image" "$script")
			deadline=$((deadline + seconds))
		done <<<"$runs"
		say "$bed: one boot, $((${#arguments[@]} / 4)) runs"
		# The guest's console ends its lines with CR LF.
		PH_BED_KEEP_LOG=$LOGS/$bed-console.log "$REPO/tests/vm/$bed" --deadline "$deadline" \
			"$REPO/dev/lib/run-several" "${arguments[@]}" 2>&1 | sed -u 's/\r$//' | keep_output "$log" "$bed" ||
			status=${PIPESTATUS[0]}
		if ! grep -q '^@@ begin ' "$log"; then
			say "$bed: no script began, status $status"
			return
		fi
		split_guest_log "$bed" "$log" "$status"
		# They run in this order: what is left are the last ones.
		runs=$(tail -n +$(($(grep -c '^@@ begin ' "$log") + 1)) <<<"$runs")
	done
}

# Leave the logs and statuses of the scripts that a boot began, each from its own part of the boot's log.
split_guest_log() {
	local bed=$1 log=$2 status=$3 name result seconds
	while read -r name; do
		sed -n "/^@@ begin $name\$/,/^@@ end $name /{/^@@/!p}" "$log" >"$LOGS/$bed-$name.log"
		read -r result seconds < <(sed -n "s/^@@ end $name //p" "$log") || result=$status seconds='?'
		leave_status "$bed-$name" "$result" "$seconds"
	done < <(sed -n 's/^@@ begin //p' "$log")
}
