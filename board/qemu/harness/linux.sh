#!/bin/sh
# Fetches a Linux kernel with USB, for the tests that boot one after our driver has run, and unpacks
# these files of it:
#
#	linux.sh FOLDER     FOLDER/vmlinuz.efi and FOLDER/modules/*.ko
#
# It is the package of the distribution, Debian or Ubuntu. It is not installed, since an installed
# kernel needs an initial RAM disk and a boot menu. On other distributions put these files there
# yourself: a kernel with EFI stub and serial console, and the modules that xHCI needs,
# uncompressed.
set -eu

folder=${1?usage: linux.sh FOLDER}
fail() {
	echo "linux.sh: $1; the comment in $0 lists the files for $folder" >&2
	exit 1
}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
	fail "this host has no Debian packages"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp" # for apt's own user
mkdir "$tmp/root" "$tmp/modules"

# newest names the packages behind the metapackage of the newest kernel. A kernel for the cloud has
# no USB.
newest() {
	for meta in linux-image-amd64 linux-image-generic; do
		name=$(apt-cache depends "$meta" 2>/dev/null |
			sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
		case $name in
		*-amd64) echo "$name" ;;
		*-generic) echo "$name linux-modules-${name#linux-image-}" ;; # Ubuntu has two parts
		*) continue ;;
		esac
		return
	done
}
download() {
	packages=$(newest)
	# shellcheck disable=SC2086 # one word for each package
	[ -n "$packages" ] && (cd "$tmp" && apt-get -q download $packages) >"$tmp/log" 2>&1
}
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo

echo "fetching a Linux kernel"
# The lists of packages may be missing or outdated.
download || { $as_root apt-get -q update >"$tmp/log" 2>&1 && download; } || {
	cat "$tmp/log" >&2
	fail "no package linux-image-amd64 or linux-image-generic"
}
for package in "$tmp"/*.deb; do
	# A package need not have all of these. The check below finds a missing file.
	dpkg-deb --fsys-tarfile "$package" | tar -x -C "$tmp/root" --wildcards './boot/vmlinuz-*' \
		'*/kernel/drivers/usb/common/*' '*/kernel/drivers/usb/core/*' \
		'*/kernel/drivers/usb/host/xhci-*' 2>>"$tmp/log" || :
done
find "$tmp/root" -name '*.ko*' -exec mv {} "$tmp/modules" \;
for module in "$tmp"/modules/*; do # newer releases compress them
	case $module in
	*.xz) xz -q -d "$module" ;;
	*.zst) zstd -q -d --rm "$module" ;;
	esac
done
[ -f "$tmp/modules/xhci-pci.ko" ] && [ -n "$(find "$tmp/root/boot" -name 'vmlinuz-*')" ] || {
	cat "$tmp/log" >&2
	fail "$packages: no kernel, or none with modules for xHCI"
}
mkdir -p "$folder"
rm -rf "$folder/modules"
mv "$tmp/modules" "$folder/modules"
mv "$tmp"/root/boot/vmlinuz-* "$folder/vmlinuz.efi"
