# shellcheck shell=bash
# Builds the root file systems of the containers that tests and demo make, without Docker in them. No bed but
# the native one has a network, so the others carry the packages that an installation of Docker fetches.
# Needs dev/lib/common.sh.
#
#   systemd  systemd, this machine's apt sources (native bed)
#   bare     no init at all, this machine's apt sources (native bed)
#   offline  systemd, a repository of its own as the only apt source (guest bed)
#   uml      offline, and what Docker needs to live with the UML kernel (UML bed)
#   golden   offline, Docker already installed

CONTAINER_SUITE=bookworm
CONTAINER_PACKAGES=(systemd-sysv dbus iproute2 ca-certificates)
# What the agent may ask apt for.
CONTAINER_REPOSITORY=(docker.io fuse-overlayfs iptables ca-certificates apparmor)

container_key() {
	key_of "$CONTAINER_SUITE" "${CONTAINER_PACKAGES[@]}" "${CONTAINER_REPOSITORY[@]}" -- \
		"$REPO/dev/lib/container-images.sh"
}

# Print the path of an image, a tar file: `container_image KIND`.
container_image() {
	local kind=$1 key files
	key=$(container_key)
	case $kind in
	systemd | offline | golden)
		cached "container-$kind.tar" "$key" "build_$kind" "$(container_trees)"
		;;
	uml)
		mapfile -t files < <(find "$REPO/tests/vm/rootfs-uml" -type f | sort)
		key=$(key_of "$key" -- "${files[@]}")
		cached container-uml.tar "$key" build_uml "$(container_trees)"
		;;
	bare) cached container-bare.tar "$key" build_bare ;;
	*) die "no container image named $kind" ;;
	esac
}

# Print the path of a folder with `tree` (the systemd container's root) and `repository`.
container_trees() {
	cached container.trees "$(container_key)" build_trees
}

build_trees() {
	local result=$1 include
	include=$(IFS=,; printf '%s' "${CONTAINER_PACKAGES[*]}")
	mkdir -p "$result/repository"
	# shellcheck disable=SC2016 # $1 belongs to the hook
	apt_sources "$CONTAINER_SUITE" | debootstrap_container --include="$include" \
		--customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
		--customize-hook="chroot \"\$1\" apt-get install --yes --no-install-recommends --download-only \
			${CONTAINER_REPOSITORY[*]}" \
		--customize-hook="mv \"\$1\"/var/cache/apt/archives/*.deb $result/repository/" \
		"$CONTAINER_SUITE" "$result/tree" -
	# Nothing of the container's own may take apt's lock or wait for a terminal in the middle of a test.
	chroot "$result/tree" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
		e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target console-getty.service
	recompress "$result/repository"
	(cd "$result/repository" && dpkg-scanpackages --multiversion . >Packages)
}

# The same packages with a compression that costs nothing to undo: under emulation xz is a third of an installation.
recompress() {
	local package unpacked
	for package in "$1"/*.deb; do
		unpacked=$(mktemp -d "$BEDS/package.XXXXXX")
		dpkg-deb --raw-extract "$package" "$unpacked"
		dpkg-deb --build -Zzstd -z1 "$unpacked" "$package"
		rm -rf "$unpacked"
	done
}

debootstrap_container() {
	mmdebstrap --mode=root --variant=minbase --format=directory \
		--aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' "$@"
}

build_systemd() {
	pack "$1" "$2/tree"
}

build_bare() {
	local tree
	tree=$(mktemp -d "$BEDS/bare.XXXXXX")
	apt_sources "$CONTAINER_SUITE" |
		debootstrap_container --include=iproute2,ca-certificates "$CONTAINER_SUITE" "$tree" -
	pack "$1" "$tree"
	rm -rf "$tree"
}

build_offline() {
	with_copy "$2" pack "$1"
}

build_uml() {
	with_copy "$2" pack_uml "$1"
}

build_golden() {
	with_copy "$2" pack_golden "$1"
}

# Copy the container's tree, make it an offline one and call `FUNCTION ARGUMENT COPY`.
with_copy() {
	local trees=$1 function=$2 argument=$3 copy
	copy=$(mktemp -d "$BEDS/copy.XXXXXX")
	cp -a "$trees/tree/." "$copy"
	cp -r "$trees/repository" "$copy/var/cache/phoenix-repository"
	rm -f "$copy/etc/apt/sources.list" "$copy"/etc/apt/sources.list.d/*
	printf 'deb [trusted=yes] file:/var/cache/phoenix-repository ./\n' >"$copy/etc/apt/sources.list"
	# The beds' disks are thrown away: don't wait for them.
	printf 'force-unsafe-io\n' >"$copy/etc/dpkg/dpkg.cfg.d/bed"
	"$function" "$argument" "$copy"
	rm -rf "$copy"
}

pack_uml() {
	cp -r "$REPO/tests/vm/rootfs-uml/." "$2"
	pack "$1" "$2"
}

pack_golden() {
	local tree=$2
	printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
	chmod +x "$tree/usr/sbin/policy-rc.d"
	unshare --mount --pid --fork chroot "$tree" sh -ec 'mount -t proc proc /proc
		export DEBIAN_FRONTEND=noninteractive
		apt-get update
		apt-get install --yes --no-install-recommends docker.io fuse-overlayfs iptables'
	rm "$tree/usr/sbin/policy-rc.d"
	pack "$1" "$tree"
}

pack() {
	tar --create --file "$1" --numeric-owner --xattrs --xattrs-include='*' --one-file-system \
		--exclude=./dev/* --exclude=./proc/* --exclude=./sys/* --exclude=./run/* -C "$2" .
}
