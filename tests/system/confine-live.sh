#!/bin/bash
# What happens to confinement on a host that lives: policy in complain mode, removed behind our back, replaced
# by somebody else, replaced by us under a running Docker, a bad text, a host without the parser; a stacked
# container with docker-default inside; what phoenixctl apparmor status says about all of it.
# By itself it replaces the profile under a running Docker, and tries bad texts; PH_ONLY="test_removed test_stacked"
# chooses other parts, PH_ONLY=all all of them.
# beds: native uml
# image: golden
# deadline: 600
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

PROFILES=/sys/kernel/security/apparmor/profiles
NAMESPACES=/sys/kernel/security/apparmor/policy/namespaces
PROFILE=lxc-phoenix-v2

fleet() { # NAME CONFINEMENT
	cat >"$PH_WORK/$1.yaml" <<-END
	version: 1
	containers:
	  - name: $1
	    image: base
	    confinement: $2
	    resources: {memory: 1GiB, cpus: 2, pids: 2000}
	END
	echo "$PH_WORK/$1.yaml"
}

condition() { # NAME TYPE: status and reason
	ctl --json show "$1" | jq -r --arg type "$2" '.conditions[] | select(.type == $type) | "\(.status) \(.reason)"'
}
condition_is() { [[ $(condition "$1" "$2") == "$3" ]]; }
events_of() { ctl --json events | jq -r '.events[]? // . | "\(.type) \(.reason) \(.message)"' 2>/dev/null; }
# Polled by phoenixd without anybody asking: the event log alone is read here.
has_event() { events_of | grep -q "$1"; }
init_of() { ctl --json show "$1" | jq -r .observed.init_pid; }
label_of() { cat "/proc/$1/attr/apparmor/current"; }
inside() { # NAME COMMAND...
	local name=$1
	shift
	lxc-attach -P "$PH_WORK/state/containers" -n "$name" --clear-env \
		-v PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin -v HOME=/root \
		-v GODEBUG=asyncpreemptoff=1 -- "$@" </dev/null 2>&1
}
hash_of() { ctl --json apparmor status | jq -r --arg name "$1" '.profiles[] | select(.name == $name) | .hash'; }
state_of() { ctl --json apparmor status | jq -r --arg name "$1" '.profiles[] | select(.name == $name) | "\(.mode) \(.state)"'; }
load_as() { # FLAGS TEXT: somebody loads another profile under our name
	printf 'profile %s flags=(attach_disconnected%s) {\n%s\n}\n' "$PROFILE" "$1" "$2" | apparmor_parser -r -K -W 2>/dev/null ||
		printf 'profile %s flags=(attach_disconnected%s) {\n%s\n}\n' "$PROFILE" "$1" "$2" | apparmor_parser -r -K
}
EVERYTHING='file, capability, network, mount, umount, pivot_root, signal, ptrace, unix, dbus,'

test_without_apparmor() {
	local file
	file=$(fleet plain required)
	tap_exits 'a host that cannot enforce refuses what is required' 1 ctl apply -f "$file"
	tap_like 'it says why' "$tap_output" 'AppArmor'
	tap_like 'and what to do' "$tap_output" 'best-effort'
	tap_is 'nothing was made' "$(ls -A "$PH_WORK/state/containers")" ''
	file=$(fleet stacked '{level: required, mode: stacked}')
	tap_exits 'stacked is refused likewise' 1 ctl apply -f "$file"
	tap_run 'status answers' jq -e .kernel <<<"$(ctl --json apparmor status)"
	tap_like 'and says that nothing can be confined' "$(ctl apparmor status || true)" 'cannot confine'
	tap_is 'and nothing of ours runs' "$(ctl --json apparmor status | jq -r '[.containers[] | select(.kind == "phoenix")] | length')" 0
}

test_status() {
	local status
	status=$(ctl --json apparmor status || true)
	tap_is 'status knows the profile' "$(state_of $PROFILE)" 'enforce current'
	tap_is 'and who runs under it' "$(jq -r '.profiles[0].containers | join(" ")' <<<"$status")" web1
	tap_is 'and the container with its label' \
		"$(jq -r '.containers[] | select(.name == "web1") | "\(.kind) \(.confined) \(.own_ids) \(.label)"' <<<"$status")" \
		"phoenix true true $PROFILE (enforce)"
	tap_exits 'status is content' 0 ctl apparmor status
	tap_note "$tap_output"
}

