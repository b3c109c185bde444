#!/bin/bash
# What Docker has to be able to do end to end in a confined container, and the escape suite (tests/escape) from
# inside a nested Docker container, an ordinary and a privileged one. The condition is PH_ESCAPE_CONDITION: named
# or mount-api (what the product would choose), stacked, unconfined or privileged, as in tests/support/escape.sh.
# By itself it does what kernel and Docker's version decide, and the nested attempts; PH_NEEDS=most does the rest of
# what Docker needs, PH_NEEDS=all also tries what is known not to work.
# beds: uml
# image: golden
# suites: bookworm forky
# deadline: 500
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"
# shellcheck source=tests/support/escape.sh
. "$(dirname "$0")/../support/escape.sh"
image=${PH_IMAGE:?the container image: see dev/lib/container-image}
# Forky's systemd gets the other seccomp policy, as the product would choose it.
case ${image##*/} in
*forky*) condition=${PH_ESCAPE_CONDITION:-mount-api} ;;
*) condition=${PH_ESCAPE_CONDITION:-named} ;;
esac
name=needs
results=${PH_ESCAPE_RESULTS:-/tmp/escape-results.jsonl}
joined=/tmp/escape-joined.json
needs=${PH_NEEDS:-few}
export ESCAPE_PIDS=3000 ESCAPE_MEMORY=2147483648 ESCAPE_ASIDE=escape/

# A thing that Docker has to be able to do: `expect TITLE COMMAND...`. In User-Mode Linux a Go program stands still
# now and then (docs/test-beds.md): what ran into its limit there gets one more try.
expect() {
	local title="$condition: $1" output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	if ((status == 124)) && [[ $PH_BED == uml ]]; then
		tap_note "$title: stood still; once more"
		status=0
		output=$("$@" 2>&1) || status=$?
	fi
	if ((status == 0)); then
		tap_ok "$title"
	else
		tap_not_ok "$title"
		tap_note "status $status: $(tail -n 15 <<<"$output")"
	fi
}
inside() {
	lxc-attach -P "$ESCAPE_BASE" -n "$name" --clear-env -v HOME=/root -v DEBIAN_FRONTEND=noninteractive \
		-v DOCKER_BUILDKIT=0 -v PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		-- "$@" </dev/null 2>&1 | cat
	return "${PIPESTATUS[0]}"
}
shell() { inside timeout -k 10 $((120 * PH_TIME_SCALE)) bash -c "$1"; }
run() { inside timeout -k 10 $((120 * PH_TIME_SCALE)) docker run --rm "$@"; }
is_up() { [[ $(inside systemctl is-system-running) =~ running|degraded ]]; }

