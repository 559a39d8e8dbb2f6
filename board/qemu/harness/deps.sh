#!/bin/sh
# Installs the packages for building and testing that this host lacks, on Debian and Ubuntu. On
# other distributions it prints their names.
#
#	deps.sh run     QEMU and UEFI firmware for it
#	deps.sh check   a C compiler for Go's race detector
#	deps.sh test    all of these, the compiler for C programs in firmware, the programs that check
#	                our signed images and our captures of USB packets, and those that unpack the
#	                modules of a Linux kernel (linux.sh)
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

missing=
need() { # PACKAGE CONDITION...
	package=$1
	shift
	"$@" || missing="$missing $package"
}
firmware() { # as the table in board/qemu/harness/amd64.go has it
	for vars in /usr/share/OVMF/OVMF_VARS_4M.fd /usr/share/OVMF/OVMF_VARS.fd \
		/usr/share/edk2/ovmf/OVMF_VARS.fd /usr/share/edk2/x64/OVMF_VARS.4m.fd; do
		[ ! -f "$vars" ] || return 0
	done
	return 1
}
libc() { # a compiler without the C library's headers cannot link the race detector
	has gcc && echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1
}

emulator() {
	need qemu-system-x86 has qemu-system-x86_64
	need ovmf firmware
}
compiler() {
	need gcc has gcc
	need libc6-dev libc
}

case ${1-run} in
run)
	emulator
	;;
check)
	compiler
	;;
test)
	emulator
	compiler
	need gcc-mingw-w64-x86-64 has x86_64-w64-mingw32-gcc
	need osslsigncode has osslsigncode
	need tcpdump has tcpdump
	need xz-utils has xz
	need zstd has zstd
	;;
*)
	echo "usage: deps.sh run|check|test" >&2
	exit 2
	;;
esac
[ -n "$missing" ] || exit 0

if ! has apt-get; then
	echo "This needs to be installed first; the names are Debian's:$missing" >&2
	exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! has sudo; then
		echo "Please run as root: apt-get install$missing" >&2
		exit 1
	fi
	as_root=sudo
fi

echo "installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	# shellcheck disable=SC2086 # as_root is one word or none
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1 || {
		cat "$log" >&2
		exit 1
	}
}
apt update
# shellcheck disable=SC2086 # one word for each package
apt install --no-install-recommends $missing
