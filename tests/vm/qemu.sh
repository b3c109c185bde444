# shellcheck shell=bash
# What the guest beds share: a QEMU machine, emulated in software, with Debian's stock kernel and systemd.
# Needs dev/lib/common.sh, dev/lib/bed-image.sh, tests/vm/runner.sh.

# shellcheck disable=SC2034 # the runner's
DEADLINE=1500 BED_INIT=guest

# shellcheck disable=SC2317 # run by run_machine
boot_bed() {
	# Kernel messages to the log, the command's output through a virtio console to standard output.
	# no_timer_check: on a busy machine an emulated timer looks broken to the kernel, which then panics.
	TMPDIR=$JOB qemu-system-x86_64 -accel tcg,thread=multi,tb-size=1024 -cpu max -smp "${PH_BED_PROCESSORS:-1}" -m "${PH_BED_MEMORY:-4G}" \
		-nodefaults -no-user-config -no-reboot -display none -monitor none \
		-kernel "$KERNEL" -initrd "$INITRD" \
		-append "console=ttyS0 rw apparmor=1 security=apparmor mitigations=off no_timer_check quiet panic=-1 \
			systemd.unit=phoenix-bed.target systemd.show_status=no systemd.journald.forward_to_console=no \
			phoenix.bed=guest phoenix.job=9p" \
		-drive "file=$DISK,if=virtio,format=raw,cache=unsafe,snapshot=on,file.locking=off" \
		-serial "file:$JOB/console.log" \
		-device virtio-serial -chardev file,id=output,path=/dev/stdout -device virtconsole,chardev=output \
		-virtfs "local,path=$JOB,mount_tag=job,security_model=none,id=job" \
		-virtfs "local,path=$REPO,mount_tag=tree,security_model=none,id=tree,readonly=on,multidevs=remap" \
		2>>"$JOB/qemu.log" | cat
	status=${PIPESTATUS[0]}
	cat "$JOB/qemu.log" >>"$JOB/console.log"
	return "$status"
}

# Boot the guest of a suite and run a command in it: `run_guest SUITE DISK-FUNCTION ARGUMENT...`. The function prints
# the path of the disk, given the suite.
run_guest() {
	command -v qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64 is missing: run dev/setup --guest"
	KERNEL=$(bed_root "$1")/boot/vmlinux
	INITRD=$(guest_initrd "$1")
	DISK=$("$2" "$1")
	export KERNEL INITRD DISK JOB
	shift 2
	run_bed "$@"
}
