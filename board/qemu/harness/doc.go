//go:build linux && !tamago

// Package harness starts QEMU machines with UEFI firmware, or with a kernel image instead, and
// works with them: it types at the UEFI Shell, reads statuses, plugs and unplugs devices, and runs
// many test cases on one booted machine. Tests that need a machine are written with it.
//
// A machine never outlives its time limit or the program that started it, and every wait ends: when
// the context does, when QEMU has ended, or when the firmware reports a CPU exception.
//
// What differs between architectures is in the table of platform.go and in one file for each of
// them.
//
// Specifications:
//   - QMP: QEMU Machine Protocol Specification (docs/interop/qmp-spec)
//   - Shell: UEFI Shell Specification 2.2
//   - ECMA-48: Control Functions for Coded Character Sets, 5th edition (what a serial console sends
//     between texts)
package harness
