# shellcheck shell=bash
# Builds the disk that the UML and guest beds boot from: one Debian root file system for both kernels.
# Needs dev/lib/common.sh.

BED_SUITE=bookworm
BED_PACKAGES=(
	systemd-sysv kmod procps mount util-linux e2fsprogs zstd busybox-static
	lxc uidmap apparmor iproute2 nftables iptables dnsmasq-base fuse-overlayfs
	libuv1 libprotobuf-c1 liblxc1 libapparmor1 libsqlite3-0 libyaml-0-2 libjansson4 libarchive13
	libseccomp2 libcap2 libasan8 libubsan1
	jq socat strace attr sqlite3
)
BED_SOURCES=("$REPO/dev/lib/bed-image.sh" "$REPO/tests/vm/stub")

# Print the path of the bed's disk, an ext4 file.
bed_disk() {
	cached bed.ext4 "$(bed_key)" build_bed_disk "$(bed_root)"
}

# Print the path of the bed's root file system, a directory of this machine (kernel and initrd come from it).
bed_root() {
	cached bed.root "$(bed_key)" build_bed_root
}

bed_key() {
	key_of "$BED_SUITE" "${BED_PACKAGES[@]}" "$(uml_modules)" -- "${BED_SOURCES[@]}"
}

# Print the folder of User-Mode Linux' modules, nothing where the package isn't installed.
uml_modules() {
	find /usr/lib/uml/modules -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort -V | tail -n 1
}

build_bed_root() {
	local root=$1 include
	include=$(IFS=,; printf '%s' "${BED_PACKAGES[*]}")
	apt_sources "$BED_SUITE" | mmdebstrap --mode=root --variant=minbase --format=directory \
		--include="$include" \
		--dpkgopt='path-exclude=/usr/share/{doc,info,man,locale,lintian}/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--customize-hook='chroot "$1" sh -c "cd /tmp && apt-get download \$(apt-cache depends --important linux-image-amd64 | sed -n \"s/.*Depends: //p\" | head -n 1)"' \
		"$BED_SUITE" "$root" -
	add_kernels "$root"
	configure_bed "$root"
}

# Unpack the stock kernel without installing it (no initramfs-tools, no hooks) and put UML's modules beside it.
add_kernels() {
	local root=$1 release modules
	mkdir -p "$root/kernel"
	dpkg-deb -x "$root"/tmp/linux-image-*.deb "$root/kernel"
	rm "$root"/tmp/linux-image-*.deb
	release=$(basename "$root"/kernel/lib/modules/*)
	drop_unused_modules "$root/kernel/lib/modules/$release/kernel"
	mkdir -p "$root/usr/lib/modules"
	mv "$root/kernel/lib/modules/$release" "$root/usr/lib/modules/"
	mv "$root/kernel/boot/vmlinuz-$release" "$root/boot/vmlinuz"
	printf '%s\n' "$release" >"$root/boot/release"
	rm -rf "$root/kernel"
	chroot "$root" depmod "$release"
	modules=$(uml_modules)
	if [[ -n $modules ]]; then
		cp -a "$modules" "$root/usr/lib/modules/"
		chroot "$root" depmod "${modules##*/}"
	fi
}

# Hardware that no bed has: nine tenths of the kernel's size.
drop_unused_modules() {
	local kernel=$1 name
	rm -rf "$kernel/sound"
	for name in gpu media infiniband iio staging scsi usb hid input mtd isdn bluetooth thunderbolt hwmon edac \
		platform target nvme ata message comedi accel power leds mmc firewire video; do
		rm -rf "$kernel/drivers/$name"
	done
	rm -rf "$kernel"/drivers/net/{ethernet,wireless,usb,can,dsa,phy,fddi,hamradio,wan,wwan,arcnet}
}

configure_bed() {
	local root=$1
	install -D -m 755 "$REPO/tests/vm/stub" "$root/usr/sbin/bed-stub"
	mkdir -p "$root/bed"
	printf 'phoenix-bed\n' >"$root/etc/hostname"
	printf '127.0.0.1 localhost phoenix-bed\n' >"$root/etc/hosts"
	printf 'root:100000:1000000000\n' >"$root/etc/subuid"
	printf 'root:100000:1000000000\n' >"$root/etc/subgid"
	: >"$root/etc/fstab"
	rm -f "$root/etc/resolv.conf"
	printf 'nameserver 127.0.0.1\n' >"$root/etc/resolv.conf"
	chroot "$root" useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin phoenix
	chroot "$root" systemctl mask lxc.service lxc-net.service lxcfs.service systemd-networkd.service \
		getty.target e2scrub_reap.service systemd-timesyncd.service >/dev/null
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
}

build_bed_disk() {
	local disk=$1 root=$2
	# No journal: the disk is thrown away after each run.
	mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1 -m 0 -d "$root" "$disk" 16G
}
