# shellcheck shell=bash
# The containers' roots that the comparisons with other tools need: Debian 12 with the Python that ansible wants in
# every target, a repository of its own with what an installation of Docker fetches (so that no tool waits for a
# mirror), and no Docker. `bench-docker` has systemd, `bench-bare` is the same without an init.

# Print the path of one of them, building it when needed: `bench_image bench-docker|bench-bare`.
bench_image() (
	# In a shell of its own: these have their own idea of what a script's helpers are called.
	# shellcheck source=dev/lib/common.sh
	. "$PH_ROOT/dev/lib/common.sh"
	# shellcheck source=dev/lib/container-images.sh
	. "$PH_ROOT/dev/lib/container-images.sh"
	export -f build_bench_trees build_bench_image
	local key trees
	key=$(key_of "$(container_key bookworm)" -- "$PH_ROOT/tests/bench/lxc/images.sh")
	trees=$(cached bench.trees "$key" build_bench_trees "$(container_trees bookworm)")
	cached "$1.tar" "$key" build_bench_image "$1" "$trees"
)

build_bench_trees() {
	local result=$1 trees=$2 include
	include=$(IFS=,; printf '%s' "${CONTAINER_PACKAGES[*]}",python3,python3-apt)
	mkdir -p "$result"
	apt_sources bookworm | debootstrap_container --include="$include" bookworm "$result/tree" -
	rm -f "$result/tree/etc/apt/sources.list" "$result/tree"/etc/apt/sources.list.d/*
	cp -r "$trees/repository" "$result/tree/var/cache/phoenix-repository"
	printf 'deb [trusted=yes] file:/var/cache/phoenix-repository ./\n' >"$result/tree/etc/apt/sources.list"
	printf 'force-unsafe-io\n' >"$result/tree/etc/dpkg/dpkg.cfg.d/bench"
	chroot "$result/tree" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
		e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target console-getty.service
}

build_bench_image() {
	local result=$1 kind=$2 trees=$3
	if [[ $kind == bench-docker ]]; then
		pack "$result" "$trees/tree"
	else
		tar --create --file "$result" --numeric-owner --xattrs --xattrs-include='*' --one-file-system \
			--exclude=./dev/* --exclude=./proc/* --exclude=./sys/* --exclude=./run/* \
			--exclude=./sbin/init --exclude=./usr/sbin/init --exclude=./lib/systemd/systemd \
			--exclude=./usr/lib/systemd/systemd --exclude=./var/cache/phoenix-repository/*.deb -C "$trees/tree" .
	fi
}
