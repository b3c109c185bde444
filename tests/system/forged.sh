#!/bin/bash
# A phoenixd that has been taken over: some 200 forged requests to a real phoenix-host, sent with phoenixd's own
# credentials. None is obeyed, and nothing on the machine is another than before: files, mounts, profiles, nftables,
# ports, control groups, containers, ours and others'.
# beds: native uml
# deadline: 200
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

FOREIGN=phxforeign$$
FORGE=$PH_ROOT/build/$PH_PRESET/tests/hostile/forge

# --- somebody else's container, below LXC's own directory ---------------------------------------------------------

foreign_up() {
	local home=/var/lib/lxc/$FOREIGN
	mkdir -p "$home"/{rootfs,upper,work}
	mount -t overlay foreign "$home/rootfs" \
		-o "lowerdir=$PH_WORK/state/images/base/rootfs,upperdir=$home/upper,workdir=$home/work"
	cat >"$home/config" <<-END
	lxc.uts.name = $FOREIGN
	lxc.rootfs.path = dir:$home/rootfs
	lxc.init.cmd = /bin/sleep infinity
	lxc.net.0.type = none
	lxc.apparmor.profile = unconfined
	END
	timeout 60 lxc-start -n "$FOREIGN"
}

foreign_down() {
	lxc-stop -n "$FOREIGN" --kill 2>/dev/null || true
	umount -l "/var/lib/lxc/$FOREIGN/rootfs" 2>/dev/null || true
	rm -rf --one-file-system "/var/lib/lxc/$FOREIGN"
}

# shellcheck disable=SC2317 # called by the trap
forged_exit() {
	local status=$?
	set +e
	foreign_down
	phoenix_exit "$status"
}

# --- what phoenixd can put into its spool --------------------------------------------------------------------------

# All of it is made by phoenixd's user, or made to look so.
fill_spool() {
	local spool=$PH_WORK/state/spool box=$PH_WORK/box
	mkdir -p "$box/root/etc" "$box/link"
	echo 'PRETTY_NAME="Forged"' >"$box/root/etc/os-release"
	ln -s /etc/shadow "$spool/symlink.tar"
	ln -s symlink.tar "$spool/symlink2.tar"
	mkfifo "$spool/pipe.tar"
	mkdir "$spool/directory.tar"
	perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])) or die' "$spool/socket.tar"
	head -c 100000 /dev/urandom >"$spool/noise.tar"
	tar -C "$box/root" -P --transform "s|^|../../../../../../$PH_WORK/outside/|" -cf "$spool/upwards.tar" etc
	ln -s "$PH_WORK/outside" "$box/link/etc"
	tar -C "$box/link" -cf "$spool/through.tar" etc
	tar -C "$box/root" -rf "$spool/through.tar" etc/os-release
	mknod "$box/null" c 1 3
	tar -C "$box" -cf "$spool/device.tar" null
	rm -r "$box"
	chown -h "$PH_USER_ID" "$spool"/*
}

# --- the machine, as one text --------------------------------------------------------------------------------------

tree() {
	find "$@" -xdev -printf '%p %y %m %U %G %s %n %l\n' 2>/dev/null | sort
	find "$@" -xdev -type f -exec sha256sum {} + 2>/dev/null | sort
}

# The start of a process: its number and when it began.
start_of() {
	echo "$1 $(cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null)"
}

snapshot() {
	echo '== files'
	tree /etc /root /usr/local "/var/lib/lxc/$FOREIGN" "$PH_WORK/outside" "$PH_WORK/phoenix.yaml"
	# Without times: an import that is refused comes and goes in there.
	find "$PH_WORK/state/images" "$PH_WORK/state/containers" "$PH_WORK/state/data" -maxdepth 1 -printf '%p %y %m %U %G\n' | sort
	cat "$PH_WORK"/state/containers/*/config
	echo '== mounts'
	awk '{print $5, $6, $9, $10, $11}' /proc/self/mountinfo | sort
	echo '== profiles'
	sort /sys/kernel/security/apparmor/profiles 2>/dev/null || true
	echo '== nftables'
	nft -s list ruleset 2>/dev/null || true
	echo '== ports'
	ip -o link | awk '{print $2}' | sort
	echo '== control groups'
	find /sys/fs/cgroup -maxdepth 3 -type d \( -name '*phoenix*' -o -name '*lxc*' -o -name "*$FOREIGN*" \) | sort
	echo '== containers'
	start_of "$(lxc-info -n "$FOREIGN" -pH)"
	start_of "$(lxc-info -P "$PH_WORK/state/containers" -n web1 -pH)"
}

# --------------------------------------------------------------------------------------------------------------------

phoenix_up
trap 'forged_exit' EXIT
PH_USER_ID=$(stat -c %u "$PH_WORK/state/db")
ctl image import base "$PH_IMAGE" >/dev/null
cat >"$PH_WORK/fleet.yaml" <<-END
version: 1
defaults: {image: base, confinement: $(confinement), docker: {source: none}}
containers: [{name: web1}]
END
ctl apply -f "$PH_WORK/fleet.yaml" >"$PH_WORK/apply.out" 2>&1 || tap_note "$(cat "$PH_WORK/apply.out")"
state=$(ctl --json show web1)
tap_is 'a container of ours runs' "$(jq -r .observed.running <<<"$state")" true
foreign_up
tap_run 'and one of somebody else' lxc-wait -n "$FOREIGN" -s RUNNING -t 10
mkdir "$PH_WORK/outside"
echo precious >"$PH_WORK/outside/file"

# From here on there is no phoenixd but the forger.
kill_daemon "$PH_DAEMON_PID"
PH_DAEMON_PID=
fill_spool
ids=$(jq -r .ids.first <<<"$state")
snapshot >"$PH_WORK/before"
status=0
"$FORGE" "$PH_WORK/run/host.sock" "$PH_USER_ID" "$(stat -c %g "$PH_WORK/run/host.sock")" web1 "$FOREIGN" base "$ids" "$(jq -r '.slot // 0' <<<"$state")" \
	"$(jq -r .address <<<"$state")" "$PH_NET.0.1" "$PH_NET.0.77" $((ids + 2 * 65536)) >"$PH_WORK/forge.out" || status=$?
while read -r line; do
	case $line in
	'ok '*) tap_ok "${line#ok * - }" ;;
	'not ok '*) tap_not_ok "${line#not ok * - }" ;;
	'#'*) echo "$line" ;;
	esac
done <"$PH_WORK/forge.out"
tap_is 'the forger got to its end' "$(grep -c '^1\.\.' "$PH_WORK/forge.out") $status" '1 0'
tap_run 'at least 100 requests were forged' test "$(grep -c '^ok ' "$PH_WORK/forge.out")" -ge 100
snapshot >"$PH_WORK/after"
tap_is 'nothing on the machine is another than before' "$(diff "$PH_WORK/before" "$PH_WORK/after" || true)" ''
tap_is 'phoenix-host is the same process' "$(kill -0 "$PH_HOST_PID" && echo alive)" alive
start_phoenixd
tap_is 'and serves a true phoenixd' "$(ctl --json show web1 | jq -r .observed.running)" true
for fact in 'Seccomp:2' 'NoNewPrivs:1' 'CapEff:0000000000000000' 'CapBnd:0000000000000000'; do
	tap_is "phoenixd runs with $fact" "$(tr -d '\t ' <"/proc/$PH_DAEMON_PID/status" | grep "^${fact%%:*}:")" "$fact"
done
tap_like 'show prints what may be asked of the agent' "$(ctl show web1)" 'Install +NO +docker: .source: none'
tap_done
