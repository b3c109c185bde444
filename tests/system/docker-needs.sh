#!/bin/bash
# What Docker has to be able to do end to end in a confined container, and the escape suite (tests/escape) from
# inside a nested Docker container, an ordinary and a privileged one. The condition is PH_ESCAPE_CONDITION: named
# (the default), stacked, unconfined or privileged, as in tests/support/escape.sh.
# By hand: PH_IMAGE=$(dev/lib/container-image uml) tests/vm/uml --deadline 500 tests/system/docker-needs.sh
# beds: by-hand
# deadline: 600
set -uo pipefail
# shellcheck source=tests/support/escape.sh
. "$(dirname "$0")/../support/escape.sh"
image=${PH_IMAGE:?the container image: see dev/lib/container-image}
condition=${PH_ESCAPE_CONDITION:-named}
name=needs
results=${PH_ESCAPE_RESULTS:-/tmp/escape-results.jsonl}
export ESCAPE_PIDS=3000 ESCAPE_MEMORY=2147483648 ESCAPE_ASIDE=escape/
count=0 failed=0

expect() { # NAME COMMAND...
	local title=$1 output
	shift
	count=$((count + 1))
	if output=$("$@" 2>&1); then
		echo "ok - $condition: $title"
	else
		failed=$((failed + 1))
		echo "not ok - $condition: $title"
		printf '%s\n' "$output" | tail -n 15 | sed 's/^/# /'
	fi
}
inside() {
	lxc-attach -P "$ESCAPE_BASE" -n "$name" --clear-env -v HOME=/root -v DEBIAN_FRONTEND=noninteractive \
		-v DOCKER_BUILDKIT=0 -v PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		-- "$@" </dev/null 2>&1 | cat
	return "${PIPESTATUS[0]}"
}
shell() { inside timeout 120 bash -c "$1"; }
run() { inside timeout 120 docker run --rm "$@"; }
until_true() { # SECONDS COMMAND...
	local end=$((SECONDS + $1 * ${PH_TIME_SCALE:-1}))
	shift
	until "$@" >/dev/null 2>&1; do ((SECONDS < end)) || return 1; sleep 0.5; done
}
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
	lxc-start -P "$ESCAPE_BASE" -n "$name" -o "$ESCAPE_BASE/$name/log" -l INFO && until_true 90 is_up
}
install_docker() {
	shell 'test -x /usr/sbin/dockerd || { apt-get update && apt-get install -y --no-install-recommends docker.io \
		fuse-overlayfs iptables $(apt-cache pkgnames docker-cli | grep -x docker-cli); }
		update-alternatives --set iptables /usr/sbin/iptables-legacy
		mkdir -p /etc/docker
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
	shell 'docker network create pair && docker run -d --name server --network pair needs:1 escape --listen 80 &&
		for try in 1 2 3 4 5; do
			docker run --rm --network pair needs:1 bash -c "exec 3<>/dev/tcp/server/80 && read -ru3 word && test \$word = hello" &&
				exit 0
			sleep 1
		done; exit 1'
}
published() {
	shell 'docker run -d --name web -p 18080:80 needs:1 escape --listen 80
		for try in 1 2 3 4 5 6 7 8; do
			exec 3<>/dev/tcp/127.0.0.1/18080 && read -ru3 word && test "$word" = hello && exit 0
			sleep 1
		done 2>/dev/null; docker logs web; exit 1'
}
healthy() {
	shell 'docker run -d --name checked --network none --health-cmd "test -e /tmp" --health-interval 1s needs:1 sleep 600
		for try in $(seq 30); do
			test "$(docker inspect -f "{{.State.Health.Status}}" checked)" = healthy && exit 0
			sleep 1
		done; docker inspect -f "{{json .State.Health}}" checked; exit 1'
}
restarted() {
	shell 'docker run -d --name again --restart always --network none needs:1 sleep 600
		kill -9 "$(docker inspect -f "{{.State.Pid}}" again)"
		for try in $(seq 30); do
			test "$(docker inspect -f "{{.RestartCount}} {{.State.Running}}" again)" = "1 true" && exit 0
			sleep 1
		done; docker inspect -f "{{json .State}}" again; exit 1'
}
remapped() {
	shell 'cp /etc/docker/daemon.json /root/daemon.json
		grep -q dockremap /etc/subuid || { useradd -r -s /usr/sbin/nologin dockremap
			echo dockremap:20000:30000 >>/etc/subuid; echo dockremap:20000:30000 >>/etc/subgid; }
		echo "{\"storage-driver\":\"fuse-overlayfs\",\"userns-remap\":\"dockremap\",\"features\":{\"containerd-snapshotter\":false}}" \
			>/etc/docker/daemon.json
		tar -C "$(docker export "$(docker create needs:1 sh)" >/root/needs.tar; echo /root)" -c needs.tar >/dev/null
		systemctl reset-failed docker; systemctl restart docker && docker import /root/needs.tar needs:1 &&
			docker run --rm --network none needs:1 cat /proc/self/uid_map | grep -q " 20000 "; status=$?
		cp /root/daemon.json /etc/docker/daemon.json
		systemctl reset-failed docker; systemctl restart docker; exit $status'
}
end_to_end() {
	expect 'build of two layers' two_layers
	expect 'volume' shell 'docker volume create kept && docker run --rm --network none -v kept:/v needs:1 sh -c "echo kept >/v/x" &&
		docker run --rm --network none -v kept:/v:ro needs:1 sh -c "test \$(cat /v/x) = kept && ! echo no >/v/x"'
	expect 'bind mount' run --network none -v /root:/h needs:1 sh -c 'echo x >/h/from-nested'
	expect 'tmpfs mount' run --network none --tmpfs /t:size=1m,noexec needs:1 sh -c 'echo x >/t/x'
	expect 'read-only root' run --network none --read-only --tmpfs /tmp needs:1 sh -c 'echo x >/tmp/x && ! echo x >/x'
	expect 'init' run --network none --init needs:1 sh -c 'cat /proc/1/comm | { read -r word; case $word in docker-init|tini) ;; *) exit 1;; esac; }'
	expect 'another user' run --network none --user 1000:1000 needs:1 sh -c 'test $(id -u) = 1000'
	expect 'dropped capabilities' run --network none --cap-drop ALL needs:1 sh -c 'cat /proc/self/status | while read -r key value; do
		case $key in CapEff:) test $value = 0000000000000000 || exit 1;; esac; done'
	expect 'security options' run --network none --security-opt no-new-privileges --security-opt seccomp=unconfined needs:1 sh -c 'exit 0'
	expect 'limits' run --network none --memory 64m --pids-limit 50 --cpus 0.5 needs:1 sh -c 'exit 0'
	expect 'sysctl' run --network none --sysctl net.ipv4.ip_unprivileged_port_start=0 --sysctl kernel.shm_rmid_forced=1 needs:1 sh -c 'exit 0'
	expect 'privileged' run --network none --privileged needs:1 sh -c 'exit 0'
	expect 'host network' run --network host needs:1 sh -c 'exit 0'
	expect 'host pid namespace' run --network none --pid host needs:1 sh -c 'exit 0'
	expect 'exit status' shell 'docker run --rm --network none needs:1 sh -c "exit 7"; test $? = 7'
	expect 'detached, exec, logs' shell 'docker run -d --name long --network none needs:1 sh -c "echo said; exec sleep 600" &&
		test "$(docker exec long sh -c "echo heard")" = heard && docker logs long | grep -q said'
	expect 'stop and start' shell 'docker stop -t 2 long && docker start long && docker exec long sh -c "exit 0"'
	expect 'pause and unpause' shell 'docker pause long && docker unpause long'
	expect 'copy in and out' shell 'echo copied >/tmp/c && docker cp /tmp/c long:/c && docker cp long:/c /tmp/d && grep -q copied /tmp/d'
	expect 'commit' shell 'docker commit long needs:3 && docker run --rm --network none needs:3 cat /c | grep -q copied'
	expect 'save and load' shell 'docker save needs:2 -o /tmp/s.tar && docker rmi -f needs:2 && docker load -i /tmp/s.tar &&
		test "$(docker run --rm --network none needs:2)" = content'
	expect 'bridge' run needs:1 sh -c 'read -r state </sys/class/net/eth0/operstate; test $state = up'
	expect 'two containers on a network of their own, by name' talk
	expect 'published port' published
	expect 'health check' healthy
	expect 'restart policy' restarted
	expect 'restart of the daemon' shell 'systemctl reset-failed docker; systemctl restart docker && docker ps | grep -q again'
	expect 'removal of everything' shell 'docker rm -f $(docker ps -aq) && docker network rm pair && docker volume rm kept'
	expect 'user namespaces remapped' remapped
}

