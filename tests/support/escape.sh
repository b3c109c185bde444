# shellcheck shell=bash
# Containers for the escape suite (tests/escape): one per condition, every layer alone, all of them, none.
# A small container holds nothing but the program; it starts in a tenth of a second.
#
#	escape_prepare                     exhibits, the host's sockets, profiles
#	escape_small CONDITION OPTIONS...  run the program in a container made for it, print what it prints
#	escape_host OPTIONS...             run it as the host's root: the control
#	escape_state                       print what no attempt may change on the host
#	escape_clean
# ESCAPE_ASIDE=escape/ shows securityfs and its like below /escape: in its place, where the product hides it, Docker
# takes it for AppArmor of its own and fails.
#
# Stacked is what the product makes of it: the profile rendered for it, a policy namespace of the container's own, and
# securityfs in its place, where the container sees that namespace.
#
# Only for machines that are thrown away: the conditions without a user namespace succeed.

ESCAPE_TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ESCAPE=${PH_ESCAPE:-$ESCAPE_TREE/build/${PH_PRESET:-release}/tests/escape/escape}
ESCAPE_BASE=/var/lib/escape-test
ESCAPE_PROFILE=${PH_ESCAPE_PROFILE:-lxc-phoenix-v2}
ESCAPE_PROFILE_TEXT=${PH_ESCAPE_PROFILE_TEXT:-$ESCAPE_BASE/profile.text}
ESCAPE_STACKED_TEXT=$ESCAPE_BASE/stacked.text
# The policy namespace, once there is one; the profile lets a container into those of this name alone.
ESCAPE_NAMESPACE=
ESCAPE_CTL=$ESCAPE_TREE/build/${PH_PRESET:-release}/bin/phoenixctl
escape_server=''

# IDMAP APPARMOR SECCOMP DEVICES of a condition; "-" is without.
escape_layers() {
	case $1 in
	privileged) echo '- - - -' ;;
	only-userns) echo 'idmap - - -' ;;
	only-apparmor) echo '- ours - -' ;;
	only-seccomp) echo '- - ours -' ;;
	only-devices) echo '- - - ours' ;;
	unconfined) echo 'idmap - stock ours' ;;
	named) echo 'idmap ours ours ours' ;;
	mount-api) echo 'idmap ours mount-api ours' ;;
	literal) echo 'idmap literal stock ours' ;;
	literal-on-base) echo 'idmap literal-on-base stock ours' ;;
	stacked) echo 'idmap stacked ours ours' ;;
	*) return 1 ;;
	esac
}