# Somebody's own container, that Phoenix knows nothing of: an init of a pid namespace under LXC's group.
test_foreign() {
	local group=/sys/fs/cgroup/lxc.payload.foreign pid
	mkdir -p "$group"
	unshare --pid --fork --mount-proc sh -c 'sleep 300 & wait' &
	pid=$!
	wait_until 5 pgrep -P "$pid"
	echo "$(pgrep -P "$pid")" >"$group/cgroup.procs"
	tap_exits 'a foreign unconfined container is reported' 3 ctl apparmor status
	tap_like 'by its name and kind' "$tap_output" 'foreign +lxc +NO +unconfined'
	tap_like 'with since when, and what to do' "$tap_output" 'foreign: unconfined since 20.*lxc.apparmor.profile'
	kill -KILL "$(pgrep -P "$pid")"
	wait "$pid" 2>/dev/null || true
	wait_until 5 rmdir "$group"
}

test_complain() {
	load_as ,complain "$EVERYTHING"
	tap_run 'complain mode is noticed and told within a minute' wait_until 60 has_event 'ProfileCurrent is False.*enforce mode'
	tap_is 'as a condition' "$(condition web1 ProfileCurrent)" 'FALSE NotEnforced'
	tap_is 'and the processes are not called confined' "$(condition web1 Confined)" 'FALSE OffLabel'
	tap_exits 'status says so' 3 ctl apparmor status
	tap_like 'with the remedy' "$tap_output" 'phoenixctl apply'
	tap_is 'told once' "$(events_of | grep -c 'NotEnforced ProfileCurrent')" 1
	tap_run 'apply enforces it again' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'in place' "$(condition web1 Confined)" 'TRUE AllProcessesLabelled'
}

test_foreign_text() {
	local before
	before=$(init_of web1)
	load_as '' "$EVERYTHING"
	tap_run 'a foreign text under our name is noticed' wait_until 60 has_event 'ProfileCurrent is False: another policy'
	tap_is 'as a condition' "$(condition web1 ProfileCurrent)" 'FALSE Foreign'
	tap_is 'status knows it' "$(state_of $PROFILE)" 'enforce foreign'
	tap_run 'apply puts ours back' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'in place' "$(init_of web1) $(condition web1 ProfileCurrent)" "$before TRUE AsLoaded"
}

# Profiles that a test may write into, for a phoenix-host that reads them anew.
own_profiles() {
	[[ ! -d $PH_WORK/profiles ]] || return 0
	cp -r "$PH_ROOT/profiles" "$PH_WORK/profiles"
	sed -i "s|^profiles_dir:.*|profiles_dir: $PH_WORK/profiles|" "$PH_WORK/phoenix.yaml"
	kill_daemon "$PH_HOST_PID"
	start_host
}

# An upgrade: the text changes while Docker runs a container.
test_replaced_in_place() {
	local before hash pid
	inside web1 sh -c 'mkdir -p /tmp/i/bin /tmp/i/lib64 /tmp/i/lib/x86_64-linux-gnu; cp /bin/sleep /tmp/i/bin/sleeper
		cp /lib64/ld-linux-x86-64.so.2 /tmp/i/lib64; cp /lib/x86_64-linux-gnu/libc.so.6 /tmp/i/lib/x86_64-linux-gnu
		tar -C /tmp/i -c . | docker import - t:1; docker run -d --network none t:1 /bin/sleeper 1000' >/dev/null ||
		tap_note 'no nested container runs meanwhile'
	before=$(init_of web1) hash=$(hash_of $PROFILE)
	own_profiles
	sed -i 's|^}$|  audit deny /only/in/the/new/text wl,\n}|' "$PH_WORK/profiles/$PROFILE"
	tap_run 'a newer text is noticed' wait_until 60 condition_is web1 ProfileCurrent 'FALSE Outdated'
	pid=$(pgrep -f '^/bin/sleeper 1000' | head -n 1 || true)
	tap_run 'apply replaces it under the running containers' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'without a restart' "$(init_of web1)" "$before"
	tap_run 'the text is another' test "$(hash_of $PROFILE)" != "$hash"
	tap_run 'which is an event' has_event 'confinement.replaced NewText'
	tap_is 'and every label was read again' "$(condition web1 Confined)" 'TRUE AllProcessesLabelled'
	if [[ -n $pid ]]; then
		tap_is 'the nested container has gone on under it' "$(label_of "$pid")" "$PROFILE (enforce)"
	fi
	tap_is 'it is in force' "$(inside web1 sh -c 'mkdir -p /only/in/the/new; echo x >/only/in/the/new/text' | grep -c 'Permission denied')" 1
}

