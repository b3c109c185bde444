#!/bin/bash
# Interrupted installs: the agent, apt or dpkg is killed with SIGKILL, or the disk becomes full, at seeded moments. The
# next apply ends verified each time; nothing is installed twice and no file of the user has changed. PH_POINTS=32 tries
# many moments, PH_SEED=N others, PH_KINDS=disk only some kinds.
# beds: native
# deadline: 700
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

: "${PH_SEED:=1}" "${PH_POINTS:=8}" "${PH_AT_ONCE:=3}" "${PH_KINDS:=agent apt dpkg disk}"
read -ra KINDS <<<"$PH_KINDS"
# A moment is so many thousandths of an install. The first part of it, until dpkg works, goes by time; the rest by what
# dpkg has done, which is the same however busy this machine is.
FETCH_PART=150
FETCH_MS=800    # within which apt fetches here
LOG_BYTES=      # what an undisturbed install writes into dpkg.log
OUTSIDE=(etc/user.conf root/notes srv/data/table etc/apt/apt.conf.d/99user usr/local/bin/tool usr/sbin/policy-rc.d)

# An image whose packages come from a repository of its own (copied, so that there are downloads to cut off), and that
# holds files of a user.
build_image() {
	local extra=$PH_WORK/extra file
	cp --reflink=auto "$("$PH_ROOT/dev/lib/container-image" offline)" "$PH_WORK/user.tar"
	mkdir -p "$extra/etc/docker" "$extra/etc/apt" "$extra/var/log"
	: >"$extra/var/log/dpkg.log"
	for file in "${OUTSIDE[@]}"; do
		mkdir -p "$extra/$(dirname "$file")"
		printf '// of the user: %s\n' "$file" >"$extra/$file"
	done
	printf '#!/bin/sh\n# of the user\nexit 0\n' >"$extra/usr/sbin/policy-rc.d"
	chmod 755 "$extra/usr/sbin/policy-rc.d"
	printf '{"log-driver": "local", "log-opts": {"max-size": "7m"}}\n' >"$extra/etc/docker/daemon.json"
	printf 'deb [trusted=yes] copy:/var/cache/phoenix-repository ./\n' >"$extra/etc/apt/sources.list"
	(cd "$extra" && find . -type f -print0 |
		tar --append --file "$PH_WORK/user.tar" --owner=0 --group=0 --null --files-from=-)
	ctl image import base "$PH_WORK/user.tar" >/dev/null
	rm -f "$PH_WORK/user.tar"
}

fleet() {
	cat >"$PH_WORK/$1.yaml" <<-END
	version: 1
	defaults: {image: base, confinement: $(confinement)}
	containers: [{name: $1, docker: {source: ${2:-distribution}}}]
	END
}

init_of() {
	ctl --json show "$1" | jq -r '.observed.init_pid // empty'
}

# Print the processes of a container: `processes INIT agent|apt-get|dpkg`. Quickly: they do not live long.
processes() {
	local pid
	if [[ $2 != agent ]]; then
		pgrep --ns "$1" --nslist pid --exact "$2" || true
		return
	fi
	for pid in $(pgrep --ns "$1" --nslist pid .); do
		[[ $(readlink "/proc/$pid/exe" 2>/dev/null) != /memfd:phoenix-agent* ]] || echo "$pid"
	done
}

installing() {
	[[ $(ctl --json show "$1" | jq -r .step) == 'install docker' ]]
}

in_container() {
	local init=$1
	shift
	nsenter --user --mount --setuid 0 --setgid 0 --target "$init" -- "$@"
}

# /usr and dpkg's database on a file system of their own, which can be made full in a moment.
prepare_disk() {
	# shellcheck disable=SC2016 # for the shell in the container
	in_container "$1" sh -ec '
		mount -t tmpfs -o size=1g tmpfs /mnt
		for part in usr var/lib/dpkg; do
			mkdir -p /mnt/$part
			cp -a /$part/. /mnt/$part
			mount --bind /mnt/$part /$part
		done'
}

# Files take what is left, large ones first: those are allocated without being written, in milliseconds. Making the
# file system smaller instead fails as soon as dpkg has written more between looking at what is used and shrinking to it.
fill_disk() {
	# shellcheck disable=SC2016 # for the shell in the container
	in_container "$1" sh -c '
		for size in 512 256 128 64 32 16 8; do
			fallocate --length ${size}M /mnt/filler$size 2>/dev/null || true
		done
		said=$(LC_ALL=C dd if=/dev/zero of=/mnt/filler bs=1M 2>&1)
		case $said in
		*"No space left on device"*) ;;
		*) echo "WRONG: the disk was not filled: $said" ;;
		esac'
}

free_disk() {
	in_container "$1" sh -c 'rm /mnt/filler*'
}

log_bytes() {
	stat --format %s "/proc/$1/root/var/log/dpkg.log" 2>/dev/null || echo 0
}

# Wait until an install has come to its moment, at most until it has ended: `await INIT NAME MOMENT`.
await() {
	local init=$1 name=$2 moment=$3 looks=0 wanted milliseconds
	milliseconds=$((moment < FETCH_PART ? moment * FETCH_MS / FETCH_PART : 0))
	wanted=$((moment < FETCH_PART ? 0 : 1 + (moment - FETCH_PART) * LOG_BYTES / (1000 - FETCH_PART)))
	sleep "$((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000)))"
	while (($(log_bytes "$init") < wanted)); do
		((++looks % 20)) || installing "$name" || return 0
	done
}