# What makes attempts meaningful: nodes that anybody could open, were it not for the device cgroup; a directory
# of the host's; the host's procfs; a profile to change to.
escape_prepare() {
	local node root clock
	mkdir -p "$ESCAPE_BASE" /run/escape/{readonly,other,exhibits}
	# Where systemd made /run, no device node on it can be opened.
	mountpoint -q /run/escape/exhibits || mount -t tmpfs -o mode=755 escape /run/escape/exhibits
	mkdir -p /run/escape/exhibits/{devices,readonly,proc,other,cgroup,neighbour/rootfs/etc}
	mkdir -p /run/escape/exhibits/sys/kernel/{security,debug,tracing}
	# Sockets of the host are found by everybody who can name them, devices opened by everybody who sees them.
	chmod 755 /run/escape /run/escape/exhibits /run/escape/exhibits/devices
	chmod 700 /run/escape/other
	echo host >/run/escape/readonly/mine
	# Another container's tree: its own id range, the rest as a careless operator would leave it.
	echo secret >/run/escape/exhibits/neighbour/rootfs/etc/secret
	echo open >/run/escape/exhibits/neighbour/rootfs/etc/open
	chmod 600 /run/escape/exhibits/neighbour/rootfs/etc/secret
	chown -R 200000:200000 /run/escape/exhibits/neighbour
	mkdir -p /sys/fs/cgroup/escape-{host,service}
	root=$(stat -c %Hd:%Ld "$ESCAPE_BASE")
	clock=$(stat -c %Hr:%Lr /dev/rtc0 2>/dev/null || echo 10:135)
	for node in mem:c:1:1 port:c:1:4 kmsg:c:1:11 loop-control:c:10:237 kvm:c:10:232 uinput:c:10:223 \
		vhost-net:c:10:238 "rtc:c:$clock" hpet:c:10:228 cuse:c:10:203 mapper:c:10:236 tun:c:10:200 \
		loop0:b:7:0 msr:c:202:0 "root:b:$root"; do
		IFS=: read -r name type major minor <<<"$node"
		[[ -e /run/escape/exhibits/devices/$name ]] ||
			mknod -m 666 "/run/escape/exhibits/devices/$name" "$type" "$major" "$minor"
	done
	modprobe -a -q loop tun cuse dm_mod vhost_net msr uinput af_alg algif_hash scsi_mod || true
	# Emulated processors have AMD's virtual machines.
	modprobe -q kvm_amd || true
	# Families that Debian's kernels load for nobody who merely asks.
	modprobe -a -q can can_raw rds x25 rxrpc smc ax25 tipc || true
	# What a kernel hasn't is in tests/escape/vacuous.
	mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null || true
	mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || true
	# systemd's automount opens to nobody while its service is masked.
	[[ ! -d /run/systemd/system ]] || systemctl stop proc-sys-fs-binfmt_misc.automount 2>/dev/null || true
	mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null || true
	apparmor_parser --stdout -K -Q <<<'profile escape-victim { file, }' >/run/escape/exhibits/policy
	apparmor_parser -r -K <<<'profile escape-target flags=(attach_disconnected) { file, mount, capability, }'
	escape_load
	"$ESCAPE" --serve >"$ESCAPE_BASE/serve.log" 2>&1 &
	escape_server=$!
	for _ in $(seq 50); do
		grep -qs ready "$ESCAPE_BASE/serve.log" && break
		sleep 0.1
	done
	chmod 666 /run/escape/exhibits/leak.sock
}

# Show everybody which of the host's groups holds a container, whose limits are tried: `escape_show_group GROUP`.
escape_show_group() {
	ln -sfn "cgroup$1" /run/escape/exhibits/container-group
}

# The group of a running container: `escape_group NAME`.
escape_group() {
	sed -n "s|^0::\(.*/lxc\.payload\.$1[^/]*\).*|\1|p" "/proc/$(lxc-info -P "$ESCAPE_BASE" -n "$1" -p -H)/cgroup"
}

# The three rules that the product began with, alone and on top of what LXC gives every container.
escape_load_literal() {
	local rules='mount fstype=fuse.fuse-overlayfs -> /var/lib/docker/fuse-overlayfs/**,
		allow /dev/fuse r,
		allow /sys/fs/fuse/connections r,'
	apparmor_parser -r -K <<-END
	include <tunables/global>
	profile escape-literal flags=(attach_disconnected,mediate_deleted) {
		$rules
	}
	profile escape-literal-on-base flags=(attach_disconnected,mediate_deleted) {
		include <abstractions/lxc/container-base>
		$rules
	}
	END
}

# The profile as the product renders it on this bed, and one that an attempt may try to remove.
escape_load() {
	escape_render named "$ESCAPE_PROFILE_TEXT" && apparmor_parser -r -K "$ESCAPE_PROFILE_TEXT" || return
	if [[ -n $ESCAPE_NAMESPACE ]]; then
		escape_render stacked "$ESCAPE_STACKED_TEXT" && apparmor_parser -r -K "$ESCAPE_STACKED_TEXT" || return
	fi
	apparmor_parser -r -K <<<'profile escape-victim { }'
}
escape_render() { # MODE FILE: what is there already stays
	mkdir -p "$ESCAPE_BASE"
	[[ -s $2 ]] || "$ESCAPE_CTL" apparmor render --mode "$1" --profiles "$ESCAPE_TREE/profiles" >"$2"
}

