# shellcheck shell=bash
# Builds the root file systems of the containers that tests and demo make, without Docker in them. No bed but
# the native one has a network, so the others carry the packages that an installation of Docker fetches.
# Needs dev/lib/common.sh.
#
#   systemd  systemd, this machine's apt sources (native bed)
#   bare     no init at all, this machine's apt sources (native bed)
#   offline  systemd, a repository of its own as the only apt source (guest beds)
#   uml      offline, and what Docker needs to live with the UML kernel (UML bed)
#   golden   offline, Docker already installed; umlgolden: the same for the UML bed
#
# Each of them is Debian 12; KIND-SUITE, such as offline-forky, is another Debian.

CONTAINER_PACKAGES=(systemd-sysv dbus iproute2 ca-certificates)
# What the agent may ask apt for, and what installs Docker in a golden image.
CONTAINER_REPOSITORY=(docker.io fuse-overlayfs iptables ca-certificates apparmor)

# Print the packages of a suite's repository on one line.
container_repository() {
	# Debian 13 and later have the client in a package of its own.
	if [[ $1 == bookworm ]]; then
		echo "${CONTAINER_REPOSITORY[*]}"
	else
		echo "${CONTAINER_REPOSITORY[*]} docker-cli"
	fi
}

# Print the key of a suite's images.
container_key() {
	key_of "$1" "${CONTAINER_PACKAGES[@]}" "$(container_repository "$1")" -- "$REPO/dev/lib/container-images.sh"
}

# Print the path of an image, a tar file: `container_image KIND[-SUITE]`.
container_image() {
	local kind=${1%%-*} suite=bookworm name=container-$1.tar key files
	[[ $1 != *-* ]] || suite=${1#*-}
	[[ $suite =~ ^(bookworm|trixie|forky)$ ]] || die "no container image named $1: the suites are bookworm trixie forky"
	[[ $suite != bookworm ]] || name=container-$kind.tar
	key=$(container_key "$suite")
	case $kind in
	systemd | offline | golden)
		cached "$name" "$key" "build_$kind" "$(container_trees "$suite")" "$suite"
		;;
	uml | umlgolden)
		mapfile -t files < <(find "$REPO/tests/vm/rootfs-uml" -type f | sort)
		key=$(key_of "$key" -- "${files[@]}")
		cached "$name" "$key" "build_$kind" "$(container_trees "$suite")" "$suite"
		;;
	bare) cached "$name" "$key" build_bare "$suite" ;;
	*) die "no container image named $1: the kinds are systemd bare offline uml golden umlgolden" ;;
	esac
}

# Print the path of a folder with `tree` (the systemd container's root) and `repository`: `container_trees SUITE`.
container_trees() {
	local name=container.trees
	[[ $1 == bookworm ]] || name=container-$1.trees
	cached "$name" "$(container_key "$1")" build_trees "$1"
}

build_trees() {
	local result=$1 suite=$2 include
	include=$(IFS=,; printf '%s' "${CONTAINER_PACKAGES[*]}")
	mkdir -p "$result/repository"
	# shellcheck disable=SC2016 # $1 belongs to the hook
	apt_sources "$suite" | debootstrap_container --include="$include" \
		--customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
		--customize-hook="chroot \"\$1\" apt-get install --yes --no-install-recommends --download-only \
			$(container_repository "$suite")" \
		--customize-hook="mv \"\$1\"/var/cache/apt/archives/*.deb $result/repository/" \
		"$suite" "$result/tree" -
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

# A suite that is not released yet may have indexes past their date.
debootstrap_container() {
	mmdebstrap --mode=root --variant=minbase --format=directory \
		--aptopt='Acquire::Languages "none"' --aptopt='Acquire::Check-Valid-Until "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' "$@"
}

build_systemd() {
	pack "$1" "$2/tree"
}

build_bare() {
	local suite=$2 tree
	tree=$(mktemp -d "$BEDS/bare.XXXXXX")
	apt_sources "$suite" | debootstrap_container --include=iproute2,ca-certificates "$suite" "$tree" -
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
	with_copy "$2" pack_golden "$1" "$3"
}

build_umlgolden() {
	with_copy "$2" pack_umlgolden "$1" "$3"
}

# Copy the container's tree, make it an offline one and call `FUNCTION RESULT COPY [ARGUMENT...]`:
# `with_copy TREES FUNCTION RESULT [ARGUMENT...]`.
with_copy() {
	local trees=$1 function=$2 result=$3 copy
	shift 3
	copy=$(mktemp -d "$BEDS/copy.XXXXXX")
	cp -a "$trees/tree/." "$copy"
	cp -r "$trees/repository" "$copy/var/cache/phoenix-repository"
	rm -f "$copy/etc/apt/sources.list" "$copy"/etc/apt/sources.list.d/*
	printf 'deb [trusted=yes] file:/var/cache/phoenix-repository ./\n' >"$copy/etc/apt/sources.list"
	# The beds' disks are thrown away: don't wait for them.
	printf 'force-unsafe-io\n' >"$copy/etc/dpkg/dpkg.cfg.d/bed"
	"$function" "$result" "$copy" "$@"
	rm -rf "$copy"
}

pack_uml() {
	cp -r "$REPO/tests/vm/rootfs-uml/." "$2"
	pack "$1" "$2"
}

pack_golden() {
	install_docker "$2" "$3"
	pack "$1" "$2"
}

pack_umlgolden() {
	install_docker "$2" "$3"
	pack_uml "$1" "$2"
}

# Install what the agent would, in a tree of a suite: `install_docker TREE SUITE`.
install_docker() {
	local tree=$1 packages
	read -ra packages < <(container_repository "$2")
	printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
	chmod +x "$tree/usr/sbin/policy-rc.d"
	# shellcheck disable=SC2016 # for the shell in the tree
	unshare --mount --pid --fork chroot "$tree" sh -ec 'mount -t proc proc /proc
		export DEBIAN_FRONTEND=noninteractive
		apt-get update
		apt-get install --yes --no-install-recommends "$@"' sh "${packages[@]}"
	rm "$tree/usr/sbin/policy-rc.d"
}

pack() {
	tar --create --file "$1" --numeric-owner --xattrs --xattrs-include='*' --one-file-system \
		--exclude=./dev/* --exclude=./proc/* --exclude=./sys/* --exclude=./run/* -C "$2" .
}
