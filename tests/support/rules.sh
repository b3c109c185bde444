# shellcheck shell=bash
# The rules of the rendered profile, one by one, for minimality.sh. Needs tests/support/escape.sh.
#
#	rules_list                  LINE, allow or deny, RULE, with tabs between them
#	rules_load_without LINE     load the profile without that rule; for a flag the line is its name
#	rules_words RULE            words that the attempts which it is about may have in their names
#	rules_know RULE             print in how many lines the sources of the profile have the rule
#	broken_by_host PID          what the host can no longer do to a process, one a line

# Every rule is one line; the flags of the profile count as allowing rules.
rules_list() {
	sed -n 's/^profile .*flags=(\(.*\)) {$/\1/p' "$ESCAPE_PROFILE_TEXT" | tr , '\n' |
		awk '{ print $1 "\tallow\tflag " $1 }'
	awk '/^profile / { inside = 1; next }
		/^}/ { inside = 0 }
		inside { sub(/^ +/, "") }
		inside && !/^#/ && !/^$/ { print NR "\t" (/^(audit )?deny / ? "deny" : "allow") "\t" $0 }' "$ESCAPE_PROFILE_TEXT"
}

rules_load_without() {
	local edit="${1}d"
	[[ $1 =~ ^[0-9]+$ ]] || edit="/^profile /s/\\b$1\\b,\\?//; /^profile /s/,)/)/; /^profile /s/ flags=()//"
	sed "$edit" "$ESCAPE_PROFILE_TEXT" | apparmor_parser -r -K 2>/dev/null
}

rules_words() {
	case $1 in
	'capability '*) sed 's/capability \(.*\),/needed-capabilities\/\1/' <<<"$1" ;;
	*'mount '* | umount* | pivot_root*) echo mount ;;
	'network '*) sed 's/network \(.*\),/\1/' <<<"$1" ;;
	*) tr -c 'a-z_\n-' '\n' <<<"${1#audit deny }" | grep -vxE '.{0,3}|proc|kernel|deny|flag|receive|peer|signal|rwklx|wklx' ;;
	esac
}

rules_know() {
	if [[ $1 == 'flag '* ]]; then
		grep -c "^profile .*\\b${1#flag }\\b" "$ESCAPE_TREE/profiles/lxc-phoenix-v2"
	else
		# Not -q: it would end before sed has written all.
		sed "s/@PROFILE@/$ESCAPE_PROFILE/g; s/^ *\\(#?[a-z0-9_]* \\)\\?//" "$ESCAPE_TREE"/profiles/lxc-phoenix-v2.d/* |
			grep -cxF -- "$1"
	fi
}

# The host stops, looks into and debugs what runs in a container; unconfined as phoenix-host is, and as an operator's
# lxc-start is where Debian's profile for it is loaded.
broken_by_host() {
	local label
	apparmor_parser -r -K <<<'profile /usr/bin/lxc-start flags=(attach_disconnected) { file, signal, ptrace, capability, }'
	for label in unconfined /usr/bin/lxc-start; do
		as_label "$label" kill -0 "$1" || echo "host/signal from $label"
		as_label "$label" readlink "/proc/$1/exe" || echo "host/read of /proc by $label"
		# Attach and detach.
		as_label "$label" perl -e 'my $pid = $ARGV[0] + 0; exit 1 if syscall(101, 16, $pid, 0, 0);
			waitpid($pid, 0x40000000); exit(syscall(101, 17, $pid, 0, 0) != 0)' "$1" || echo "host/trace by $label"
	done
	# With it in force a start by hand would be held by our few rules, not by Debian's.
	apparmor_parser -R <<<'profile /usr/bin/lxc-start { }'
}
as_label() { # LABEL COMMAND...
	(
		[[ $1 == unconfined ]] || echo "changeprofile $1" >/proc/self/attr/current || exit 1
		shift
		timeout 10 "$@" >/dev/null 2>&1
	)
}

# The tables of docs/profile-rules.md from what a run has noted.
rules_print_tables() {
	local kind
	for kind in allow deny justified; do
		printf '\n@@ %s\n' "$kind"
		cat "$1.$kind" 2>/dev/null
	done
}
