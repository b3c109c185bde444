#!/bin/bash
# The profile and the seccomp policy on a real kernel: an unprivileged container with systemd, Docker installed
# in it by apt under the enforced profile, nested containers, labels taken from the host, and what has to be
# refused (tests/escape; all of it: escape.sh). Without our daemons: this is about the texts in profiles/ alone.
# By hand: PH_IMAGE=$(dev/lib/container-image uml) tests/vm/uml tests/system/confine.sh
# beds: uml guest
# suites: bookworm forky
# deadline: 400
set -uo pipefail
image=${PH_IMAGE:?the container image: see dev/lib/container-image}
here=$(cd "$(dirname "$0")/../.." && pwd)
# Built without sanitizers: AddressSanitizer has no room for its shadow in User-Mode Linux.
build=$here/build/${PH_PRESET:-release}
base=/var/lib/confine-test
name=confined
root=$base/$name/rootfs
profile=lxc-phoenix-v2
passed=0 failed=0

ok() { passed=$((passed + 1)) && printf 'ok %d - %s\n' "$((passed + failed))" "$1"; }
not_ok() {
	failed=$((failed + 1))
	printf 'not ok %d - %s\n' "$((passed + failed))" "$1"
	printf '%s\n' "${2:-}" | head -20 | sed 's/^/# /'
}
expect() { # NAME COMMAND...
	local title=$1 output
	shift
	if output=$("$@" 2>&1); then ok "$title"; else not_ok "$title" "$output"; fi
}
inside() {
	lxc-attach -P "$base" -n "$name" --clear-env -v PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		-v HOME=/root -v DEBIAN_FRONTEND=noninteractive -- "$@" </dev/null 2>&1 | cat
	return "${PIPESTATUS[0]}"
}
summary() {
	rm -rf --one-file-system "$base"
	printf '1..%d\n' "$((passed + failed))"
	exit "$((failed != 0))"
}
processes() { find "/sys/fs/cgroup/lxc.payload.$name" -name cgroup.procs -exec cat {} + 2>/dev/null; }

# Every process of the container's cgroup, as the host sees it.
all_confined() {
	local pid label count=0
	for pid in $(processes); do
		label=$(cat "/proc/$pid/attr/apparmor/current" 2>/dev/null) || continue
		count=$((count + 1))
		[[ $label == "$profile (enforce)" ]] || { echo "$pid $(cat "/proc/$pid/comm"): $label"; return 1; }
	done
	[[ $count -gt 3 ]] || { echo "only $count processes"; return 1; }
}
nested_is_confined() {
	local pid
	for pid in $(processes); do
		[[ $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) == "/bin/sleeper 300 " ]] || continue
		echo "# nested process $pid: $(cat "/proc/$pid/attr/apparmor/current")" >&3
		[[ $(cat "/proc/$pid/attr/apparmor/current") == "$profile (enforce)" ]]
		return
	done
	echo "no nested process"
	return 1
}

make_container() { # PROFILE SECCOMP
	cat >"$base/$name/config" <<END
lxc.uts.name = $name
lxc.rootfs.path = dir:$root
lxc.net.0.type = empty
lxc.mount.entry = $base/agent dev/phoenix none bind,ro,create=dir 0 0
lxc.mount.entry = $base/data var/lib/docker none bind,create=dir 0 0
END
	grep -vE '^#|^lxc.net|^lxc.mount.entry = @|^lxc.seccomp' "$here/profiles/lxc.conf.in" |
		sed "s/@ID_BASE@ @ID_COUNT@/100000 65536/; s/@PROFILE@/$1/" >>"$base/$name/config"
	echo "lxc.seccomp.profile = $2" >>"$base/$name/config"
}
wait_for_systemd() {
	local state
	for _ in $(seq 120); do
		state=$(inside systemctl is-system-running)
		[[ $state == running || $state == degraded ]] && return
		sleep 0.5
	done
	echo "systemd: $state"
	return 1
}
failed_units() { inside systemctl --failed --plain --no-legend; }
# But for two kernel file systems that no user namespace may mount, with a profile or without: Debian 12's systemd tries
# where the kernel has them (later ones look at their capabilities first). The container without a profile has to show it.
EXCUSED='^sys-kernel-(config|debug)\.mount '
no_unit_failed() {
	local units
	failed_units >"$base/failed"
	grep -oE "$EXCUSED" "$base/failed" >"$base/excused"
	units=$(grep -vE "$EXCUSED" "$base/failed")
	[[ -n $units ]] || return 0
	echo "$units"
	inside journalctl --no-pager --lines 12 --output cat --unit "${units%% *}"
	dmesg | grep -o 'apparmor="DENIED".*' | tail -n 6
	return 1
}

exec 3>&1
mkdir -p "$root" "$base/agent" "$base/data"
chown 100000:100000 "$root" "$base/data"
chmod 711 "$base" "$base/$name"
lxc-usernsexec -m b:0:100000:65536 -- tar -xpf - --numeric-owner -C "$root" <"$image" || exit 1

expect "policy is loaded, replaced, judged and removed by the confine room" "$build/tests/test_confine_kernel"
grep -q "^$profile (enforce)$" /sys/kernel/security/apparmor/profiles && ok "kernel enforces the profile" ||
	{ not_ok "kernel enforces the profile"; summary; }

