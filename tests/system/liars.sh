#!/bin/bash
# Set-ups that lie: Docker says that all is well, and it is not. Each is broken for real, found by a condition with its
# reason and remedy, and mended again; `docker info` is asked whether it has noticed anything.
# beds: native uml
# deadline: 300
# image: golden
# shellcheck disable=SC2317,SC2016 # functions are called by name; what runs inside has variables of its own
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

ROOT=/var/lib/docker
INFO='' # what docker info says while all is well
BED=''  # what health has to say of the bed itself while all is well

# --- the container --------------------------------------------------------------------------------------------------

in_web1() {
	lxc-attach -P "$PH_WORK/state/containers" -n web1 --clear-env -- "$@"
}

in_web1_sh() {
	in_web1 /bin/sh -euc "$1"
}

init_pid() {
	lxc-info -P "$PH_WORK/state/containers" -n web1 -pH
}

# Its mounts, changed by its root, but without its profile, which lets nobody do this from inside.
mount_in_web1() {
	nsenter --user --mount --pid --setuid 0 --setgid 0 --target "$(init_pid)" -- "$@"
}

# `signal NAME PROGRAM`: to every process of that name in it
signal() {
	in_web1_sh "for process in /proc/[0-9]*; do
		read -r name <\$process/comm || continue
		[ \"\$name\" != $2 ] || kill -$1 \${process#/proc/}
	done"
}

# Its data-root has a small file system of its own, so that it can be filled; where the kernel has loop devices.
make_data_disk() {
	mkdir -p "$PH_WORK/state/data"
	truncate -s 700M "$PH_WORK/disk"
	mkfs.ext4 -q -N 8192 -m 0 "$PH_WORK/disk"
	mount -o loop "$PH_WORK/disk" "$PH_WORK/state/data" || return 0
	chmod 711 "$PH_WORK/state/data"
}

make_web1() {
	cat >"$PH_WORK/fleet.yaml" <<-END
	version: 1
	containers:
	- name: web1
	  image: base
	  confinement: $(confinement)
	  storage: {driver: fuse-overlayfs}
	  docker: {users: [games]}
	END
	ctl image import base "$PH_IMAGE" >/dev/null
	tap_run 'a container with Docker, verified' ctl apply -f "$PH_WORK/fleet.yaml"
}

# A nested container that lives for a while: its image is this container's own sleep.
run_nested() {
	in_web1_sh 'tar -chf - -C / bin/sleep $(ldd /bin/sleep | grep -o "/[^ ]*" | cut -c2-) | docker import - nested >/dev/null
		docker run --detach --network none --name nested nested /bin/sleep 100000 >/dev/null'
}

# --- what is said ---------------------------------------------------------------------------------------------------

# What docker info says of all that could be broken; nothing when it does not answer at all.
docker_info() {
	in_web1 timeout 3 /usr/bin/docker info --format \
		'{{.ServerVersion}} {{.Driver}} {{.DockerRootDir}} {{.CgroupVersion}} {{json .DriverStatus}} {{json .Warnings}}' 2>/dev/null
}

# It exits with 3 when something is wrong.
health() {
	ctl --json health web1 2>/dev/null || true
}

# `says TYPE STATUS REASON`: health has that condition now
says() {
	health | jq -e --arg type "$1" --arg status "$2" --arg reason "$3" \
		'.containers[0].conditions[] | select(.type == $type and .status == $status and .reason == $reason)'
}

# The conditions that are not as they should be; what the bed itself brings along is not counted (BED).
complaints() {
	health | jq -r '.containers[0].conditions[] |
		select(.status != "TRUE" and .type != "Confined") | "\(.type) \(.reason): \(.message)"'
}

is_well() {
	[[ $(health | jq -r '.containers[0].ready') == true && $(complaints) == "$BED" ]]
}

# --- the suite ------------------------------------------------------------------------------------------------------

# `liar NAME TYPE STATUS REASON EVIDENCE REMEDY [blind|silent|warns]`: call break_NAME, expect the condition with a message and a
# remedy that match the extended regular expressions, call mend_NAME, expect health to be back. docker info must go on
# saying the same (blind), or be unable to answer (silent), or warn, but not of what is wrong (warns). PH_LIARS="NAME..." picks some.
liar() {
	local name=$1 type=$2 status=$3 reason=$4 evidence=$5 remedy=$6 eyes=${7:-blind} said found=''
	[[ -z ${PH_LIARS:-} || " $PH_LIARS " == *" $name "* ]] || return 0
	"break_$name" >/dev/null || tap_note "breaking $name failed"
	wait_until 30 says "$type" "$status" "$reason" || true
	found=$(says "$type" "$status" "$reason" | jq -rs 'last | "\(.message) => \(.remedy)"') || true
	if [[ $found =~ $evidence.*' => '.*$remedy ]]; then
		tap_ok "$name: $type is $status, $reason"
	else
		tap_not_ok "$name: $type is $status, $reason"
		tap_note "wanted: $evidence => $remedy"
		tap_note "got: $found"
		tap_note "$(complaints)"
	fi
	case $eyes in
	blind)
		said=$(docker_info) || said="exit status $?"
		tap_is "$name: docker info exits 0 and says the same as ever" "$said" "$INFO"
		;;
	silent) tap_exits "$name: docker info cannot answer at all" 124 docker_info ;;
	warns) tap_exits "$name: docker info exits 0, and warns of something else" 0 docker_info ;;
	esac
	"mend_$name" >/dev/null || tap_note "mending $name failed"
	if wait_until 30 is_well; then
		tap_ok "$name: mended, and health says so"
	else
		tap_not_ok "$name: mended, and health says so"
		tap_note "$(complaints)"
	fi
}