test_bad_text() {
	local hash
	own_profiles
	hash=$(hash_of $PROFILE)
	cp "$PH_WORK/profiles/$PROFILE" "$PH_WORK/good"
	sed -i 's|^}$|  file, this is no rule,\n}|' "$PH_WORK/profiles/$PROFILE"
	tap_exits 'a text that does not compile is refused' 1 ctl apply -f "$PH_WORK/web1.yaml"
	tap_like 'with the reason of the parser' "$tap_output" 'syntax error|parser error'
	tap_is 'and what is in force stays' "$(hash_of $PROFILE) $(condition web1 Confined)" "$hash TRUE AllProcessesLabelled"
	sed 's|^}$|  deny /sys/[^f]*/** wklx,\n}|' "$PH_WORK/good" >"$PH_WORK/profiles/$PROFILE"
	tap_exits "a rule that breaks runc's sysctls is caught before it goes live" 1 ctl apply -f "$PH_WORK/web1.yaml"
	tap_like 'with the rule' "$tap_output" '/sys/'
	tap_is 'and what is in force stays' "$(hash_of $PROFILE)" "$hash"
	# Compiles, holds every process, and breaks what Docker needs: the verify decides.
	sed 's|^}$|  audit deny mount fstype=fuse.fuse-overlayfs,\n  audit deny mount fstype=fuse,\n  audit deny mount fstype=overlay,\n}|' "$PH_WORK/good" >"$PH_WORK/profiles/$PROFILE"
	tap_exits 'a text under which Docker does not work fails its verify' 1 ctl apply -f "$PH_WORK/web1.yaml"
	tap_run 'and is taken back' wait_until 30 has_event 'confinement.rolled-back VerifyFailed'
	tap_is 'what was in force is so again' "$(hash_of $PROFILE)" "$hash"
	cp "$PH_WORK/good" "$PH_WORK/profiles/$PROFILE"
	tap_run 'with the good text all is well again' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'and ready' "$(ctl --json show web1 | jq -r .ready)" true
}

test_removed() {
	local before
	before=$(init_of web1)
	echo -n "$PROFILE" >/sys/kernel/security/apparmor/.remove
	tap_note "the label of init after the removal: $(label_of "$before")"
	tap_run 'removal behind our back is noticed' wait_until 60 has_event 'ProfileCurrent is False: it was removed'
	tap_is 'as conditions' "$(condition web1 ProfileCurrent), $(condition web1 Confined)" 'FALSE Removed, FALSE OffLabel'
	tap_exits 'status says so' 3 ctl apparmor status
	tap_like 'with since when and the remedy' "$tap_output" 'web1: unconfined since.*'
	tap_run 'apply brings the label back' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'by a restart' "$(condition web1 Confined)" 'TRUE AllProcessesLabelled'
	tap_run 'which is another init' test "$(init_of web1)" != "$before"
	tap_run 'and an event' has_event 'confinement.restart LabelLost'
}

test_without_parser() {
	local parser
	parser=$(command -v apparmor_parser)
	mv "$parser" "$parser.away"
	tap_exits 'without the parser a new container is refused' 1 ctl apply -f "$(fleet web2 required)"
	tap_like 'and told why' "$tap_output" 'apparmor_parser is not installed'
	tap_is 'nothing was made' "$(ls "$PH_WORK/state/containers")" web1
	tap_is 'what runs stays confined' "$(condition web1 Confined)" 'TRUE AllProcessesLabelled'
	printf '#!/bin/sh\necho "AppArmor parser version 2.13.6"\n' >"$parser"
	chmod 755 "$parser"
	tap_exits 'so it is with an old parser' 1 ctl apply -f "$(fleet web2 required)"
	tap_like 'and told why' "$tap_output" 'older than 3.0'
	mv "$parser.away" "$parser"
}

