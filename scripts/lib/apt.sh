# SPDX-License-Identifier: GPL-2.0
# Debian packages by way of apt, without installing them and without touching the
# machine's own package lists: private lists, made of the mirrors that the machine
# is configured for. A "suite" is bookworm (with its updates), bookworm-source (the sources of
# these), bookworm-backports, or bookworm-i386 (packages of the 32-bit architecture).
# shellcheck shell=bash disable=SC2016

# Options that point apt at the private lists of a suite.
apt_options()
{
	local dir=$MINIKVM_CACHE/apt/$1

	printf '%s\n' -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$dir/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Sandbox::User= -o APT::Get::List-Cleanup=0
	case $1 in
	*-i386) printf '%s\n' -o APT::Architecture=i386 -o APT::Architectures=i386 ;;
	esac
}

# The sources.list lines of a suite. Backports live where the main archive does.
apt_sources()
{
	local suite=$1 key=/usr/share/keyrings/debian-archive-keyring.gpg
	local uri release

	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY)' |
		sed -n 's/ main Packages$//p' | sort -u |
		while read -r uri release; do
			case $suite/$release in
			bookworm/bookworm | bookworm/bookworm-updates | bookworm/bookworm-security)
				echo "deb [signed-by=$key] $uri $release main" ;;
			bookworm-i386/bookworm)
				echo "deb [signed-by=$key] $uri bookworm main" ;;
			bookworm-backports/bookworm)
				echo "deb [signed-by=$key] $uri bookworm-backports main" ;;
			bookworm-source/bookworm | bookworm-source/bookworm-updates | bookworm-source/bookworm-security)
				echo "deb-src [signed-by=$key] $uri $release main" ;;
			esac
		done
}

# Fetches the lists of a suite, unless done in the last hour.
apt_update()
{
	local dir=$MINIKVM_CACHE/apt/$1 options

	[ -z "$(find "$dir/updated" -mmin -60 2>/dev/null)" ] || return 0
	mkdir -p "$dir/lists/partial"
	apt_sources "$1" >"$dir/sources.list"
	[ -s "$dir/sources.list" ] ||
		die "apt has no package lists of Debian 12 (bookworm): run 'apt-get update' as root first"
	mapfile -t options < <(apt_options "$1")
	say "fetching the package lists of $1"
	quietly apt-get "${options[@]}" update ||
		die "could not fetch the package lists of $1: is there a network?"
	touch "$dir/updated"
}

# apt_private SUITE ARGUMENT...: apt-cache on the private lists.
apt_private()
{
	local options

	mapfile -t options < <(apt_options "$1")
	apt-cache "${options[@]}" "${@:2}"
}

# apt_unpack SUITE DIR PACKAGE...: downloads the packages and unpacks them into DIR.
apt_unpack()
{
	local suite=$1 dir=$2 tmp options deb

	shift 2
	mapfile -t options < <(apt_options "$suite")
	mkdir -p "$dir"
	tmp=$(mktemp -d "$MINIKVM_CACHE/download.XXXXXX")
	(cd "$tmp" && quietly apt-get "${options[@]}" download "$@") ||
		{ rm -rf "$tmp"; die "could not download: $*"; }
	for deb in "$tmp"/*.deb; do
		dpkg -x "$deb" "$dir"
	done
	rm -rf "$tmp"
}

# apt_source DIR PACKAGE: downloads a source package of bookworm and unpacks it, with
# Debian's patches, into DIR.
apt_source()
{
	local dir=$1 package=$2 tmp options patch

	mapfile -t options < <(apt_options bookworm-source)
	tmp=$(mktemp -d "$MINIKVM_CACHE/download.XXXXXX")
	(cd "$tmp" && quietly apt-get "${options[@]}" source --download-only "$package") ||
		{ rm -rf "$tmp"; die "could not download the source of $package"; }
	mkdir -p "$dir"
	tar -xf "$tmp"/*.orig.tar.* -C "$dir" --strip-components=1
	tar -xf "$tmp"/*.debian.tar.* -C "$dir"
	rm -rf "$tmp"
	for patch in $(sed 's/#.*//' "$dir/debian/patches/series"); do
		quietly patch -d "$dir" -p1 -i "$dir/debian/patches/$patch" ||
			die "Debian's patch $patch does not apply to $package"
	done
}
