# shellcheck shell=bash
# Builds the disk that the UML and guest beds boot from: one Debian root file system for both kernels.
# Needs dev/lib/common.sh.

BED_SUITE=bookworm
BED_PACKAGES=(
	systemd-sysv kmod procps mount util-linux e2fsprogs zstd busybox-static
	lxc uidmap apparmor iproute2 nftables iptables dnsmasq-base fuse-overlayfs
	libuv1 libprotobuf-c1 liblxc1 libapparmor1 libsqlite3-0 libyaml-0-2 libjansson4 libarchive13
	libseccomp2 libcap2 libcmocka0 libsodium23 libasan8 libubsan1
	jq socat strace attr sqlite3
)
BED_SOURCES=("$REPO/dev/lib/bed-image.sh" "$REPO/tests/vm/stub" "$REPO"/tests/vm/rootfs-guest/etc/systemd/system/*)
# What the guest needs before it can read its disk.
INITRD_MODULES=(virtio_pci virtio_blk ext4)

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
	# shellcheck disable=SC2016 # for the hook's shell and for the one in the new root
	local fetch_kernel='mkdir "$1/kernel"; chroot "$1" sh -ec "cd /kernel
		apt-get download \$(apt-cache depends --important linux-image-amd64 | grep -o \"linux-image-[0-9].*\")"'
	apt_sources "$BED_SUITE" | mmdebstrap --mode=root --variant=minbase --format=directory \
		--include="$include" \
		--dpkgopt='path-exclude=/usr/share/{doc,info,man,locale,lintian}/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--customize-hook="$fetch_kernel" \
		"$BED_SUITE" "$root" -
	add_kernels "$root"
	configure_bed "$root"
}

# Unpack the stock kernel without installing it (no initramfs-tools, no hooks) and put UML's modules beside it.
add_kernels() {
	local root=$1 release modules
	dpkg-deb -x "$root"/kernel/linux-image-*.deb "$root/kernel"
	release=$(basename "$root"/kernel/lib/modules/*)
	drop_unused_modules "$root/kernel/lib/modules/$release/kernel"
	mkdir -p "$root/usr/lib/modules"
	mv "$root/kernel/lib/modules/$release" "$root/usr/lib/modules/"
	unpack_kernel "$root/kernel/boot/vmlinuz-$release" "$root/boot/vmlinux"
	printf '%s\n' "$release" >"$root/boot/release"
	rm -rf "$root/kernel"
	chroot "$root" depmod "$release"
	modules=$(uml_modules)
	if [[ -n $modules ]]; then
		cp -a "$modules" "$root/usr/lib/modules/"
		chroot "$root" depmod "${modules##*/}"
	fi
}

# QEMU boots an unpacked kernel too: emulated, the kernel unpacking itself takes longer than booting.
unpack_kernel() {
	python3 - "$1" "$2" <<-'END'
	import lzma, sys
	packed = open(sys.argv[1], "rb").read()
	unpacked = lzma.LZMADecompressor().decompress(packed[packed.index(b"\xfd7zXZ\0"):])
	open(sys.argv[2], "wb").write(unpacked)
	END
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
	cp -r "$REPO/tests/vm/rootfs-guest/." "$root"
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
		apparmor.service systemd-journal-flush.service systemd-update-utmp.service systemd-random-seed.service \
		getty.target e2scrub_reap.service systemd-timesyncd.service >/dev/null
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
}

build_bed_disk() {
	local disk=$1 root=$2
	# No journal: the disk is thrown away after each run.
	mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1 -m 0 -d "$root" "$disk" 16G
}

# Print the path of the guest's initrd: a shell and the disk's drivers instead of half of udev.
guest_initrd() {
	cached guest-initrd "$(key_of "$(bed_key)" "${INITRD_MODULES[@]}" -- "$REPO/tests/vm/init-initrd")" \
		build_guest_initrd "$(bed_root)"
}

build_guest_initrd() {
	local result=$1 root=$2 release tree module path
	release=$(<"$root/boot/release")
	tree=$(mktemp -d "$BEDS/initrd.XXXXXX")
	mkdir -p "$tree"/{bin,dev,proc,root,modules}
	cp "$root/bin/busybox" "$tree/bin/"
	ln -s busybox "$tree/bin/sh"
	install -m 755 "$REPO/tests/vm/init-initrd" "$tree/init"
	for module in "${INITRD_MODULES[@]}"; do
		modprobe -d "$root" -S "$release" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
	done | awk '!seen[$0]++' >"$tree/modules/all"
	while read -r path; do
		cp "$path" "$tree/modules/"
		basename "$path"
	done <"$tree/modules/all" >"$tree/modules/order"
	(cd "$tree" && find . | "$root/bin/busybox" cpio -o -H newc) >"$result"
	rm -rf "$tree"
}

# Print the path of the shim that uml-ptrace.c explains.
ptrace_shim() {
	cached uml-ptrace.so "$(key_of -- "$REPO/tests/vm/uml-ptrace.c")" build_ptrace_shim
}

build_ptrace_shim() {
	gcc -O2 -Wall -Wextra -shared -fPIC -o "$1" "$REPO/tests/vm/uml-ptrace.c"
}