escape_clean() {
	[[ -z $escape_server ]] || kill "$escape_server" 2>/dev/null
	umount -l /run/escape/exhibits 2>/dev/null
	rm -rf "$ESCAPE_BASE" /run/escape
	rmdir /sys/fs/cgroup/escape-{host,service} 2>/dev/null
	[[ -z $ESCAPE_NAMESPACE ]] || rmdir "/sys/kernel/security/apparmor/policy/namespaces/$ESCAPE_NAMESPACE" 2>/dev/null
}

# What the product's containers have, and the exhibits.
escape_config() { # NAME CONDITION ROOTFS
	local layers idmap apparmor seccomp devices security=${ESCAPE_ASIDE:-}sys/kernel/security
	layers=$(escape_layers "$2") || return 1
	read -r idmap apparmor seccomp devices <<<"$layers"
	[[ $apparmor != stacked ]] || security=sys/kernel/security
	cat <<-END
	lxc.uts.name = $1
	lxc.rootfs.path = dir:$3
	lxc.net.0.type = empty
	lxc.cgroup2.pids.max = ${ESCAPE_PIDS:-100}
	lxc.cgroup2.memory.max = ${ESCAPE_MEMORY:-134217728}
	lxc.mount.entry = /run/escape/exhibits escape none rbind,create=dir 0 0
	lxc.mount.entry = /run/escape/readonly escape/readonly none bind,ro,create=dir 0 0
	lxc.mount.entry = /proc escape/proc none rbind,create=dir 0 0
	lxc.mount.entry = /run/escape/other escape/other none bind,create=dir 0 0
	lxc.mount.entry = /sys/fs/cgroup escape/cgroup none bind,create=dir 0 0
	lxc.mount.entry = /sys/kernel/security $security none bind,optional 0 0
	lxc.mount.entry = /sys/kernel/debug ${ESCAPE_ASIDE:-}sys/kernel/debug none bind,optional 0 0
	lxc.mount.entry = /sys/kernel/tracing ${ESCAPE_ASIDE:-}sys/kernel/tracing none bind,optional 0 0
	lxc.mount.entry = $ESCAPE_BASE/$1/data var/lib/docker none bind,create=dir 0 0
	END
	grep -vE '^#|^$|^lxc.net|^lxc.mount.entry = @|^lxc.seccomp|^lxc.apparmor.profile|^lxc.idmap|^lxc.cgroup2.devices' \
		"$ESCAPE_TREE/profiles/lxc.conf.in"
	case $idmap in
	idmap) printf 'lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n' ;;
	*) printf 'lxc.cap.drop =\n' ;;
	esac
	case $apparmor in
	ours) echo "lxc.apparmor.profile = $ESCAPE_PROFILE" ;;
	literal*) echo "lxc.apparmor.profile = escape-$apparmor" ;;
	stacked) echo "lxc.apparmor.profile = $ESCAPE_PROFILE-stacked//&:$ESCAPE_NAMESPACE:unconfined" ;;
	*) echo 'lxc.apparmor.profile = unconfined' ;;
	esac
	case $seccomp in
	ours) echo "lxc.seccomp.profile = $ESCAPE_TREE/profiles/seccomp" ;;
	mount-api) echo "lxc.seccomp.profile = $ESCAPE_TREE/profiles/seccomp-mount-api" ;;
	stock) echo 'lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp' ;;
	esac
	case $devices in
	ours) grep '^lxc.cgroup2.devices' "$ESCAPE_TREE/profiles/lxc.conf.in" ;;
	*) echo 'lxc.cgroup2.devices.allow = a' ;;
	esac
}

