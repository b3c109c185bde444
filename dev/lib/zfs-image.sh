# shellcheck shell=bash
# Builds the disk of the zfs bed: the Debian 12 guest's, with the modules and tools of ZFS from Debian's contrib.
# The modules take ten minutes to build, so they are kept apart from the disk: another bed image needs no new ones as
# long as its kernel stays. Debian may distribute their source only, so they are built on the machine that tests.
# Needs dev/lib/common.sh, dev/lib/bed-image.sh.

# Print the path of the zfs bed's disk, an ext4 file.
zfs_disk() {
	local root modules
	root=$(bed_root bookworm)
	modules=$(zfs_modules)
	cached bed-zfs.ext4 "$(key_of "${root##*.}" "${modules##*.}" "$(declare -f build_zfs_disk)")" \
		build_zfs_disk "$root" "$modules"
}

# Print the path of a folder with ZFS' modules for the kernel of the Debian 12 guest.
zfs_modules() {
	local release
	release=$(<"$(bed_root bookworm)/boot/release")
	cached bed-zfs.modules "$(key_of "$release" "$(declare -f build_zfs_modules)")" build_zfs_modules "$release"
}

# Print the sources of Debian 12 with contrib, where ZFS is.
zfs_sources() {
	apt_sources bookworm | sed 's/ main$/ main contrib/'
}

build_zfs_modules() {
	local result=$1 release=$2 tree
	tree=$(mktemp -d "$BEDS/zfs.XXXXXX")
	# shellcheck disable=SC2064 # now: it is local
	trap "rm -rf '$tree'" EXIT
	zfs_sources | mmdebstrap --mode=root --variant=minbase --format=directory --aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/{doc,info,man,locale}/*' \
		--include="dkms,file,lsb-release,python3-distutils,perl,gcc,make,libc6-dev,linux-headers-$release" bookworm "$tree" -
	# Unpacked and not installed: the package's script builds for the kernel that runs here, which is another one.
	# shellcheck disable=SC2016 # for the shell in the tree
	nice unshare --mount --pid --fork chroot "$tree" sh -ec '
		mount -t proc proc /proc
		apt-get update
		cd /tmp
		apt-get download zfs-dkms
		dpkg-deb -x zfs-dkms_*.deb /
		version=$(dpkg-deb -f zfs-dkms_*.deb Version | sed "s/-[^-]*\$//")
		dkms add -m zfs -v "$version"
		dkms build -m zfs -v "$version" -k "$1" || { cat "/var/lib/dkms/zfs/$version/build/make.log"; exit 1; }
		mv "/var/lib/dkms/zfs/$version/$1/"*/module /modules' sh "$release"
	mv "$tree/modules" "$result"
	rm -rf "$tree"
	trap - EXIT
}

build_zfs_disk() {
	local disk=$1 root=$2 modules=$3 release tree
	release=$(<"$root/boot/release")
	tree=$(mktemp -d "$BEDS/zfs.XXXXXX")
	# shellcheck disable=SC2064 # now: it is local
	trap "rm -rf '$tree'" EXIT
	cp -a --reflink=auto "$root/." "$tree"
	zfs_sources >"$tree/etc/apt/sources.list"
	rm "$tree/etc/resolv.conf"
	cp /etc/resolv.conf "$tree/etc/resolv.conf"
	# shellcheck disable=SC2016 # for the shell in the tree
	unshare --mount --pid --fork chroot "$tree" sh -ec '
		mount -t proc proc /proc
		export DEBIAN_FRONTEND=noninteractive
		apt-get update
		apt-get install --yes --no-install-recommends zfsutils-linux'
	cp "$root/etc/resolv.conf" "$tree/etc/resolv.conf"
	rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/* "$tree/etc/apt/sources.list"
	mkdir -p "$tree/usr/lib/modules/$release/updates"
	cp "$modules"/*.ko "$tree/usr/lib/modules/$release/updates/"
	chroot "$tree" depmod "$release"
	build_bed_disk "$disk" "$tree"
	rm -rf "$tree"
	trap - EXIT
}
