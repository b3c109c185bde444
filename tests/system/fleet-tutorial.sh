#!/bin/bash
# The tutorial of docs/fleet.md, from its text alone: every block of commands is taken out of the page and run in its
# order. Only what a test cannot have is replaced: the image, which is imported and not fetched, the folder of the
# containers, and the confinement that this machine can give.
# beds: native
# image: golden
# deadline: 240
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# Print the blocks of the tutorial as files DIR/NN.KIND.
blocks() {
	awk -v dir="$1" '
		/^## / { inside = /^## Ten minutes/ }
		inside && /^```/ {
			if (file) { close(file); file = "" } else { file = sprintf("%s/%02d.%s", dir, ++count, substr($0, 4)) }
			next
		}
		file { print > file }' "$PH_ROOT/docs/fleet.md"
}

# Run each command of a block and compare its exit status with what the page says of it.
run_block() {
	local line expected
	while IFS= read -r line; do
		expected=0
		[[ ! $line =~ '# exits with '([0-9]+) ]] || expected=${BASH_REMATCH[1]}
		line=${line%%  #*}
		line=${line//\/var\/lib\/phoenix/$PH_WORK/state}
		[[ $line != 'phoenixctl image build '* ]] || line="phoenixctl image import bookworm $PH_IMAGE"
		tap_exits "$line" "$expected" bash -c "$line"
	done <"$1"
}

phoenix_up
mkdir "$PH_WORK/tutorial"
blocks "$PH_WORK/tutorial"
cd "$PH_WORK/tutorial"
PATH=$PH_BIN:$PATH
export PATH PHOENIX_SOCKET=$PH_WORK/run/control.sock
tap_is 'the tutorial has its blocks' "$(ls ./*.sh ./*.yaml | wc -l)" 9
for block in *; do
	case $block in
	*.yaml) sed "s/^  image: .*/&\n  confinement: $(confinement)/" "$block" >fleet.yaml ;;
	*.sh) run_block "$block" ;;
	esac
done
tap_is 'nothing is left' "$(ctl list --names)" ''
tap_done
