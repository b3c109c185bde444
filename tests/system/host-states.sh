#!/bin/bash
# Hosts that cannot confine, each with a clear state, a reason and a remedy: AppArmor as a whole in complain mode, no
# parser, an old one, one that refuses newer words, one that lies. What runs stays confined, nothing starts unconfined.
# Policy that somebody changes under running containers is confine-live.sh.
# beds: uml
# deadline: 240
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

MODE=/sys/module/apparmor/parameters/mode
PARSER=$(command -v apparmor_parser || true)

fleet() { # NAME
	cat >"$PH_WORK/$1.yaml" <<-END
	version: 1
	containers:
	  - name: $1
	    image: base
	    confinement: required
	    docker: {source: none}
	    resources: {memory: 256MiB, cpus: 1, pids: 200}
	END
	echo "$PH_WORK/$1.yaml"
}
condition() { # NAME TYPE: status and reason
	ctl --json show "$1" | jq -r --arg type "$2" '.conditions[] | select(.type == $type) | "\(.status) \(.reason)"'
}
label_of() {
	local init
	init=$(ctl --json show "$1" | jq -r .observed.init_pid)
	cat "/proc/$init/attr/apparmor/current" 2>/dev/null || echo 'it does not run'
}
events() { ctl --json events | jq -r '.events[]? // . | "\(.type) \(.container) \(.reason) \(.message)"' 2>/dev/null; }

# A new container is refused, with reason and remedy, as an answer and as an event; nothing of it is left. The status says
# the same, and by its exit whether what runs is held: `is_refused STATE REASON REMEDY EXIT`.
is_refused() {
	local name=new$((++refusals))
	tap_exits "$1: a new container is refused" 1 ctl apply -f "$(fleet "$name")"
	tap_like "$1: and told why" "$tap_output" "$2"
	tap_like "$1: and what to do" "$tap_output" "$3"
	tap_is "$1: nothing was made" "$(ls "$PH_WORK/state/containers")" web
	tap_like "$1: it is an event" "$(events)" "$2"
	tap_exits "$1: status says so" "$4" ctl apparmor status
	tap_like "$1: with the reason" "$tap_output" "cannot confine here.*$2"
	tap_like "$1: and the remedy" "$tap_output" "$3"
}
# Whatever an apply may do to a stopped container, it does not run unconfined afterwards: `never_unconfined STATE`.
never_unconfined() {
	lxc-stop -P "$PH_WORK/state/containers" -n web -k || true
	ctl apply -f "$PH_WORK/web.yaml" >/dev/null 2>&1 || true
	tap_like "$1: a stopped container does not start unconfined" "$(label_of web)" '^(it does not run|lxc-phoenix-v2.* \(enforce\))$'
}

# The kernel goes on calling every label enforced then.
test_complain() {
	printf complain >"$MODE"
	tap_is 'the label of a process does not show it' "$(label_of web)" 'lxc-phoenix-v2 (enforce)'
	tap_run 'complain mode of the kernel: noticed within a minute' wait_until 60 has_event 'ProfileCurrent is False.*enforce mode'
	tap_is 'complain mode of the kernel: the condition' "$(condition web ProfileCurrent)" 'FALSE NotEnforced'
	tap_is 'complain mode of the kernel: nothing is called confined' "$(condition web Confined)" 'FALSE OffLabel'
	is_refused 'complain mode of the kernel' 'AppArmor as a whole does not enforce' 'printf enforce' 3
	printf enforce >"$MODE"
	tap_run 'with enforce mode all is well' wait_until 60 condition_is web Confined 'TRUE AllProcessesLabelled'
}
has_event() { events | grep -q "$1"; }
condition_is() { [[ $(condition "$1" "$2") == "$3" ]]; }

# Put another program in the parser's place: `parser_is TEXT`; no text: none.
parser_is() {
	[[ -e $PARSER.away ]] || mv "$PARSER" "$PARSER.away"
	rm -f "$PARSER"
	[[ -z $1 ]] || { printf '#!/bin/sh\n%s\n' "$1" >"$PARSER" && chmod 755 "$PARSER"; }
}
parser_back() { [[ ! -e $PARSER.away ]] || mv "$PARSER.away" "$PARSER"; }

test_parsers() {
	parser_is ''
	is_refused 'no parser' 'apparmor_parser is not installed' 'apt-get install apparmor' 0
	tap_is 'no parser: what runs stays confined' "$(condition web Confined)" 'TRUE AllProcessesLabelled'
	never_unconfined 'no parser'
	parser_is 'echo "AppArmor parser version 2.13.6"'
	is_refused 'an old parser' 'older than 3.0' 'apparmor' 0
	never_unconfined 'an old parser'
	parser_back
}

# It has a good version and takes nothing of what came after 3.0.
test_parser_without_words() {
	parser_is "input=\$(mktemp); trap 'rm -f \$input' EXIT
case \" \$* \" in *' --version '*|*' -V '*) exec $PARSER.away \"\$@\";; esac
cat >\$input
! grep -v '^ *#' \$input | grep -qE '\\b(io_uring|mqueue|userns|nosymfollow)\\b' || exit 1
$PARSER.away \"\$@\" <\$input"
	tap_run 'a parser without newer words: a container is made' ctl apply -f "$(fleet words)"
	tap_is 'and confined' "$(condition words Confined)" 'TRUE AllProcessesLabelled'
	tap_run 'and removed' ctl remove words
	parser_back
}

# It says that all is well and compiles nothing.
test_parser_that_lies() {
	parser_is "case \" \$* \" in *' --version '*|*' -V '*) exec $PARSER.away \"\$@\";; esac
cat >/dev/null"
	rm -rf "$PH_WORK/state/policy"
	tap_exits 'a parser that lies: a new container is refused' 1 ctl apply -f "$(fleet lies)"
	tap_note "$tap_output"
	tap_is 'a parser that lies: nothing was made' "$(ls "$PH_WORK/state/containers")" web
	never_unconfined 'a parser that lies'
	parser_back
}

if ! apparmor_enforced; then
	tap_skip 'hosts that cannot confine' 'this kernel has no AppArmor; confine-live.sh tries it without'
	tap_done
fi
refusals=0
phoenix_up
trap 'parser_back; printf enforce >"$MODE"; phoenix_exit' EXIT
ctl image import base "$PH_IMAGE" >/dev/null
tap_run 'a confined container' ctl apply -f "$(fleet web)"
for section in ${PH_ONLY:-test_complain test_parsers test_parser_without_words test_parser_that_lies}; do
	"$section"
done
tap_run 'with the right parser apply mends everything' ctl apply -f "$PH_WORK/web.yaml"
tap_is 'and it is confined' "$(condition web Confined)" 'TRUE AllProcessesLabelled'
tap_run 'remove all' ctl remove web
tap_done
