# shellcheck shell=bash
# A signed repository of Docker's own packages, made of the distribution's: the same programs under docker-ce's names,
# split and joined as Docker does it (the client apart, runc within containerd.io), with its kind of version.

# Unpack FOLDER's package NAME with its control files: `ce_unpack FOLDER NAME TO`.
ce_unpack() {
	dpkg-deb --raw-extract "$(echo "$1/$2"_*.deb)" "$3"
}

# Rewrite control fields: `ce_control TREE NAME VERSION DEPENDS`. What names the distribution's other packages goes.
ce_control() {
	sed -i -e "s/^Package: .*/Package: $2/" -e "s/^Version: .*/Version: $3/" -e "s/^Depends: .*/Depends: $4/" \
		-e '/^\(Source\|Conflicts\|Breaks\|Replaces\|Recommends\|Suggests\|Built-Using\):/d' "$1/DEBIAN/control"
	rm -f "$1/DEBIAN/md5sums"
}

# `ce_packages FROM TO`: TO gets docker-ce and its set, and FROM's further packages as they are.
ce_packages() {
	local from=$1 to=$2 tree=$PH_WORK/ce version='5:20.10.24~3-0~debian-12~bookworm'
	mkdir -p "$tree" "$to"
	ce_unpack "$from" docker.io "$tree/docker-ce"
	ce_unpack "$from" containerd "$tree/containerd.io"
	dpkg-deb --extract "$(echo "$from"/runc_*.deb)" "$tree/containerd.io"
	mkdir -p "$tree/docker-ce-cli/DEBIAN" "$tree/docker-ce-cli/usr/bin"
	cp "$tree/docker-ce/DEBIAN/control" "$tree/docker-ce-cli/DEBIAN/control"
	mv "$tree/docker-ce/usr/bin/docker" "$tree/docker-ce-cli/usr/bin/docker"
	ce_control "$tree/docker-ce" docker-ce "$version" \
		'containerd.io (>= 1.4.1), docker-ce-cli, iptables, libdevmapper1.02.1, libsystemd0, adduser, lsb-base, tini'
	ce_control "$tree/docker-ce-cli" docker-ce-cli "$version" 'libc6 (>= 2.34)'
	ce_control "$tree/containerd.io" containerd.io '1.6.20-1' 'libc6 (>= 2.34), libseccomp2 (>= 2.5.0)'
	for name in docker-ce docker-ce-cli containerd.io; do
		dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree/$name" "$to" >/dev/null
	done
	cp "$from"/*.deb "$to"
	rm "$to"/docker.io_* "$to"/containerd_* "$to"/runc_*
	rename_epochs "$to"
	rm -rf "$tree"
}

# A colon in a file's name is one too many for a URL.
rename_epochs() {
	local file
	for file in "$1"/*:*.deb; do
		[[ ! -e $file ]] || mv "$file" "${file//:/_}"
	done
}

# apt's index of the packages of a folder, with their places below another: `ce_index FOLDER BELOW`.
ce_index() {
	local file
	for file in "$1"/*.deb; do
		dpkg-deb --field "$file"
		printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "${file#"$2"/}" "$(stat -c %s "$file")" \
			"$(sha256sum "$file" | cut -d ' ' -f 1)"
	done
}

# A key of the test's own: `ce_key NAME` leaves NAME.asc and the private part in the test's folder.
ce_key() {
	install -d -m 700 "$PH_WORK/gnupg"
	gpg --homedir "$PH_WORK/gnupg" --batch --quiet --passphrase '' --quick-generate-key "$1@example.org" ed25519 sign never
	gpg --homedir "$PH_WORK/gnupg" --batch --armor --export "$1@example.org" >"$PH_WORK/$1.asc"
}

# `ce_repository FOLDER KEY`: index and sign what lies in FOLDER/pool, as suite bookworm with the component stable.
ce_repository() {
	local folder=$1 key=$2 suite=$1/dists/bookworm index=stable/binary-amd64/Packages
	mkdir -p "$suite/stable/binary-amd64"
	ce_index "$folder/pool" "$folder" >"$suite/$index"
	{
		printf 'Origin: Docker\nLabel: Docker CE\nSuite: bookworm\nCodename: bookworm\nDate: %s\n' "$(date -uR)"
		printf 'Architectures: amd64\nComponents: stable\nSHA256:\n %s %s %s\n' \
			"$(sha256sum "$suite/$index" | cut -d ' ' -f 1)" "$(stat -c %s "$suite/$index")" "$index"
	} >"$suite/Release"
	gpg --homedir "$PH_WORK/gnupg" --batch --quiet --yes --local-user "$key@example.org" --clearsign \
		--output "$suite/InRelease" "$suite/Release"
}
