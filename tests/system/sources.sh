#!/bin/bash
# Where Docker comes from: a bundle that phoenixctl builds here, installed with the container's network cut, a wanted
# version, the held set, users and daemon.json from the fleet file.
# beds: native
# deadline: 400
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"

# shellcheck source=dev/lib/common.sh
MIRROR=$(. "$PH_ROOT/dev/lib/common.sh" && apt_sources bookworm | awk '/ bookworm main$/ {print $(NF - 2); exit}')
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# An image with what the folder's packages need, and without any source of packages.
import_base() {
	local image
	image=$("$PH_ROOT/dev/lib/container-image" offline)
	mkdir -p "$PH_WORK/extra/etc/apt/sources.list.d" "$PH_WORK/extra/etc/docker"
	cp --reflink=auto "$image" "$PH_WORK/bare.tar"
	: >"$PH_WORK/extra/etc/apt/sources.list"
	tar --list --file "$image" | sed -n '/^\.\/etc\/apt\/sources\.list\.d\/./p' | while read -r file; do
		: >"$PH_WORK/extra/$file"
	done
	printf '{"log-driver": "local"}\n' >"$PH_WORK/extra/etc/docker/daemon.json"
	(cd "$PH_WORK/extra" && find . -type f -print0 |
		tar --append --file "$PH_WORK/bare.tar" --owner=0 --group=0 --null --files-from=-)
	tap_run 'an image without any package source' ctl image import base "$PH_WORK/bare.tar"
	rm "$PH_WORK/bare.tar"
}

build_bundle() {
	local build=(ctl bundle build docker12 --mirror "$MIRROR" --keyring "$KEYRING")
	tap_exits 'a suite that the mirror lacks is told' 1 "${build[@]}" --suite nosuch --output "$PH_WORK/none.tar"
	tap_like 'by its name' "$tap_output" nosuch
	tap_run 'a bundle is built' "${build[@]}" --suite bookworm --output "$PH_WORK/bundle.tar"
	mkdir -p "$PH_WORK/bundle"
	tar --extract --file "$PH_WORK/bundle.tar" -C "$PH_WORK/bundle"
	tap_is 'its manifest names every file' "$(sed 's/^[0-9a-f]* [ *]//' "$PH_WORK/bundle/SHA256SUMS" | sort)" \
		"$(find "$PH_WORK/bundle" -type f ! -name SHA256SUMS -printf '%P\n' | sort)"
	tap_is 'with its hash' "$(cd "$PH_WORK/bundle" && sha256sum --quiet --check SHA256SUMS 2>&1)" ''
	tap_run 'it is complete, down to the C library' test -n "$(find "$PH_WORK/bundle" -name 'libc6_*.deb')"
}

# Pack the folder of the bundle again, as somebody would who has changed it: `pack_bundle FILE`.
pack_bundle() {
	(cd "$PH_WORK/bundle" && tar --create --owner=0 --group=0 --mode=0644 --file "$1" -- *)
}

fleet() {
	printf 'version: 1\ndefaults: {image: base, confinement: %s}\ncontainers:\n  - {name: %s, docker: %s}\n' \
		"$(confinement)" "$1" "$2" >"$PH_WORK/$1.yaml"
}

root_of() {
	printf '/proc/%s/root' "$(ctl --json show "$1" | jq -r .observed.init_pid)"
}

in_container() {
	local name=$1 init
	shift
	init=$(ctl --json show "$name" | jq -r .observed.init_pid)
	nsenter --user --mount --pid --setuid 0 --setgid 0 --target "$init" -- "$@"
}

# Whether a container gets through to an address and port of TCP: `reaches NAME ADDRESS PORT`.
reaches() {
	# shellcheck disable=SC2016 # for the shell in the container's network
	nsenter --net --target "$(ctl --json show "$1" | jq -r .observed.init_pid)" -- \
		timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3" 2>/dev/null
}

