//go:build linux && !tamago

// Package harness starts QEMU machines with UEFI firmware and works with them: it types at the UEFI Shell, reads
// statuses back, plugs and unplugs devices, and runs many test cases on one booted machine. It is how tests that
// need firmware are written.
//
// A machine never outlives its time limit or the program that started it, and every wait ends: when the context
// does, when QEMU is gone, or when the firmware reports a CPU exception.
//
// Specifications:
//   - QMP: QEMU Machine Protocol Specification (docs/interop/qmp-spec)
//   - Shell: UEFI Shell Specification 2.2
//   - ECMA-48: Control Functions for Coded Character Sets, 5th edition (what a serial console sends between texts)
package harness
