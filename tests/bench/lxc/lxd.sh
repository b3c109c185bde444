# shellcheck shell=bash
# An LXD of the benchmark's own: its daemon in a private folder, storage on plain directories, no network.
# Sets LXD_SKIPPED to the reason when it cannot run here; LXD_WORK is its folder.

LXD_SKIPPED='' LXD_WORK='' LXD_PID=''

lxd_client() {
	LXD_DIR=$LXD_WORK LXD_CONF=$LXD_WORK/client timeout 300 lxc "$@"
}

lxd_skip() {
	LXD_SKIPPED="$1: $(tr -d '"\\\t' <"$2" | tail -n 2 | tr '\n' ' ' | cut -c1-300)"
	LXD_SKIPPED=${LXD_SKIPPED//\"/}
	echo "bench-lxc: LXD is left out: $LXD_SKIPPED" >&2
}

# Start the daemon and COUNT containers from an image's tar file: `lxd_up IMAGE COUNT`.
lxd_up() {
	local log=$PH_WORK/lxd.log index
	command -v lxd >/dev/null || {
		LXD_SKIPPED='the package lxd is not installed (dev/setup --bench)'
		return
	}
	LXD_WORK=$PH_WORK/lxd
	mkdir -p "$LXD_WORK"
	LXD_DIR=$LXD_WORK setsid lxd --group root >"$log" 2>&1 &
	LXD_PID=$!
	LXD_DIR=$LXD_WORK timeout 60 lxd waitready --timeout 50 >>"$log" 2>&1 || {
		lxd_skip 'its daemon does not get ready' "$log"
		return
	}
	{
		lxd_client storage create default dir &&
			lxd_client profile device add default root disk path=/ pool=default
	} >>"$log" 2>&1 || {
		lxd_skip 'it has no storage' "$log"
		return
	}
	printf 'architecture: x86_64\ncreation_date: 1\nproperties: {description: bench}\n' >"$PH_WORK/metadata.yaml"
	tar -C "$PH_WORK" -czf "$PH_WORK/metadata.tar.gz" metadata.yaml
	lxd_client image import "$PH_WORK/metadata.tar.gz" "$1" --alias bench >>"$log" 2>&1 || {
		lxd_skip 'it does not take the image' "$log"
		return
	}
	for index in $(seq "$2"); do
		# The image has no init.
		lxd_client launch bench "bench$index" -c raw.lxc='lxc.init.cmd = /bin/sleep infinity' >>"$log" 2>&1 || {
			lxd_skip 'it does not start a container' "$log"
			return
		}
	done
}

# Take it all away, whatever state it is in.
lxd_down() {
	local name pid
	[[ -n $LXD_WORK ]] || return 0
	for name in $(lxd_client list --format csv -c n 2>/dev/null); do
		lxd_client delete --force "$name" >/dev/null 2>&1 || true
	done
	[[ -z $LXD_PID ]] || kill_daemon "$LXD_PID" || true
	# Its monitors are named after its folder.
	for pid in /proc/[0-9]*; do
		if { tr '\0' ' ' <"$pid/cmdline" | grep -qF -e "$LXD_WORK"; } 2>/dev/null; then
			kill -KILL "${pid#/proc/}" 2>/dev/null || true
		fi
	done
	awk -v folder="$LXD_WORK" 'index($5, folder) == 1 {print $5}' /proc/self/mountinfo | tac |
		while read -r name; do umount -l "$name" 2>/dev/null || true; done
	rm -rf --one-file-system "$LXD_WORK"
	LXD_WORK=''
}