docker_default_inside() {
	local pid
	pid=$(pgrep -f '^/bin/sleeper 2000' | head -n 1)
	[[ $(label_of "$pid") == "$PROFILE-stacked//&:phoenix-deep:docker-default (enforce)" ]]
}

test_stacked() {
	local file output
	file=$(fleet deep '{level: required, mode: stacked}')
	if [[ $(ctl --json apparmor status | jq -r .stacked) != true ]]; then
		tap_exits 'stacked is refused where it is unsafe' 1 ctl apply -f "$file"
		tap_note "$tap_output"
		tap_like 'with reason and remedy' "$tap_output" 'mode: named'
		tap_skip 'docker-default inside a stacked container' "$(ctl --json apparmor status | jq -r .stacked_reason)"
		return
	fi
	tap_run 'a stacked container is made, confined and verified' ctl apply -f "$file"
	tap_is 'its init is stacked' "$(label_of "$(init_of deep)")" "$PROFILE-stacked//&:phoenix-deep:unconfined (enforce)"
	tap_run 'its namespace is there' test -d "$NAMESPACES/phoenix-deep"
	tap_like 'inside it sees AppArmor' "$(inside deep ls -a /sys/kernel/security/apparmor)" '\.replace'
	inside deep apt-get install -y --no-install-recommends apparmor >/dev/null || tap_note "apparmor was not installed inside"
	tap_note "$(inside deep sh -c 'ls -la /sbin/apparmor_parser /usr/sbin/apparmor_parser; cat /sys/module/apparmor/parameters/enabled; cat /proc/self/attr/current')"
	output=$(inside deep sh -c 'if [ -d /run/systemd/system ]; then systemctl restart docker; else pkill -x dockerd; pkill -x containerd; sleep 2; rm -f /run/docker.pid; (env -u container dockerd >/var/log/dockerd.log 2>&1 &) ; fi; for i in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done; docker info 2>&1 | grep -A4 "Security Options"; cat /sys/kernel/security/apparmor/profiles') || true
	tap_note "$output"
	tap_like 'Docker has loaded docker-default there' "$output" 'docker-default \(enforce\)'
	inside deep sh -c 'mkdir -p /tmp/i/bin /tmp/i/lib64 /tmp/i/lib/x86_64-linux-gnu; cp /bin/sleep /tmp/i/bin/sleeper
		cp /lib64/ld-linux-x86-64.so.2 /tmp/i/lib64; cp /lib/x86_64-linux-gnu/libc.so.6 /tmp/i/lib/x86_64-linux-gnu
		tar -C /tmp/i -c . | docker import - t:1; docker run -d --network none --name long t:1 /bin/sleeper 2000' >/dev/null || true
	tap_run 'a nested container runs under docker-default, stacked' wait_until 10 docker_default_inside
	tap_note "inside: $(inside deep docker inspect -f '{{.AppArmorProfile}} {{.State.Error}}' long), host: $(label_of "$(pgrep -f '^/bin/sleeper 2000' | head -n 1)")"
	tap_is "it is in the container's namespace only" "$(grep docker-default "$PROFILES")" ':phoenix-deep:docker-default (enforce)'
	tap_run 'verify passes' ctl verify deep
	tap_run 'remove' ctl remove deep
	tap_run 'its namespace is gone' test ! -e "$NAMESPACES/phoenix-deep"
}

phoenix_up
ctl image import base "$PH_IMAGE" >/dev/null
if ! apparmor_enforced; then
	test_without_apparmor
	tap_skip 'the states of policy on a kernel' 'this kernel has no AppArmor'
	tap_done
fi
tap_run 'a confined container' ctl apply -f "$(fleet web1 required)"
test_status
sections=${PH_ONLY:-test_replaced_in_place test_bad_text}
[[ $sections != all ]] || sections='test_foreign test_complain test_foreign_text test_replaced_in_place test_bad_text
	test_removed test_without_parser test_stacked'
for section in $sections; do
	"$section"
done
tap_run 'remove all' ctl remove web1
tap_is 'no profile of ours is left' "$(grep -c "$PROFILE" "$PROFILES" || true)" 0
tap_done
