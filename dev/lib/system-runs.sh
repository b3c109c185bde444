# shellcheck shell=bash
# Which scripts of tests/system run on a bed, with which container image and how long they may take: read from
# their headers. dev/test runs what this prints.
#
#	# beds: native uml guest    guest is both guests; guest12 and guest13 are one of them; zfs is a guest of its own
#	                          which only `dev/test --zfs` runs; without it: native
#	# deadline: 300             seconds on a machine of its own: half as much again, since beds run side by side, and
#	                          four times that in a guest; without it: 300
#	# image: golden             Docker is already installed in the container image; without it: it is not
#	# image: bare               natively without an init, which starts and stops at once
#	# suites: bookworm forky    the script runs once with each Debian in the container; without it: bookworm
#	# suites on guest13: trixie the same for one bed (uml, guest12, guest13), which then does not look at the line above
#	# images on guest13: offline-forky   images that the script finds with dev/lib/container-image on that bed
#
# Needs dev/lib/container-images.sh.

# Print what a script's header says of a key, or the default: `header SCRIPT KEY DEFAULT`.
header() {
	local value
	value=$(sed -n "s/^# $2: *//p" "$1" | head -n 1)
	echo "${value:-$3}"
}

# Whether a script runs on a bed.
runs_on() {
	local beds
	beds=" $(header "$1" beds native) "
	case $2 in
	guest) [[ $beds == *' guest '* || $beds == *' guest12 '* ]] ;;
	guest13) [[ $beds == *' guest '* || $beds == *' guest13 '* ]] ;;
	*) [[ $beds == *" $2 "* ]] ;;
	esac
}

# Print a bed's name in headers, where guest stands for both.
header_bed() {
	if [[ $1 == guest ]]; then echo guest12; else echo "$1"; fi
}

# Print the suites whose containers a script wants on a bed.
suites_of() {
	# systemd of Debian 13 and later does not boot on control groups of version 1, which this machine may have.
	if [[ $2 == native ]]; then
		echo bookworm
	else
		header "$1" "suites on $(header_bed "$2")" "$(header "$1" suites bookworm)"
	fi
}

# Print the runs of a bed, one a line: its name, its deadline in seconds, the kind of its image, the script.
# `system_runs BED [ONLY]`
system_runs() {
	local bed=$1 only=${2:-} script name suite suites seconds factor=15
	[[ $bed != guest* && $bed != zfs ]] || factor=40
	for script in "$REPO"/tests/system/*.sh; do
		[[ -x $script ]] || continue
		name=$(basename "$script" .sh)
		[[ -z $only || $name == "$only" ]] || continue
		runs_on "$script" "$bed" || continue
		seconds=$(header "$script" deadline 300)
		read -ra suites < <(suites_of "$script" "$bed")
		for suite in "${suites[@]}"; do
			printf '%s %d %s %s\n' "$name$(suffix @ "$suite")" $((${seconds%%[!0-9]*} * factor / 10)) \
				"$(image_kind "$bed" "$(header "$script" image plain)")$(suffix - "$suite")" "$script"
		done
	done
}

# Print the path of a run's image, and see to it that the further images of its script are there:
# `run_image BED KIND SCRIPT`.
run_image() {
	local kind
	for kind in $(header "$3" "images on $(header_bed "$1")" ''); do
		container_image "$kind" >/dev/null
	done
	container_image "$2"
}

# Print what tells a suite's name from Debian 12's: `suffix SEPARATOR SUITE`.
suffix() {
	[[ $2 == bookworm ]] || printf '%s%s' "$1" "$2"
}

# Print the kind of container image that a bed needs: `image_kind BED plain|golden|bare`.
image_kind() {
	case $1-$2 in
	uml-golden) echo umlgolden ;;
	*-golden) echo golden ;;
	native-bare) echo bare ;;
	uml-*) echo uml ;;
	guest* | zfs*) echo offline ;;
	*) echo systemd ;;
	esac
}
