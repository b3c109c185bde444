#!/bin/bash
# What README's "Install it" leaves on a machine: installed into a folder, every program, unit and file is where the
# daemons look for it without a configuration file.
# beds: native
# deadline: 60
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

STAGE=$(mktemp -d /var/tmp/phoenix-install.XXXXXX)
trap 'rm -rf "$STAGE"' EXIT

default_of() {
	sed -n "s/^$1: *//p" "$PH_ROOT/examples/phoenix.yaml"
}

tap_run 'cmake --install' env DESTDIR="$STAGE" cmake --install "$PH_ROOT/build/$PH_PRESET"
# test_config holds the example against the built-in defaults.
tap_run 'the agent is at its default path' test -x "$STAGE$(default_of agent)"
tap_run 'the profile is at its default path' test -f "$STAGE$(default_of profiles_dir)/lxc-phoenix-v2"
tap_run 'it can be rendered from there' "$STAGE/usr/bin/phoenixctl" apparmor render --profiles "$STAGE$(default_of profiles_dir)"
tap_run 'the seccomp policy is beside it' test -f "$STAGE$(default_of profiles_dir)/seccomp"
for unit in phoenixd phoenix-host; do
	program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$STAGE/usr/lib/systemd/system/$unit.service")
	tap_run "$unit.service starts a program that is there" test -x "$STAGE$program"
done
tap_run 'phoenixctl is there' test -x "$STAGE/usr/bin/phoenixctl"
tap_run 'its manual page too' test -s "$STAGE/usr/share/man/man1/phoenixctl.1"
tap_is 'the agent needs no library' "$(ldd "$STAGE$(default_of agent)" 2>&1 | grep -c '=>' || true)" 0
tap_done