# Kill the processes of a kind as soon as there are some, at most until the install has ended. Says what was hit.
strike() {
	local init=$1 kind=$2 name=$3 victims='' looks=0
	while ((looks++ % 20)) || installing "$name"; do
		victims=$(processes "$init" "$kind")
		if [[ -n $victims ]]; then
			# shellcheck disable=SC2086 # several
			kill -KILL $victims 2>/dev/null || true
			echo "killed $(wc -w <<<"$victims")"
			return
		fi
	done
	echo 'nothing left to kill'
}

user_files() {
	(cd "$1" && sha256sum "${OUTSIDE[@]}")
}

# One point: `point NUMBER KIND MOMENT`; what is wrong is printed, last a line about what happened.
point() {
	local name=p$1 kind=$2 moment=$3 init hit first='done' began
	if [[ $kind == disk ]]; then
		fleet "$name" none
		ctl apply -f "$PH_WORK/$name.yaml" >"$PH_WORK/$name.none" 2>&1 || echo 'WRONG: it did not start'
		prepare_disk "$(init_of "$name")"
	fi
	fleet "$name"
	ctl apply -f "$PH_WORK/$name.yaml" >"$PH_WORK/$name.first" 2>&1 &
	local apply=$!
	wait_until 120 installing "$name" || echo 'WRONG: the install was not reached'
	init=$(init_of "$name")
	await "$init" "$name" "$moment"
	case $kind in
	agent) hit=$(strike "$init" agent "$name") ;;
	apt) hit=$(strike "$init" apt-get "$name") ;;
	dpkg) hit=$(strike "$init" dpkg "$name") ;;
	disk)
		fill_disk "$init"
		hit='disk made full'
		;;
	esac
	wait "$apply" || first=failed
	[[ $kind != disk ]] || free_disk "$init"
	began=$(date +%s%3N)
	ctl apply -f "$PH_WORK/$name.yaml" >"$PH_WORK/$name.second" 2>&1 ||
		echo "WRONG: the second run failed: $(tail -n 5 "$PH_WORK/$name.second")"
	began=$(($(date +%s%3N) - began))
	[[ $(ctl --json show "$name" | jq -r '.ready and .verify.passed') == true ]] || echo 'WRONG: it is not verified'
	check_end "/proc/$init/root"
	kill -KILL "$init" # instead of waiting for an orderly end
	wait_until 20 test ! -e "/proc/$init"
	ctl remove "$name" >"$PH_WORK/$name.remove" 2>&1 || echo "WRONG: it cannot be removed: $(cat "$PH_WORK/$name.remove")"
	echo "$kind at $moment/1000: $hit, the first run $first, the second took $began ms"
}

# Nothing twice, nothing half-way, nothing of the user's changed: `check_end ROOT-AS-SEEN`.
check_end() {
	local twice
	# What dpkg unpacks although it had already installed it. Half-way work that is done again is no second time.
	twice=$(awk '$3 == "status" && $4 == "installed" { done[$5] = 1 }
		($3 == "install" || $3 == "upgrade") && done[$4] { print $4 }' "$1/var/log/dpkg.log")
	[[ -z $twice ]] || echo "WRONG: installed twice: $twice"
	# Against what went into the image: while an install goes on, its guard stands in for policy-rc.d.
	[[ $(user_files "$1") == "$(user_files "$PH_WORK/extra")" ]] || echo 'WRONG: a file of the user has changed'
	jq -e '(keys_unsorted[0:2] == ["log-driver", "log-opts"]) and .["log-opts"]["max-size"] == "7m"' \
		"$1/etc/docker/daemon.json" >/dev/null || echo 'WRONG: the user'"'"'s keys in daemon.json'
	[[ -z $(chroot "$1" dpkg --audit) ]] || echo 'WRONG: dpkg --audit is not empty'
}

measure_install() {
	fleet whole
	tap_run 'an undisturbed install' ctl apply -f "$PH_WORK/whole.yaml"
	LOG_BYTES=$(log_bytes "$(init_of whole)")
	tap_note "it writes $LOG_BYTES bytes into dpkg.log"
	ctl remove whole >/dev/null
}

# The points come in waves, from a seed: the same seed gives the same moments, as parts of an install.
run_points() {
	local number=0 kind moment
	RANDOM=$PH_SEED
	while ((number < PH_POINTS)); do
		local wave=() first=$number
		while ((number < PH_POINTS && ${#wave[@]} < PH_AT_ONCE)); do
			kind=${KINDS[number % ${#KINDS[@]}]}
			moment=$((RANDOM % 1000)) # here: a shell in the background has other numbers
			point "$number" "$kind" "$moment" >"$PH_WORK/point$number" 2>&1 &
			wave+=($!)
			number=$((number + 1))
		done
		wait "${wave[@]}" || true
		for ((; first < number; first++)); do
			report "$first"
		done
	done
}

report() {
	local summary
	summary=$(tail -n 1 "$PH_WORK/point$1")
	[[ $summary != *'the first run failed'* && $summary != *killed* ]] || hits=$((hits + 1))
	if grep -q WRONG "$PH_WORK/point$1" || [[ $summary != *'the second took'* ]]; then
		tap_not_ok "point $1: $summary"
		tap_note "$(cat "$PH_WORK/point$1")"
	else
		tap_ok "point $1: $summary"
	fi
}

hits=0
phoenix_up
build_image
measure_install
tap_note "seed $PH_SEED, $PH_POINTS points"
run_points
tap_run "most points met a running install: $hits of $PH_POINTS" test $((hits * 2)) -gt "$PH_POINTS"
tap_done
