# shellcheck shell=bash
# Functions that every command of dev/ and tests/vm/ shares: messages, timing, the cache of built files.
# Source it; it expects `set -euo pipefail` in the caller.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Built images live here: below the checkout, which is what the beds can see of this machine.
BEDS=$REPO/build/beds
DEBIAN_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
export REPO BEDS

say() { printf '== %s\n' "$*" >&2; }

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Run a command and say how long it took: `timed WHAT COMMAND...`.
timed() {
	local what=$1 start=$SECONDS
	shift
	"$@"
	say "$what: $((SECONDS - start)) s"
}

# Print a short hash of all arguments and of the files named after `--`.
key_of() {
	{
		while (($#)) && [[ $1 != -- ]]; do
			printf '%s\n' "$1"
			shift
		done
		(($#)) && shift
		(($# == 0)) || cat -- "$@"
	} | sha256sum | cut -c1-12
}

# Print the path of a built file, building it when it isn't there: `cached NAME KEY FUNCTION [ARGUMENT...]`.
#
# NAME is a file name such as `bed.ext4`; the result is BEDS/NAME.KEY. FUNCTION gets the path to write and its
# arguments. Older results of the same NAME are removed. Two callers at once build once. What FUNCTION
# prints goes to BEDS/NAME.log and is shown when it fails.
cached() {
	local name=$1 key=$2 function=$3 result lock log
	shift 3
	result=$BEDS/$name.$key
	log=$BEDS/$name.log
	# In a bed the checkout is read-only: what is there is found, and nothing is built.
	if [[ -e $result && ! -w $BEDS ]]; then
		printf '%s\n' "$result"
		return
	fi
	mkdir -p "$BEDS"
	exec {lock}>"$BEDS/.$name.lock"
	flock "$lock"
	if [[ ! -e $result ]]; then
		local start=$SECONDS
		say "building $name (log: ${log#"$REPO"/})"
		rm -rf "$result.new"
		if ! build "$function" "$result.new" "$@" >"$log" 2>&1 {lock}>&- || [[ ! -e $result.new ]]; then
			tail -n 40 "$log" >&2
			rm -rf "$result.new"
			exec {lock}>&-
			die "building $name failed (all of it: $log)"
		fi
		find "$BEDS" -maxdepth 1 -name "$name.*" ! -name "*.log" ! -name "*.new" -exec rm -rf {} +
		mv "$result.new" "$result"
		say "built $name: $((SECONDS - start)) s"
	fi
	exec {lock}>&-
	printf '%s\n' "$result"
}

# Run a building function in a shell of its own: in a condition bash would ignore its failures.
build() {
	# shellcheck disable=SC2016 # for the new shell
	bash -euo pipefail -c '
		. "$REPO/dev/lib/common.sh"
		. "$REPO/dev/lib/bed-image.sh"
		. "$REPO/dev/lib/container-images.sh"
		. "$REPO/dev/lib/zfs-image.sh"
		"$@"' "${0##*/}" "$@"
}

# Print the sources of SUITE as one-line `deb` entries: this machine's own mirrors, Debian's archive when it has none.
apt_sources() {
	local suite=$1 own lines options=''
	own=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
	# What another suite is signed with, apt here need not trust for itself.
	[[ $suite == "$own" || ! -e $DEBIAN_KEYS ]] || options="[signed-by=$DEBIAN_KEYS] "
	# shellcheck disable=SC2016 # the $(...) are apt's, not the shell's
	lines=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' 2>/dev/null |
		awk -v own="$own" -v suite="$suite" -v options="$options" '
			$2 ~ "^" own "(-updates|-security)?$" && $3 == "main" {
				print "deb", options $1, suite substr($2, length(own) + 1), $3
			}' | tr -s ' ' | sort -u)
	if [[ -z $lines ]]; then
		lines="deb ${options}http://deb.debian.org/debian $suite main
deb ${options}http://deb.debian.org/debian $suite-updates main
deb ${options}http://deb.debian.org/debian-security $suite-security main"
	fi
	printf '%s\n' "$lines"
}