# What the container web1 gets through to: the mirror, its own gateway.
reached() {
	local host=${MIRROR#*://}
	host=$(getent ahostsv4 "${host%%/*}" | awk '{print $1; exit}')
	if reaches web1 "$host" 80; then echo mirror; fi
	if reaches web1 "$PH_NET.0.1" 53; then echo gateway; fi
}

# Nothing that comes from the bridge gets further than this host, and to nothing on it.
cut_network() {
	nft -f - <<-END
	table inet ${PH_BRIDGE}_cut {
		chain forward { type filter hook forward priority -300; iifname "$PH_BRIDGE" drop; }
		chain input { type filter hook input priority -300; iifname "$PH_BRIDGE" drop; }
	}
	END
}

join_network() {
	nft delete table inet "${PH_BRIDGE}_cut" 2>/dev/null || true
}

test_bundle() {
	build_bundle
	tap_run 'a bundle is imported' ctl bundle import docker12 "$PH_WORK/bundle.tar"
	tap_like 'importing it again changes nothing' "$(ctl bundle import docker12 "$PH_WORK/bundle.tar")" unchanged
	tap_like 'it is listed' "$(ctl bundle list)" docker12
	fleet web1 '{source: none}'
	tap_run 'a container without Docker' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'reaches the mirror and its gateway' "$(reached | paste -s -d ' ')" 'mirror gateway'
	cut_network
	tap_is 'with its network cut it reaches neither' "$(reached)" ''
	fleet web1 '{source: bundle, bundle: docker12}'
	tap_run 'Docker is installed from the bundle all the same, and verified' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'ready' "$(ctl --json show web1 | jq -r .ready)" true
	join_network
	tap_like 'the set is held' "$(in_container web1 apt-mark showhold | tr '\n' ' ')" \
		'containerd docker.io fuse-overlayfs runc'
	tap_exits 'the container cannot write into the bundle' 2 \
		in_container web1 sh -c 'mount -o remount,rw,bind /dev/phoenix-bundles 2>/dev/null; echo x >/dev/phoenix-bundles/docker12/Packages'
}

test_damaged_bundle() {
	printf x >>"$PH_WORK/bundle/$(cd "$PH_WORK/bundle" && ls -- runc*.deb)"
	pack_bundle "$PH_WORK/damaged.tar"
	tap_exits 'a bundle with a damaged file is refused' 1 ctl bundle import damaged "$PH_WORK/damaged.tar"
	tap_like 'and says which file' "$tap_output" 'hash is not that of the manifest.*runc'
	tap_is 'nothing of it is kept' "$(ctl --json bundle list | jq -r '[.images[].name] | join(" ")')" docker12
	# On the host's own disk, after the import.
	printf x >>"$(find "$PH_WORK/state/bundles/docker12" -name 'runc*.deb')"
	fleet web2 '{source: bundle, bundle: docker12}'
	tap_exits 'one that was damaged later is not installed' 1 ctl apply -f "$PH_WORK/web2.yaml"
	tap_like 'and says so' "$tap_output" 'bundle is damaged: .*runc'
	tap_run 'it is removed' ctl bundle remove docker12
	# With a manifest that fits what was changed: apt's own index still knows better.
	(cd "$PH_WORK/bundle" && sha256sum -- *.deb ABOUT Packages >SHA256SUMS)
	pack_bundle "$PH_WORK/damaged.tar"
	tap_run 'one whose manifest was made to fit can be imported' ctl bundle import damaged "$PH_WORK/damaged.tar"
	fleet web2 '{source: bundle, bundle: damaged}'
	tap_exits 'but not installed' 1 ctl apply -f "$PH_WORK/web2.yaml"
	tap_like 'because apt compares with the index' "$tap_output" 'runc.*(Hash Sum mismatch|unexpected size|verif)'
	tap_is 'nothing of it was installed' "$(in_container web2 sh -c 'command -v dockerd runc')" ''
	ctl remove web2 >/dev/null
	ctl bundle remove damaged >/dev/null
}

# The fleet file's further keys, on the container that came from the bundle.
test_keys() {
	local root user
	root=$(root_of web1)
	user=games # every Debian has it
	ctl bundle import docker12 "$PH_WORK/bundle.tar" >/dev/null
	fleet web1 "{source: bundle, bundle: docker12, version: 20.10.*, users: [$user], daemon: {debug: true, log-opts: {max-size: 5m}}}"
	tap_run 'users and daemon.json are changed' ctl apply -f "$PH_WORK/web1.yaml"
	tap_like 'the user is in the group' "$(grep ^docker: "$root/etc/group")" ":$user\$"
	tap_is 'the keys are there, behind the user'"'"'s' "$(jq -c '[keys_unsorted[0], .debug, ."log-opts"."max-size"]' \
		"$root/etc/docker/daemon.json")" '["log-driver",true,"5m"]'
	tap_is 'dockerd has read it' "$(in_container web1 docker info --format '{{.Debug}}')" true
	tap_like 'the version is pinned' "$(cat "$root/etc/apt/preferences.d/phoenix-docker")" 'Pin: version 20.10'
	tap_like 'once more changes nothing' "$(ctl apply -f "$PH_WORK/web1.yaml")" '1 unchanged'
	fleet web1 '{source: bundle, bundle: docker12, daemon: {log-driver: json-file}}'
	tap_exits 'a key of the user is not changed' 1 ctl apply -f "$PH_WORK/web1.yaml"
	tap_like 'with its place' "$tap_output" 'daemon.json:[0-9]+:[0-9]+.*"log-driver" otherwise'
	fleet web1 '{source: bundle, bundle: docker12, hold: false}'
	tap_run 'what is not wanted any more goes' ctl apply -f "$PH_WORK/web1.yaml"
	tap_is 'from daemon.json' "$(jq -c '[.debug, ."log-opts"]' "$root/etc/docker/daemon.json")" '[null,null]'
	tap_is 'from the holds' "$(in_container web1 apt-mark showhold)" ''
	tap_run 'from the pins' test ! -e "$root/etc/apt/preferences.d/phoenix-docker"
	fleet web1 '{source: bundle, bundle: docker12, version: 99.*}'
	tap_exits 'a version that nobody has is refused' 1 ctl apply -f "$PH_WORK/web1.yaml"
	tap_like 'with what there is' "$tap_output" 'version 99.* is wanted.*20\.10'
	tap_like 'and leaves Docker as it was' "$(in_container web1 docker info --format '{{.ServerVersion}}')" '^20\.10'
	ctl remove web1 >/dev/null
}

# shellcheck disable=SC2317 # called by the trap
sources_exit() {
	local status=$?
	set +e
	join_network
	phoenix_exit "$status"
}

phoenix_up
trap 'sources_exit' EXIT
import_base
test_bundle
test_damaged_bundle
test_keys
tap_done
