//go:build linux && !tamago

package harness

// amd64 is machine type q35, with OVMF where it has firmware.
var amd64 = platform{
	emulator:        "qemu-system-x86_64",
	emulatorPackage: "qemu-system-x86",
	machine:         []string{"-machine", "q35", "-cpu", "max"},
	exceptionMark:   "!!!! X64 Exception Type",
	lowMemory:       2048, // QEMU, hw/i386/pc_q35.c: the hole for devices follows

	firmwarePackage: "ovmf",
	// The builds for 4 MiB come first: newer releases have no others.
	firmwares: []Firmware{
		{Code: "/usr/share/OVMF/OVMF_CODE_4M.fd", Vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{Code: "/usr/share/OVMF/OVMF_CODE.fd", Vars: "/usr/share/OVMF/OVMF_VARS.fd"},
		{Code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", Vars: "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		{Code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", Vars: "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	},
}
