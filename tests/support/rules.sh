# shellcheck shell=bash
# The rules of the rendered profile, one by one, for minimality.sh. Needs tests/support/escape.sh.
#
#	rules_list TEXT             LINE, allow or deny, RULE, with tabs between them
#	rules_compile [LINE]        compile the profile, without that rule; for a flag the line is its name
#	rules_load_without LINE     load the profile without that rule
#	rules_changed               whether what was loaded last is another policy than the whole profile is
#	rules_words RULE            words that the attempts which it is about may have in their names
#	rules_know RULE             print in how many lines the sources of the profile have the rule
#	broken_by_host PID          what the host can no longer do to a process, one a line
#	broken_by_stack             what no longer works in a policy namespace, or works that should not, one a line
#	rules_render_version1 FILE  the profile as a host with control groups of version 1 has it
#	broken_by_version1          what no longer works on such a host, one a line
#
# RULES_TEXT is the profile that rules are taken out of; whoever changes it removes ESCAPE_BASE/whole.

# Every rule is one line; the flags of the profile count as allowing rules.
rules_list() {
	sed -n 's/^profile .*flags=(\(.*\)) {$/\1/p' "$1" | tr , '\n' |
		awk '{ print $1 "\tallow\tflag " $1 }'
	awk '/^profile / { inside = 1; next }
		/^}/ { inside = 0 }
		inside { sub(/^ +/, "") }
		inside && !/^#/ && !/^$/ { print NR "\t" (/^(audit )?deny / ? "deny" : "allow") "\t" $0 }' "$1"
}

rules_compile() {
	local edit="${1-0}d"
	[[ $edit != 0d ]] || edit=
	[[ -z $edit || $1 =~ ^[0-9]+$ ]] || edit="/^profile /s/\\b$1\\b,\\?//; /^profile /s/,)/)/; /^profile /s/ flags=()//"
	sed "$edit" "$RULES_TEXT" | apparmor_parser --stdout -K -Q 2>/dev/null
}
rules_load_without() {
	[[ -s $ESCAPE_BASE/whole ]] || rules_compile >"$ESCAPE_BASE/whole" || return
	rules_compile "$1" >"$ESCAPE_BASE/without" && apparmor_parser -r -B "$ESCAPE_BASE/without"
}
# A rule whose absence the parser's output does not show needs no operation tried without it.
rules_changed() { ! cmp -s "$ESCAPE_BASE/whole" "$ESCAPE_BASE/without"; }

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
	# A read-only credential of a service, by systemd 254 and later. A shell's mount would use the new mount API.
	! grep -q '^ *mount .*nosymfollow) ->' "$ESCAPE_PROFILE_TEXT" ||
		as_label "$ESCAPE_PROFILE" perl -e 'my ($n, $root, $at, $type) = ("none", "/", "/mnt", "tmpfs");
			exit(syscall(272, 0x20000) || syscall(165, $n, $root, 0, 0x44000, 0) || syscall(165, $n, $at, $type, 0, 0)
				|| syscall(165, $n, $at, 0, 0x1121, 0) ? 1 : 0)' || echo 'host/remount with nosymfollow'
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

# Docker's own profile in a policy namespace, by processes of the host's root that nothing holds but their label.
broken_by_stack() {
	local inner="$ESCAPE_PROFILE-stacked//&:$ESCAPE_NAMESPACE" from to peer
	echo 'profile docker-default flags=(attach_disconnected) { file, signal, ptrace, }' >"$ESCAPE_BASE/docker-default"
	as_label "$inner:unconfined" apparmor_parser -r -K "$ESCAPE_BASE/docker-default" || echo 'stacked/load docker-default'
	# As runc does.
	as_label "$inner:unconfined" bash -c 'echo "exec docker-default" >/proc/self/attr/exec &&
		exec grep -q docker-default /proc/self/attr/current' || echo 'stacked/execute under docker-default'
	for from in unconfined docker-default; do
		for to in unconfined docker-default; do
			(echo "changeprofile $inner:$to" >/proc/self/attr/current && exec sleep 30 >/dev/null) &
			peer=$!
			until [[ $(cat "/proc/$peer/comm") == sleep ]] || ! kill -0 "$peer"; do sleep 0.1; done
			as_label "$inner:$from" kill -0 "$peer" || echo "stacked/signal from $from to $to"
			as_label "$inner:$from" readlink "/proc/$peer/exe" || echo "stacked/read of /proc from $from to $to"
			kill "$peer"
			wait "$peer"
		done
	done 2>/dev/null
	! as_label "$inner:unconfined" cat /sys/kernel/security/lsm || echo 'stacked/securityfs beside AppArmor'
}

# Such a host has a hierarchy per controller, which is what phoenixctl looks for; its own view is enough to make one.
rules_render_version1() {
	# shellcheck disable=SC2016 # for the other shell
	unshare --mount sh -ec 'mount -t tmpfs version1 /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory
		exec "$@"' sh "$ESCAPE_CTL" apparmor render --profiles "$ESCAPE_TREE/profiles" >"$1"
}
# runc mounts each hierarchy in a cgroup namespace of its container's. Here it is one without a controller: those are
# all taken by version 2. A shell's mount would use the new mount API.
broken_by_version1() {
	local at=/run/escape/version1/sys/fs/cgroup
	mkdir -p "$at" "$ESCAPE_BASE/version1"
	mountpoint -q "$ESCAPE_BASE/version1" ||
		mount -t cgroup -o none,name=version1 version1 "$ESCAPE_BASE/version1" || echo 'version 1/the control'
	as_label "$ESCAPE_PROFILE" perl -e 'my ($at, $n, $root, $type, $data) = ($ARGV[0], "none", "/", "cgroup", "none,name=version1");
		exit(syscall(272, 0x2020000) || syscall(165, $n, $root, 0, 0x44000, 0) ||
			syscall(165, $n, $at, $type, 0x20000e, $data) ? 1 : 0)' "$at" || echo 'version 1/mount a hierarchy'
	umount "$ESCAPE_BASE/version1"
}

# The tables of docs/profile-rules.md from what a run has noted.
rules_print_tables() {
	local kind
	for kind in allow deny justified; do
		printf '\n@@ %s\n' "$kind"
		cat "$1.$kind" 2>/dev/null
	done
}