[[ -d /sys/kernel/security/apparmor ]] || { echo '1..0 # SKIP no AppArmor in this kernel' && exit 0; }
[[ -x $ESCAPE ]] || { echo "not ok - the program is not built: $ESCAPE" && exit 1; }
escape_prepare
trap escape_clean EXIT
if [[ $condition == stacked ]]; then
	escape_stacked_prepare || { echo "1..0 # SKIP no stacked mode: $escape_reason" && exit 0; }
fi
modprobe -a ip_tables iptable_nat iptable_filter br_netfilter xt_MASQUERADE xt_addrtype xt_conntrack 2>/dev/null || true
expect 'container with systemd starts' start_container
expect 'Docker is installed and runs' install_docker
((failed == 0)) || { printf '1..%d\n' "$count" && exit 1; }
expect 'image is imported' make_image
if [[ -z ${PH_ESCAPE_SKIP_NEEDS:-} ]]; then end_to_end; fi

# From inside: the exhibits are handed on, so that what's stopped isn't merely out of sight.
hand_on=(-v /escape:/escape --network none --pids-limit 100 --memory 128m)
for place in security debug tracing; do
	[[ ! -d /sys/kernel/$place ]] || hand_on+=(-v "/escape/sys/kernel/$place:/sys/kernel/$place")