start_container() {
	local root=$ESCAPE_BASE/$name/rootfs
	mkdir -p "$root" "$ESCAPE_BASE/$name/data"
	chmod 711 "$ESCAPE_BASE" "$ESCAPE_BASE/$name"
	if [[ $(escape_layers "$condition") == idmap* ]]; then
		chown 100000:100000 "$root" "$ESCAPE_BASE/$name/data"
		lxc-usernsexec -m b:0:100000:65536 -- tar -xpf - --numeric-owner -C "$root" <"$image"
	else
		tar -xpf "$image" --numeric-owner -C "$root"
	fi
	install -m 755 "$ESCAPE" "$root/usr/local/bin/escape"
	escape_config "$name" "$condition" "$root" >"$ESCAPE_BASE/$name/config"
	lxc-start -P "$ESCAPE_BASE" -n "$name" -o "$ESCAPE_BASE/$name/log" -l INFO &&
		wait_until 90 is_up || return
	escape_show_group "$(escape_group "$name")"
}
start_docker() {
	# That kernel's nf_tables has no ip family.
	[[ $PH_BED != uml ]] || shell 'update-alternatives --set iptables /usr/sbin/iptables-legacy'
	shell 'mkdir -p /etc/docker
		echo "{\"storage-driver\":\"fuse-overlayfs\",\"features\":{\"containerd-snapshotter\":false}}" >/etc/docker/daemon.json
		systemctl reset-failed docker; systemctl restart docker && docker info | grep "Storage Driver: fuse-overlayfs"'
}
# A root of a few programs and the libraries they ask for: no registry is within reach.
make_image() {
	shell 'set -e; cd "$(mktemp -d)"; mkdir -p bin proc tmp etc escape
		for program in sh bash cat ls sleep id mkdir; do cp -L "$(command -v $program)" bin/; done
		cp /usr/local/bin/escape bin/
		for library in $(ldd bin/* 2>/dev/null | grep -o "/[^ ]*\.so[^ ]*" | sort -u); do
			mkdir -p ".$(dirname "$library")"; cp -L "$library" ".$library"; done
		echo root:x:0:0::/:/bin/sh >etc/passwd
		tar -c . | docker import - needs:1'
}
two_layers() {
	shell 'set -e; cd "$(mktemp -d)"; echo content >added
		printf "FROM needs:1\nCOPY added /added\nRUN cat /added >/copied && mkdir /made\nCMD [\"cat\",\"/copied\"]\n" >Dockerfile
		docker build -t needs:2 . && test "$(docker run --rm --network none needs:2)" = content'
}
talk() { # the second container finds the first by its name
	shell 'docker rm -f server; docker network create pair; docker run -d --name server --network pair needs:1 escape --listen 80 &&
		for try in 1 2 3 4 5; do
			docker run --rm --network pair needs:1 bash -c "exec 3<>/dev/tcp/server/80 && read -ru3 word && test \$word = hello" &&
				exit 0
			sleep 1
		done; exit 1'
}
published() {
	shell 'docker rm -f web; docker run -d --name web -p 18080:80 needs:1 escape --listen 80
		for try in 1 2 3 4 5 6 7 8; do
			exec 3<>/dev/tcp/127.0.0.1/18080 && read -ru3 word && test "$word" = hello && exit 0
			sleep 1
		done 2>/dev/null; docker logs web; exit 1'
}
healthy() {
	shell 'docker rm -f checked; docker run -d --name checked --network none --health-cmd "test -e /tmp" --health-interval 1s needs:1 sleep 600
		for try in $(seq 30); do
			test "$(docker inspect -f "{{.State.Health.Status}}" checked)" = healthy && exit 0
			sleep 1
		done; docker inspect -f "{{json .State.Health}}" checked; exit 1'
}
restarted() {
	shell 'docker rm -f again; docker run -d --name again --restart always --network none needs:1 sleep 600
		kill -9 "$(docker inspect -f "{{.State.Pid}}" again)"
		for try in $(seq 30); do
			test "$(docker inspect -f "{{.RestartCount}} {{.State.Running}}" again)" = "1 true" && exit 0
			sleep 1
		done; docker inspect -f "{{json .State}}" again; exit 1'
}
# Docker has a container's end from its shim, a Go program, and one that stands still, as they do in User-Mode Linux, tells
# it nothing: Docker then "did not receive an exit event", ever. What the profile decides is whether the kill gets there.
removal_of_everything() {
	local title="$condition: removal of everything" pids output status=0
	pids=$(shell 'docker ps -q | xargs docker inspect -f "{{.State.Pid}}"' | tr '\n' ' ') || pids=
	output=$(shell 'timeout -k 5 90 docker rm -f $(docker ps -aq) && docker network rm pair && docker volume rm kept') || status=$?
	if ((status == 0)); then
		tap_ok "$title"
	elif [[ $PH_BED == uml && -n $pids ]] && have_ended "$pids"; then
		tap_skip "$title" "a shim stands still; the kill has reached all that ran ($pids)"
	else
		tap_not_ok "$title"
		tap_note "status $status, ran: $pids: $(tail -n 15 <<<"$output")"
	fi
}
# Nobody waits for a zombie whose shim stands still.
have_ended() { shell "for pid in $1; do test -z \"\$(tr -d '\\0' <\"/proc/\$pid/cmdline\" 2>/dev/null)\" || exit 1; done"; }
under_docker_default() { [[ $(run --network none needs:1 cat /proc/self/attr/apparmor/current) == 'docker-default (enforce)' ]]; }
# A known limit (docs/escape-suite.md): the kernel gives a nested user namespace no sysfs of its own as long as none
# that is seen whole is there. One is mounted here for it to see.
user_namespaces_remapped() {
	local output
	if [[ $needs != all ]]; then
		tap_skip "$condition: user namespaces remapped" 'a known limit: the kernel refuses them a sysfs; PH_NEEDS=all tries'
	elif output=$(remapped); then
		tap_ok "$condition: user namespaces remapped"
	elif [[ $output =~ sysfs.*'operation not permitted' ]]; then
		tap_skip "$condition: user namespaces remapped" 'a known limit: the kernel refuses them a sysfs'
	else
		tap_not_ok "$condition: user namespaces remapped"
		tap_note "$(tail -n 15 <<<"$output")"
	fi
}
remapped() {
	shell 'mkdir -p /run/whole/sys /run/whole/proc
		mountpoint -q /run/whole/sys || mount -t sysfs sysfs /run/whole/sys
		mountpoint -q /run/whole/proc || mount -t proc proc /run/whole/proc
		cp -n /etc/docker/daemon.json /root/daemon.json
		grep -q dockremap /etc/subuid || { useradd -r -s /usr/sbin/nologin dockremap
			echo dockremap:20000:30000 >>/etc/subuid; echo dockremap:20000:30000 >>/etc/subgid; }
		echo "{\"storage-driver\":\"fuse-overlayfs\",\"userns-remap\":\"dockremap\",\"features\":{\"containerd-snapshotter\":false}}" \
			>/etc/docker/daemon.json
		docker export "$(docker create needs:1 sh)" >/root/needs.tar
		systemctl reset-failed docker; systemctl restart docker && docker import /root/needs.tar needs:1 &&
			docker run --rm --network none needs:1 cat /proc/self/uid_map | grep -q " 20000 "; status=$?
		cp /root/daemon.json /etc/docker/daemon.json
		systemctl reset-failed docker; systemctl restart docker; exit $status'
}

# What the kernel decides: bridges, packet filter, control groups, file systems.
needs_of_kernel() {
	expect 'build of two layers' two_layers
	expect 'volume' shell 'docker volume create kept && docker run --rm --network none -v kept:/v needs:1 sh -c "echo kept >/v/x" &&
		docker run --rm --network none -v kept:/v:ro needs:1 sh -c "test \$(cat /v/x) = kept && ! echo no >/v/x"'
	expect 'tmpfs mount' run --network none --tmpfs /t:size=1m,noexec needs:1 sh -c 'echo x >/t/x'
	expect 'two containers on a network of their own, by name' talk
	expect 'published port' published
}
needs_of_docker() {
	expect 'bind mount' run --network none -v /root:/h needs:1 sh -c 'echo x >/h/from-nested'
	expect 'read-only root' run --network none --read-only --tmpfs /tmp needs:1 sh -c 'echo x >/tmp/x && ! echo x >/x'
	expect 'init' run --network none --init needs:1 sh -c 'cat /proc/1/comm | { read -r word; case $word in docker-init|tini) ;; *) exit 1;; esac; }'
	expect 'another user' run --network none --user 1000:1000 needs:1 sh -c 'test $(id -u) = 1000'
	expect 'dropped capabilities' run --network none --cap-drop ALL needs:1 sh -c 'cat /proc/self/status | while read -r key value; do
		case $key in CapEff:) test $value = 0000000000000000 || exit 1;; esac; done'
	expect 'security options' run --network none --security-opt no-new-privileges --security-opt seccomp=unconfined needs:1 sh -c 'exit 0'
	expect 'limits' run --network none --memory 64m --pids-limit 50 --cpus 0.5 needs:1 sh -c 'exit 0'
	expect 'sysctl' run --network none --sysctl net.ipv4.ip_unprivileged_port_start=0 --sysctl kernel.shm_rmid_forced=1 needs:1 sh -c 'exit 0'
	expect 'host network' run --network host needs:1 sh -c 'exit 0'
	expect 'host pid namespace' run --network none --pid host needs:1 sh -c 'exit 0'
	expect 'exit status' shell 'docker run --rm --network none needs:1 sh -c "exit 7"; test $? = 7'
	expect 'detached, exec, logs' shell 'docker rm -f long; docker run -d --name long --network none needs:1 sh -c "echo said; exec sleep 600" &&
		test "$(docker exec long sh -c "echo heard")" = heard && docker logs long | grep -q said'
	expect 'stop and start' shell 'docker stop -t 2 long && docker start long && docker exec long sh -c "exit 0"'
	expect 'pause and unpause' shell 'docker pause long && docker unpause long'
	expect 'copy in and out' shell 'echo copied >/tmp/c && docker cp /tmp/c long:/c && docker cp long:/c /tmp/d && grep -q copied /tmp/d'
	expect 'commit' shell 'docker commit long needs:3 && docker run --rm --network none needs:3 cat /c | grep -q copied'
	expect 'save and load' shell 'docker save needs:2 -o /tmp/s.tar && docker rmi -f needs:2 && docker load -i /tmp/s.tar &&
		test "$(docker run --rm --network none needs:2)" = content'
	expect 'health check' healthy
	expect 'restart policy' restarted
	expect 'restart of the daemon' shell 'systemctl reset-failed docker; systemctl restart docker && docker ps | grep -q again'
	removal_of_everything
}

# From inside: the exhibits are handed on, so that what's stopped isn't merely out of sight.
try_nested() {
	local place shown hand_on=(-v /escape:/escape --network none --pids-limit 100 --memory 128m)
	for place in security debug tracing; do
		shown=/escape/sys/kernel/$place
		[[ $condition-$place != stacked-security ]] || shown=/sys/kernel/security
		[[ ! -d /sys/kernel/$place ]] || hand_on+=(-v "$shown:/sys/kernel/$place")
	done
	escape_load
	escape_state >/tmp/escape-before
	for nested in "${nesteds[@]}"; do
		[[ $nested != docker-privileged* ]] || hand_on+=(--privileged)
		run "${hand_on[@]}" needs:1 escape --json --group denied --condition "$nested" >>"$results" || true
	done
	escape_state >/tmp/escape-after
	tap_note "$(grep -v '^{' "$results" | tail -n 10)"
}

judge_nested() {
	local nested tried through difference
	difference=$(diff /tmp/escape-before /tmp/escape-after) || true
	escape_join "$results" >"$joined"
	if is_confined; then
		tap_is 'nested: nothing global on the host has changed' "$difference" ''
		escape_tap nested "$joined"
	fi
	for nested in "${nesteds[@]}"; do
		tried=$(jq -r ".table[] | select(.condition == \"$nested\") | .denied - .without_control - .absent" "$joined")
		through=$(jq -r ".table[] | select(.condition == \"$nested\") | .through_names[]" "$joined")
		if is_confined; then
			tap_is "nested: none of ${tried:-0} attempts gets through as $nested" "$through" ''
		else
			tap_note "$nested: $(grep -c . <<<"$through") of ${tried:-?} get through"
		fi
		tap_run "nested: that many were tried as $nested" test "${tried:-0}" -ge 76
	done
}

# Whether the container is held by all that the product has.
is_confined() { [[ $condition == named || $condition == stacked || $condition == mount-api ]]; }

# Say how long a part took: `timed PART FUNCTION`.
timed() {
	local start=$SECONDS
	"$2"
	tap_note "$1: $((SECONDS - start)) s"
}

[[ -d /sys/kernel/security/apparmor ]] || { tap_skip 'what Docker needs' 'no AppArmor in this kernel' && tap_done; }
suffix=
[[ $condition == named ]] || suffix=-$condition
nesteds=("docker$suffix" "docker-privileged$suffix")
escape_prepare
trap clean EXIT
clean() {
	lxc-stop -P "$ESCAPE_BASE" -n "$name" -k 2>/dev/null || true
	escape_clean
}
if [[ $condition == stacked ]] && ! escape_stacked_prepare; then
	tap_skip 'what Docker needs, stacked' "$escape_reason"
	tap_done
fi
modprobe -a ip_tables iptable_nat iptable_filter br_netfilter xt_MASQUERADE xt_addrtype xt_conntrack 2>/dev/null || true
expect 'a container with systemd starts' start_container
expect 'Docker runs' start_docker
((tap_failed == 0)) || tap_done
expect 'an image is imported' make_image
if [[ $condition == stacked ]]; then expect "Docker's own profile holds its containers" under_docker_default; fi
escape_host --json --group denied >"$results" || true
timed 'what kernels decide' needs_of_kernel
if [[ $needs != few ]]; then timed 'the rest of what Docker needs' needs_of_docker; fi
timed 'attempts from nested containers' try_nested
judge_nested
user_namespaces_remapped
tap_done