# Start a container that holds nothing but the program: `escape_small_start NAME CONDITION`.
escape_small_start() {
	local root=$ESCAPE_BASE/$1/rootfs layers
	layers=$(escape_layers "$2") || return 1
	mkdir -p "$root"/{dev,proc,sys,tmp,run,etc,mnt,root,escape,var/lib/docker} "$ESCAPE_BASE/$1/data"
	install -m 755 "$ESCAPE" "$root/root/escape"
	[[ $layers != idmap* ]] || chown -R 100000:100000 "$root" "$ESCAPE_BASE/$1/data"
	chmod 711 "$ESCAPE_BASE" "$ESCAPE_BASE/$1"
	escape_config "$1" "$2" "$root" >"$ESCAPE_BASE/$1/config"
	echo 'lxc.init.cmd = /root/escape --init' >>"$ESCAPE_BASE/$1/config"
	lxc-start -P "$ESCAPE_BASE" -n "$1" -o "$ESCAPE_BASE/$1/log" -l INFO ||
		{ grep -E 'ERROR|WARN' "$ESCAPE_BASE/$1/log" | head -20 >&2; return 1; }
	escape_show_group "$(escape_group "$1")"
}

escape_attach() { # NAME COMMAND...
	local name=$1
	shift
	lxc-attach -P "$ESCAPE_BASE" -n "$name" --clear-env -v PATH=/usr/sbin:/usr/bin:/sbin:/bin -v HOME=/root -- "$@" </dev/null
}

escape_small() { # CONDITION OPTIONS...
	local condition=$1 name=escape-$1
	shift
	escape_load
	escape_small_start "$name" "$condition" || return 1
	escape_attach "$name" /root/escape --condition "$condition" "$@"
	escape_stop "$name"
}

escape_stop() {
	lxc-stop -P "$ESCAPE_BASE" -n "$1" -k
}

# The control: the same program, unconfined, as the root that owns everything. The exhibits have the same names.
escape_host() {
	mkdir -p /escape
	mount --rbind /run/escape/exhibits /escape
	mount --bind /run/escape/readonly /escape/readonly
	mount -o remount,bind,ro /escape/readonly
	mount --rbind /proc /escape/proc
	mount --bind /run/escape/other /escape/other
	mount --bind /sys/fs/cgroup /escape/cgroup
	escape_show_group /escape-host
	escape_load
	# In a group with limits, as a container is, but in no namespace of groups: with systemd's nsdelegate that one
	# would stop even this root.
	(
		echo "$BASHPID" >/sys/fs/cgroup/escape-host/cgroup.procs
		exec "$ESCAPE" --condition host "$@"
	)
	umount -R -l /escape
	rmdir /escape
}

# What no attempt may change on the host.
escape_state() {
	"$ESCAPE" --state | grep -v "^:${ESCAPE_NAMESPACE:-none}:"
	# One of the two hashes, whichever this kernel has.
	{ cat /sys/kernel/security/apparmor/policy/profiles/*/{name,sha1,sha256} 2>/dev/null || true; } | sort
}

# Join the results of all conditions with the control's: `escape_join RESULTS`.
escape_join() {
	grep '^{' "$1" | jq -s -f "$ESCAPE_TREE/tests/escape/escape.jq" --arg bed "$PH_BED" \
		--rawfile vacuous "$ESCAPE_TREE/tests/escape/vacuous"
}

# Print a part of the joined results as test lines: `escape_tap PART JOINED`. Needs tests/support/system.sh.
escape_tap() {
	local line lines
	# No process substitution: User-Mode Linux' bed has no /dev/fd.
	lines=$(jq -r ".$1[]" "$2")
	while IFS= read -r line; do
		case $line in
		'ok - '*) tap_ok "${line#ok - }" ;;
		*) tap_not_ok "${line#not ok - }" ;;
		esac
	done <<<"${lines:-no results: $1}"
}

# Stacked mode: the same profile outside, a policy namespace of the container's own inside.
escape_stacked_prepare() {
	escape_reason='the kernel cannot stack'
	[[ $(cat /sys/kernel/security/apparmor/features/domain/stack 2>/dev/null) == yes ]] || return 1
	escape_reason='no policy namespace can be made'
	mkdir -p /sys/kernel/security/apparmor/policy/namespaces/phoenix-escape 2>/dev/null || return 1
	ESCAPE_NAMESPACE=phoenix-escape
	escape_load
}
