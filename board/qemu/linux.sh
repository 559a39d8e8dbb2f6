#!/bin/sh
# Fetches a Linux kernel that has USB, for the tests that boot one after our driver has run, and unpacks of it into FOLDER:
#
#	linux.sh FOLDER     FOLDER/vmlinuz.efi and FOLDER/modules/*.ko
#
# It is Debian's own package. Nothing is installed: a kernel on this host would want an initial RAM disk and a boot menu.
# Elsewhere put these files there yourself: a kernel with EFI stub and serial console, and its modules for xHCI, not compressed.
set -eu

meta=linux-image-amd64 # the kernel for the cloud has no USB
folder=${1?usage: linux.sh FOLDER}

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	echo "linux.sh: this host has no packages of Debian's; put a kernel and its modules into $folder as the head of $0 says" >&2
	exit 1
fi
mkdir -p "$folder"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp" # apt's own user stores there

newest() { # the package that the name for the newest one stands for
	apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*-amd64\)$/\1/p' | head -n 1
}
download() {
	package=$(newest)
	[ -n "$package" ] && (cd "$tmp" && apt-get -q download "$package") >"$tmp/log" 2>&1
}
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo

echo "fetching a Linux kernel ($meta)"
# The lists may be missing, or older than what the mirrors have.
download || { $as_root apt-get -q update >"$tmp/log" 2>&1 && download; } || {
	cat "$tmp/log" >&2
	echo "linux.sh: no $meta" >&2
	exit 1
}
mkdir "$tmp/root" "$tmp/modules"
dpkg-deb --fsys-tarfile "$tmp"/linux-image-*.deb | tar -x -C "$tmp/root" --wildcards \
	'./boot/vmlinuz-*' '*/kernel/drivers/usb/common/*' '*/kernel/drivers/usb/core/*' '*/kernel/drivers/usb/host/xhci-*'
find "$tmp/root" -name '*.ko*' -exec mv {} "$tmp/modules" \;
xz -d "$tmp"/modules/*.xz 2>/dev/null || : # as Debian 13 has them
rm -rf "$folder/modules"
mv "$tmp/modules" "$folder/modules"
mv "$tmp"/root/boot/vmlinuz-* "$folder/vmlinuz.efi"