# --- devices, programs ----------------------------------------------------------------------------------------------

break_fuse_device() { mount_in_web1 mount --bind /dev/null /dev/fuse; }
mend_fuse_device() { mount_in_web1 umount /dev/fuse; }

break_fuse_removed() { in_web1 mv /usr/bin/fuse-overlayfs /root/; }
mend_fuse_removed() { in_web1 mv /root/fuse-overlayfs /usr/bin/; }

# Answers whatever one wants to hear.
fake_program() {
	in_web1_sh "printf '#!/bin/sh\nexit 0\n' >/usr/local/sbin/$1; chmod 755 /usr/local/sbin/$1"
}

break_fake_docker() { fake_program docker; }
mend_fake_docker() { in_web1 rm /usr/local/sbin/docker; }

break_fake_fuse() { fake_program fuse-overlayfs; }
mend_fake_fuse() { in_web1 rm /usr/local/sbin/fuse-overlayfs; }

break_runc_replaced() { in_web1_sh 'path=$(command -v runc); mv $path /root/runc; cp /bin/true $path'; }
mend_runc_replaced() { in_web1_sh 'mv -f /root/runc $(command -v runc)'; }

# --- storage --------------------------------------------------------------------------------------------------------

break_fuse_killed() { signal KILL fuse-overlayfs; }
mend_fuse_killed() { in_web1_sh '/usr/bin/docker kill nested; /usr/bin/docker start nested'; }

break_fuse_hangs() { signal STOP fuse-overlayfs; }
mend_fuse_hangs() { signal CONT fuse-overlayfs; }

