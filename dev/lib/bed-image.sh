# shellcheck shell=bash
# Builds the disks that the UML and guest beds boot from: one Debian 12 root file system for UML's kernel and
# Debian's own, one of Debian 13 for the second guest. SUITE is bookworm unless it is given.
# Needs dev/lib/common.sh.

BED_PACKAGES=(
	systemd-sysv kmod procps mount util-linux e2fsprogs zstd busybox-static
	lxc uidmap apparmor iproute2 nftables iptables dnsmasq-base fuse-overlayfs
	libprotobuf-c1 libapparmor1 libsqlite3-0 libyaml-0-2 libjansson4
	libseccomp2 libcap2 libcmocka0 libsodium23 libasan8 libubsan1
	jq socat strace attr sqlite3
)
BED_SOURCES=("$REPO/dev/lib/bed-image.sh" "$REPO/tests/vm/stub" "$REPO"/tests/vm/rootfs-guest/etc/systemd/system/*)
# What the guest needs before it can read its disk.
INITRD_MODULES=(virtio_pci virtio_blk ext4)

# Print the path of the bed's disk, an ext4 file: `bed_disk [SUITE]`.
bed_disk() {
	local suite=${1:-bookworm}
	cached "$(bed_file bed "$suite").ext4" "$(bed_key "$suite")" build_bed_disk "$(bed_root "$suite")"
}

# Print the path of the bed's root file system, a directory of this machine (kernel and initrd come from it):
# `bed_root [SUITE]`.
bed_root() {
	local suite=${1:-bookworm}
	cached "$(bed_file bed "$suite").root" "$(bed_key "$suite")" build_bed_root "$suite"
}

# Print a cached file's name in a suite: `bed_file NAME SUITE`.
bed_file() {
	if [[ $2 == bookworm ]]; then echo "$1"; else echo "$1-$2"; fi
}

# Print the packages of a suite's bed, one a line.
bed_packages() {
	printf '%s\n' "${BED_PACKAGES[@]}"
	# Other names, the same sonames: what Debian 12 built runs on both.
	case $1 in
	bookworm) printf '%s\n' libuv1 liblxc1 libarchive13 ;;
	*) printf '%s\n' libuv1t64 liblxc1t64 libarchive13t64 ;;
	esac
}

bed_key() {
	key_of "$1" "$(bed_packages "$1")" "$(uml_modules)" -- "${BED_SOURCES[@]}"
}

# Print the folder of User-Mode Linux' modules, nothing where the package isn't installed.
uml_modules() {
	find /usr/lib/uml/modules -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort -V | tail -n 1
}

build_bed_root() {
	local root=$1 suite=$2 include
	include=$(bed_packages "$suite" | paste -s -d ,)
	# shellcheck disable=SC2016 # for the hook's shell and for the one in the new root
	local fetch_kernel='mkdir "$1/kernel"; chroot "$1" sh -ec "cd /kernel
		apt-get download \$(apt-cache depends --important linux-image-amd64 | grep -o \"linux-image-[0-9].*\")"'
	apt_sources "$suite" | mmdebstrap --mode=root --variant=minbase --format=directory \
		--include="$include" \
		--dpkgopt='path-exclude=/usr/share/{doc,info,man,locale,lintian}/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--customize-hook="$fetch_kernel" \
		"$suite" "$root" -
	add_kernels "$root"
	configure_bed "$root"
}

# Unpack the stock kernel without installing it (no initramfs-tools, no hooks) and put UML's modules beside it.
add_kernels() {
	local root=$1 release modules
	dpkg-deb -x "$root"/kernel/linux-image-*.deb "$root/kernel"
	# In /lib in Debian 12, in /usr/lib in Debian 13.
	modules=$(find "$root/kernel" -path '*lib/modules/*' -name kernel -prune -printf '%h\n')
	release=${modules##*/}
	drop_unused_modules "$modules/kernel"
	mkdir -p "$root/usr/lib/modules"
	mv "$modules" "$root/usr/lib/modules/"
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
	# The boot protocol's header says where the packed kernel lies; the last four bytes are its unpacked size.
	# Debian 12 packs with xz, Debian 13 with zstd.
	python3 - "$1" >"$2.packed" <<-'END'
	import struct, sys
	image = open(sys.argv[1], "rb").read()
	offset, length = struct.unpack_from("<II", image, 0x248)
	begin = (image[0x1f1] + 1) * 512 + offset
	sys.stdout.buffer.write(image[begin:begin + length - 4])
	END
	if ! zstd --decompress --quiet --stdout "$2.packed" >"$2" 2>/dev/null; then
		xz --decompress --stdout <"$2.packed" >"$2"
	fi
	rm "$2.packed"
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

# Print the path of the guest's initrd, a shell and the disk's drivers instead of half of udev:
# `guest_initrd [SUITE]`.
guest_initrd() {
	local suite=${1:-bookworm}
	cached "$(bed_file guest-initrd "$suite")" \
		"$(key_of "$(bed_key "$suite")" "${INITRD_MODULES[@]}" -- "$REPO/tests/vm/init-initrd")" \
		build_guest_initrd "$(bed_root "$suite")"
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
		# Packed in Debian 13, and the kernel unpacks none that has no helper to ask yet.
		case $path in
		*.xz) xz --decompress --stdout "$path" >"$tree/modules/$(basename "$path" .xz)" ;;
		*) cp "$path" "$tree/modules/" ;;
		esac
		basename "$path" .xz
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