# As phoenix-host chooses (controller/host/lxc/systemd_version.h).
seccomp=$here/profiles/seccomp
systemd=$(find "$root/usr/lib" -name 'libsystemd-core-[0-9]*.so' | grep -o '[0-9]*\.so$')
((${systemd%.so} < 259)) || seccomp+=-mount-api
make_container "$profile" "$seccomp"
dmesg -C
expect "container starts under profile and seccomp policy" lxc-start -P "$base" -n "$name" -o /tmp/confine.log -l INFO
expect "systemd comes up" wait_for_systemd
expect "no unit has failed under ${seccomp##*/}" no_unit_failed
dmesg | grep -o 'apparmor="DENIED".*' | sed 's/^/# denied while starting: /' | cut -c1-200 | head -n 20
# Debian 13 and later have the client in a package of its own.
expect "apt installs Docker under the profile" inside sh -c 'apt-get update && client=$(apt-cache pkgnames docker-cli) &&
	apt-get install -y --no-install-recommends docker.io $client fuse-overlayfs iptables'
inside sh -c 'mkdir -p /etc/docker; printf "{\"storage-driver\":\"fuse-overlayfs\"}" >/etc/docker/daemon.json'
# UML's nf_tables has no ip family: there the bridge is tried with the legacy iptables.
[[ $PH_BED != uml ]] || inside update-alternatives --set iptables /usr/sbin/iptables-legacy >/dev/null
modprobe -a ip_tables iptable_nat iptable_filter br_netfilter xt_MASQUERADE xt_addrtype xt_conntrack 2>/dev/null
expect "dockerd starts with its bridge" inside sh -c 'systemctl reset-failed docker; systemctl restart docker && docker info | grep -q "Storage Driver: fuse-overlayfs"'
inside sh -c '. /etc/os-release; echo "container: $PRETTY_NAME"; docker version --format "docker {{.Server.Version}}"
	runc --version | head -1; systemctl --version | head -1; mount --version' | sed 's/^/# /'
echo "# host: kernel $(uname -r), lxc $(lxc-start --version), $(apparmor_parser --version | head -1)"
expect "an image is imported" inside sh -c 'mkdir -p /tmp/i/bin /tmp/i/lib64 /tmp/i/lib/x86_64-linux-gnu /tmp/i/proc
	cp /bin/sleep /tmp/i/bin/sleeper; cp /bin/dash /tmp/i/bin/sh; cp /lib64/ld-linux-x86-64.so.2 /tmp/i/lib64
	cp /lib/x86_64-linux-gnu/libc.so.6 /tmp/i/lib/x86_64-linux-gnu; tar -C /tmp/i -c . | docker import - t:1'
run() { inside timeout $((90 * ${PH_TIME_SCALE:-1})) docker run --rm "$@"; }
expect "docker run, no network" run --network none t:1 /bin/sh -c 'echo hello'
expect "docker run on the bridge" run t:1 /bin/sh -c 'read -r line </sys/class/net/eth0/operstate; test $line = up'
expect "docker run, read-only root, volume, tmpfs" run --network none --read-only -v /root:/v:ro --tmpfs /t t:1 /bin/sh -c 'echo x >/t/x && ! echo x >/v/x'
expect "docker run, privileged, init" run --network none --privileged --init t:1 /bin/sh -c 'echo hello'
expect "docker run, detached" inside docker run -d --network none --name long t:1 /bin/sleeper 300
expect "docker exec" inside docker exec long /bin/sh -c 'echo hello'
expect "nested process carries the label" nested_is_confined
expect "every process carries the label" all_confined

cp "$build/tests/escape/escape" "$root/root/escape"
dmesg -C
# Every attempt of the plan has run and went as it had to.
attempts_went_well() {
	local output plan
	output=$(inside /root/escape "$@")
	plan=$(sed -n 's/^1\.\.//p' <<<"$output")
	grep '^not ok' <<<"$output"
	[[ -n $plan && $(grep -c '^ok ' <<<"$output") == "$plan" ]]
}
expect "what has to be allowed is allowed" attempts_went_well --group allowed
# Under the policy for newer systemds what may be mounted is up to the user namespace.
only_own_mounts() {
	local output
	output=$(inside /root/escape --group denied --theme mount-api)
	grep -q '^1\.\.' <<<"$output" &&
		! grep '^not ok' <<<"$output" | grep -vE '(ramfs|proc|sysfs) .*by move_mount|fsopen by the 32-bit gate'
}
if [[ $seccomp == */seccomp ]]; then
	expect "mounts that have to be refused are refused" attempts_went_well --group denied --theme mount-api
else
	expect "of the new mount API only mounts of one's own go through" only_own_mounts
fi
dmesg | grep -c 'apparmor="DENIED"' | sed 's/^/# denials logged during the attempts: /'
lxc-stop -P "$base" -n "$name" -k

make_container unconfined /usr/share/lxc/config/common.seccomp
expect "the same container without confinement starts" lxc-start -P "$base" -n "$name"
wait_for_systemd
excused_fail_too() {
	local unit
	failed_units >"$base/failed"
	while read -r unit; do
		grep -qF "$unit " "$base/failed" || { echo "$unit works there"; return 1; }
	done <"$base/excused"
}
expect "what failed and was excused fails there too: $(paste -sd' ' "$base/excused" | grep . || echo nothing)" excused_fail_too
bites() { [[ $(inside /root/escape --group denied --theme mounts | grep -c '^not ok') -ge 10 ]]; }
expect "without confinement the attempts succeed: the list bites" bites
lxc-stop -P "$base" -n "$name" -k
apparmor_parser -R - <<<"profile $profile { }" 2>/dev/null
summary
