#!/bin/bash
# Docker from a signed repository under docker-ce's names: a foreign key is refused, a mirror that fails half-way leaves
# something to go on from, and what comes out is verified as any other.
# beds: native
# deadline: 300
# shellcheck disable=SC2016 # dpkg-query's own fields
set -euo pipefail
# shellcheck source=tests/support/system.sh
. "$(dirname "$0")/../support/system.sh"
# shellcheck source=tests/support/docker-ce.sh
. "$(dirname "$0")/../support/docker-ce.sh"

MIRROR_PID='' MIRROR=''

# What Docker needs, from the image that has it as a folder; and that image without any source of packages.
prepare() {
	local image file
	image=$("$PH_ROOT/dev/lib/container-image" offline)
	mkdir -p "$PH_WORK/debian" "$PH_WORK/extra/etc/apt/sources.list.d"
	tar --extract --file "$image" -C "$PH_WORK/debian" --strip-components=4 ./var/cache/phoenix-repository
	ce_packages "$PH_WORK/debian" "$PH_WORK/mirror/pool"
	ce_key docker
	ce_key stranger
	ce_repository "$PH_WORK/mirror" docker
	cp --reflink=auto "$image" "$PH_WORK/bare.tar"
	: >"$PH_WORK/extra/etc/apt/sources.list"
	tar --list --file "$image" | sed -n '/^\.\/etc\/apt\/sources\.list\.d\/./p' | while read -r file; do
		: >"$PH_WORK/extra/$file"
	done
	(cd "$PH_WORK/extra" && find . -type f -print0 |
		tar --append --file "$PH_WORK/bare.tar" --owner=0 --group=0 --null --files-from=-)
	tap_run 'an image without any package source' ctl image import base "$PH_WORK/bare.tar"
	rm -r "$PH_WORK/bare.tar" "$PH_WORK/debian"
}

start_mirror() {
	"$PH_ROOT/tests/support/mirror" "$PH_WORK/mirror" "$PH_NET.0.1" "$PH_WORK/requests" >"$PH_WORK/port" &
	MIRROR_PID=$!
	wait_until 10 test -s "$PH_WORK/port"
	MIRROR=http://$PH_NET.0.1:$(cat "$PH_WORK/port")
}

fleet() {
	local key=$1 more=${2:-}
	cat >"$PH_WORK/web.yaml" <<-END
	version: 1
	defaults: {image: base, confinement: $(confinement)}
	containers:
	  - name: ce1
	    docker: {source: docker-ce, repository: {uri: "$MIRROR", key: $PH_WORK/$key.asc}$more}
	END
}

apply() {
	ctl apply -f "$PH_WORK/web.yaml"
}

in_container() {
	local init
	init=$(ctl --json show ce1 | jq -r .observed.init_pid)
	nsenter --user --mount --pid --setuid 0 --setgid 0 --target "$init" -- "$@"
}

packages() {
	in_container dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' | grep -E '^(docker|containerd|runc)' || true
}

requests_of() {
	grep -c "^200 /pool/$1_" "$PH_WORK/requests" || true
}

test_wrong_key() {
	fleet stranger
	tap_exits 'a repository that another key has signed is refused' 1 apply
	tap_like 'the error says whose signature is wrong' "$tap_output" 'bad signature: .*InRelease.*(NO_PUBKEY|verified)'
	tap_like 'and what to do' "$tap_output" 'check the sources and keys'
	tap_is 'nothing was fetched from it' "$(grep -c ' /pool/' "$PH_WORK/requests" || true)" 0
	tap_is 'nothing was installed' "$(packages)" ''
}

test_half_a_mirror() {
	fleet docker
	echo containerd.io_1.6.20-1_amd64.deb >"$PH_WORK/mirror/.cut"
	tap_exits 'a mirror that breaks off in the middle of a package fails the install' 1 apply
	tap_like 'with the package' "$tap_output" 'Failed to fetch [^ ]*containerd\.io_'
	tap_is 'nothing is half installed' "$(packages)" ''
	mv "$PH_WORK/mirror/pool/containerd.io_"* "$PH_WORK/"
	rm "$PH_WORK/mirror/.cut"
	tap_exits 'so does one that lacks a package' 1 apply
	tap_like 'with that package' "$tap_output" 'containerd\.io_.*404'
	tap_is 'still nothing is half installed' "$(packages)" ''
	mv "$PH_WORK/containerd.io_"* "$PH_WORK/mirror/pool/"
	tap_run 'with a whole mirror the next try finishes, and verifies' apply
	tap_is 'ready' "$(ctl --json show ce1 | jq -r .ready)" true
	tap_is 'what had been fetched was not fetched again' "$(requests_of docker-ce)" 1
	tap_like 'Docker has docker-ce'"'"'s version' "$(in_container dpkg-query -W -f '${Version}' docker-ce)" '^5:20\.10\.24~3'
	tap_is 'the set is held' "$(in_container apt-mark showhold | tr '\n' ' ')" \
		'containerd.io docker-ce docker-ce-cli fuse-overlayfs '
	tap_like 'once more changes nothing' "$(apply)" '1 unchanged'
}

# What a repository offers and its dependencies do not allow: apt's own words about it are told.
test_unmet() {
	local tree=$PH_WORK/newer
	dpkg-deb --raw-extract "$(echo "$PH_WORK"/mirror/pool/docker-ce-cli_*)" "$tree"
	sed -i -e 's/^Version: .*/Version: 5:23.0.1-1~debian.12~bookworm/' \
		-e 's/^Depends: .*/Depends: libc6 (>= 99)/' "$tree/DEBIAN/control"
	dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "$PH_WORK/mirror/pool/docker-ce-cli_5_23_amd64.deb" >/dev/null
	dpkg-deb --raw-extract "$(echo "$PH_WORK"/mirror/pool/docker-ce_*)" "$tree-ce"
	sed -i -e 's/^Version: .*/Version: 5:23.0.1-1~debian.12~bookworm/' "$tree-ce/DEBIAN/control"
	dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree-ce" "$PH_WORK/mirror/pool/docker-ce_5_23_amd64.deb" >/dev/null
	ce_repository "$PH_WORK/mirror" docker
	fleet docker ', version: "23.*"'
	tap_exits 'packages that cannot be installed together are refused' 1 apply
	tap_like 'with what lacks what' "$tap_output" 'unmet dependencies: docker-ce-cli : Depends: libc6 \(>= 99\)'
	tap_like 'and Docker stays as it was' "$(in_container docker info --format '{{.ServerVersion}}')" '^20\.10'
}

# shellcheck disable=SC2317 # called by the trap
mirror_exit() {
	local status=$?
	set +e
	[[ -z $MIRROR_PID ]] || kill "$MIRROR_PID" 2>/dev/null
	phoenix_exit "$status"
}

phoenix_up
trap 'mirror_exit' EXIT
prepare
start_mirror
test_wrong_key
test_half_a_mirror
test_unmet
tap_done