# `fuse_limit FILES`: how many it may have open, or as many as it has
fuse_limit() {
	in_web1_sh "for process in /proc/[0-9]*; do
		read -r name <\$process/comm || continue
		[ \"\$name\" = fuse-overlayfs ] || continue
		files=${1:-\$(ls \$process/fd | wc -l)}
		prlimit --pid \${process#/proc/} --nofile=\$files:
	done"
}

break_fuse_files() { fuse_limit; }
mend_fuse_files() { fuse_limit 1024; }

# As a Docker does it that knows nothing of userxattr.
break_no_userxattr() {
	in_web1_sh "mkdir -p $ROOT/liar/lower/dir $ROOT/liar/upper $ROOT/liar/work $ROOT/liar/merged; touch $ROOT/liar/lower/dir/file
		mount -t overlay -o lowerdir=$ROOT/liar/lower,upperdir=$ROOT/liar/upper,workdir=$ROOT/liar/work overlay $ROOT/liar/merged"
}
mend_no_userxattr() { in_web1_sh "umount $ROOT/liar/merged; rm -rf $ROOT/liar"; }

# Whoever has a file open goes on writing, as after a disk error.
break_data_readonly() { mount_in_web1 sh -euc "mount --bind $ROOT $ROOT; mount -o remount,bind,ro $ROOT"; }
mend_data_readonly() { mount_in_web1 umount --lazy "$ROOT"; }

break_data_full() { fallocate -l "$(df --output=avail --block-size=1 "$PH_WORK/state/data" | tail -n 1)" "$PH_WORK/state/data/full" 2>/dev/null || true; }
mend_data_full() { rm "$PH_WORK/state/data/full"; }

break_data_inodes() {
	mkdir "$PH_WORK/state/data/many"
	(cd "$PH_WORK/state/data/many" && seq "$(df --output=iavail . | tail -n 1)" | xargs touch)
}
mend_data_inodes() { rm -rf "$PH_WORK/state/data/many"; }

break_data_overlay() {
	mount_in_web1 sh -euc "mkdir -p /run/liar; mount -t tmpfs tmpfs /run/liar; mkdir /run/liar/upper /run/liar/work
		mount -t overlay -o lowerdir=$ROOT,upperdir=/run/liar/upper,workdir=/run/liar/work overlay $ROOT"
}
mend_data_overlay() {
	mount_in_web1 umount --lazy "$ROOT"
	mount_in_web1 umount /run/liar
}

# --- daemons and their configuration --------------------------------------------------------------------------------

break_dockerd_stopped() { signal STOP dockerd; }
mend_dockerd_stopped() { signal CONT dockerd; }

break_containerd_stopped() { signal STOP containerd; }
mend_containerd_stopped() { signal CONT containerd; }

# And kept from coming back.
break_containerd_killed() {
	in_web1_sh 'systemctl --runtime mask --quiet containerd.service; systemctl kill --signal=KILL --kill-who=main containerd.service'
}
mend_containerd_killed() { in_web1_sh 'systemctl --runtime unmask --quiet containerd.service; systemctl start containerd.service'; }

break_edited_to_vfs() { in_web1 sed -i.saved 's/"fuse-overlayfs"/"vfs"/' /etc/docker/daemon.json; }
mend_edited() { in_web1 mv /etc/docker/daemon.json.saved /etc/docker/daemon.json; }
mend_edited_to_vfs() { mend_edited; }

break_edited_harmlessly() { in_web1 sed -i.saved '0,/{/s//{ "debug": false,/' /etc/docker/daemon.json; }
mend_edited_harmlessly() { mend_edited; }

break_edited_badly() { in_web1 sed -i.saved 's/}//g' /etc/docker/daemon.json; }
mend_edited_badly() { mend_edited; }

# --- what was applied -----------------------------------------------------------------------------------------------

break_group_emptied() { in_web1 gpasswd --delete games docker; }
mend_group_emptied() { in_web1 gpasswd --add games docker; }

break_hold_removed() { in_web1 apt-mark unhold runc; }
mend_hold_removed() { in_web1 apt-mark hold runc; }

# dpkg does not care for holds.
break_held_upgraded() {
	in_web1_sh 'cd /root; dpkg-deb --raw-extract /var/cache/phoenix-repository/fuse-overlayfs_*.deb newer
		sed -i "s/^Version: .*/&.9/" newer/DEBIAN/control; dpkg-deb -Znone --build newer newer.deb; dpkg --install newer.deb'
}
mend_held_upgraded() {
	in_web1_sh 'dpkg --force-downgrade --install /var/cache/phoenix-repository/fuse-overlayfs_*.deb
		apt-mark hold fuse-overlayfs; rm -r /root/newer /root/newer.deb'
}

break_agent_blind() { in_web1 mv /usr/bin/dpkg-query /root/; }
mend_agent_blind() { in_web1 mv /root/dpkg-query /usr/bin/; }

# --- the machine around it ------------------------------------------------------------------------------------------

break_cgroups_hidden() { mount_in_web1 mount -t tmpfs tmpfs /sys/fs/cgroup; }
mend_cgroups_hidden() { mount_in_web1 umount /sys/fs/cgroup; }

break_bridge_down() { in_web1 ip link set docker0 down; }
mend_bridge_down() { in_web1 ip link set docker0 up; }

break_bridge_address() { in_web1_sh 'ip -4 -o address show docker0 | { read -r _ _ _ address _; echo $address; } >/root/address
		ip address flush dev docker0'; }
mend_bridge_address() { in_web1_sh 'ip address add $(cat /root/address) dev docker0'; }

# --- the table ------------------------------------------------------------------------------------------------------

suite() {
	liar fuse_device FuseDevice FALSE NotFuse 'not the FUSE device' 'modprobe fuse'
	liar fuse_removed ProgramsInPlace FALSE Missing 'fuse-overlayfs' 'reinstall'
	liar fake_docker ProgramsInPlace FALSE Shadowed '/usr/local/sbin/docker' 'remove what'
	liar fake_fuse ProgramsInPlace FALSE Shadowed '/usr/local/sbin/fuse-overlayfs' 'remove what'
	liar runc_replaced DockerUnchanged FALSE ProgramReplaced 'program:runc' 'phoenixctl verify'
	liar fuse_hangs StorageMountsAlive FALSE MountHangs 'container nested' 'stopped'
	liar fuse_files FuseDaemonHeadroom FALSE ManyFiles 'descriptors' 'LimitNOFILE'
	liar fuse_killed StorageMountsAlive FALSE MountDead 'container nested .*whatever docker ps says' 'docker kill'
	liar no_userxattr StorageMountsAlive FALSE WithoutUserxattr "$ROOT/liar/merged" 'fuse-overlayfs'
	liar data_readonly DataRootUsable FALSE ReadOnly 'read-only' 'disk errors'
	if mountpoint --quiet "$PH_WORK/state/data"; then
		liar data_full DiskHeadroom FALSE BlocksLow '^0 of' 'prune'
		liar data_inodes DiskHeadroom FALSE InodesLow '^0 of' 'prune'
	else
		tap_skip 'a data-root without room' 'no loop devices on this bed: it would be the whole disk'
	fi
	liar data_overlay DockerUnchanged FALSE DataRootChanged 'ext4 is now overlay' 'phoenixctl verify'
	liar dockerd_stopped DockerResponding FALSE Stopped 'dockerd .pid' 'kill -CONT' silent
	liar containerd_stopped DockerResponding FALSE ContainerdStopped 'containerd .pid' 'kill -CONT' silent
	liar containerd_killed DockerResponding FALSE ContainerdGone 'containerd does not' 'systemctl restart'
	liar edited_to_vfs StorageDriverAsPlanned FALSE ConfigChanged 'vfs' ''
	liar edited_harmlessly DockerUnchanged FALSE DaemonJsonEdited 'daemon.json was edited' 'phoenixctl apply'
	liar edited_badly StorageDriverAsPlanned FALSE ConfigUnusable '/etc/docker/daemon.json:' ''
	liar group_emptied DockerUsers FALSE UsersMissing 'games' 'phoenixctl apply'
	liar hold_removed PackagesHeld FALSE HoldLost 'runc' 'phoenixctl apply'
	liar held_upgraded DockerUnchanged FALSE PackageChanged 'fuse-overlayfs: .* is now .*\.9' 'phoenixctl verify'
	liar agent_blind AgentAnswers FALSE HealthFailed 'dpkg-query' 'asked again'
	liar cgroups_hidden CgroupsMounted FALSE Hidden 'over the control groups' 'umount' warns
	if in_web1 test -e /sys/class/net/docker0; then
		liar bridge_down BridgeUp FALSE Down 'docker0 is down' 'ip link set'
		liar bridge_address BridgeUp FALSE NoAddress 'no gateway' 'restart dockerd'
	else
		tap_skip 'the bridge' 'dockerd has none on this bed'
	fi
}

# A machine-wide setting: only where the kernel is the bed's own. It is told for ten minutes, so that it is the last.
test_clock() {
	if [[ $PH_BED == native ]]; then
		tap_skip 'a clock that is set' "it would be everybody's clock on this machine"
		return
	fi
	date --set '+1 day' >/dev/null
	tap_run 'clock_jumped: ClockSteady is FALSE, Jumped' wait_until 20 says ClockSteady FALSE Jumped
	tap_is 'clock_jumped: docker info exits 0 and says the same as ever' "$(docker_info)" "$INFO"
	date --set '-1 day' >/dev/null
}

# With consent the dead storage is repaired by itself, once; not again at once, whatever keeps killing it.
test_repair() {
	sed -i 's/users: \[games\]/users: [games], repair: [fuse-daemon]/' "$PH_WORK/fleet.yaml"
	tap_run 'repair: the fleet file consents' ctl apply -f "$PH_WORK/fleet.yaml"
	signal KILL fuse-overlayfs
	tap_run 'repair: it is done and told' wait_until 40 has_event repair.done
	tap_run 'repair: health is back' wait_until 30 is_well
	tap_run 'repair: the nested container runs again' in_web1 /usr/bin/docker exec nested /bin/sleep 0
	signal KILL fuse-overlayfs
	tap_run 'repair: not again within ten minutes, and that is told' wait_until 40 has_event repair.limited
	tap_run 'repair: which is left to a person' says StorageMountsAlive FALSE MountDead
}

# Asking for health is what notices.
has_event() {
	health >/dev/null
	ctl --json events --container web1 | jq -es --arg type "$1" 'any(.[]; .type == $type)'
}

# There each line takes ten seconds: only those that AppArmor or its kernel could make a difference to.
[[ $PH_BED == native ]] || : "${PH_LIARS:=fuse_device fuse_killed data_readonly}"
phoenix_up
make_data_disk
make_web1
run_nested
INFO=$(docker_info)
tap_note "docker info: $INFO"
BED=$(complaints)
tap_note "of this bed: $BED"
tap_run 'all is well' wait_until 20 is_well
suite
test_repair
test_clock
tap_done