done
escape_host --json --group denied >"$results"
escape_load
"$ESCAPE" --state >/tmp/escape-before
suffix=
[[ $condition == named ]] || suffix=-$condition
run "${hand_on[@]}" needs:1 escape --json --group denied --condition "docker$suffix" >>"$results"
run "${hand_on[@]}" --privileged needs:1 escape --json --group denied --condition "docker-privileged$suffix" >>"$results"
"$ESCAPE" --state >/tmp/escape-after
grep -v '^{' "$results" | tail -n 10 | sed 's/^/# /'
difference=$(diff /tmp/escape-before /tmp/escape-after)
case $condition in
named | stacked) expect 'nested: nothing global on the host has changed' test -z "$difference" ;;
esac
[[ -z $difference ]] || sed 's/^/# /' <<<"$difference"
grep '^{' "$results" | jq -s -f "$ESCAPE_TREE/tests/escape/escape.jq" >/tmp/escape-joined.json
lines=$(jq -r '.nested[]' /tmp/escape-joined.json)
printf '%s\n' "$lines"
count=$((count + $(grep -c . <<<"$lines"))) failed=$((failed + $(grep -c '^not ok' <<<"$lines")))
for nested in "docker$suffix" "docker-privileged$suffix"; do
	tried=$(jq -r ".table[] | select(.condition == \"$nested\") | .denied - .without_control - .absent" /tmp/escape-joined.json)
	through=$(jq -r ".table[] | select(.condition == \"$nested\") | .through" /tmp/escape-joined.json)
	case $condition in
	named | stacked) expect "nested: 0 of ${tried:-0} attempts get through as $nested" test "${through:-1}" = 0 -a "${tried:-0}" -ge 76 ;;
	*) echo "# $nested: ${through:-?} of ${tried:-?} get through" ;;
	esac
done
lxc-stop -P "$ESCAPE_BASE" -n "$name" -k
printf '1..%d\n' "$count"
exit $((failed != 0))
