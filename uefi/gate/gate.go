// Package gate crosses the border between Go and UEFI firmware, in both
// directions, with the calling convention, stack, interrupt flag and task
// priority that each side expects.
//
// Specification: UEFI 2.11, 2.3.4 (x64 platforms: handoff state, calling
// convention) and 7.1 (task priority levels).
//
// On a host (build tag tamago absent) the package compiles but no firmware is
// there: Call answers EFI_UNSUPPORTED, so that packages above it can be tested.
package gate

// MaxArgs is the largest number of arguments of a firmware function that Call
// passes on and of a Go function that firmware can call.
const MaxArgs = 12

// Status values that this package itself produces (UEFI 2.11, appendix D).
const (
	statusSuccess        = 0
	errorBit             = 1 << 63
	statusInvalid        = errorBit | 2
	statusUnsupported    = errorBit | 3
	statusDeviceError    = errorBit | 7
	statusOutOfResources = errorBit | 9
	statusAborted        = errorBit | 21
	statusAccessDenied   = errorBit | 15
)

// Args are the arguments of a call from firmware. They are valid until the
// function that received them returns.
type Args struct{ p *[MaxArgs]uintptr }

// NewArgs makes an argument list from Go values: a test's way to call a
// function that is meant for firmware.
func NewArgs(v ...uintptr) *Args {
	var p [MaxArgs]uintptr
	copy(p[:], v)
	return &Args{&p}
}

// At returns argument i, counted from 0. What lies behind the last argument
// that the caller passed is undefined, i must be below MaxArgs.
func (a *Args) At(i int) uintptr { return a.p[i] }
