//go:build !tamago

package gate

import "time"

// Call answers EFI_UNSUPPORTED: there is no firmware on a host.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr { return statusUnsupported }

// Raw answers EFI_UNSUPPORTED on a host.
func Raw(fn uintptr, args []uintptr) uintptr { return statusUnsupported }

// Remap does nothing on a host.
func Remap() {}

// ImageHandle is 0 on a host.
func ImageHandle() uintptr { return 0 }

// SystemTable is 0 on a host.
func SystemTable() uintptr { return 0 }

// NewFunc returns 0 on a host: nothing could call the function.
func NewFunc(name string, busy uintptr, f func(a *Args) uintptr) uintptr { return 0 }

// NewBindingFunc returns 0 on a host.
func NewBindingFunc(name string, busy uintptr, f func(a *Args) uintptr) uintptr { return 0 }

// NewNotify returns 0 on a host.
func NewNotify(name string, f func()) uintptr { return 0 }

// NewHook returns 0 on a host.
func NewHook(name string, f func()) uintptr { return 0 }

// NewExitHook returns 0 on a host.
func NewExitHook(name string, f func()) uintptr { return 0 }

// Yield does nothing on a host.
func Yield() {}

// CallerTPL is TPL_APPLICATION on a host.
func CallerTPL() uintptr { return 4 }

// Refused has nothing on a host: no call is refused.
func Refused(fn uintptr) (controller uintptr, ok bool) { return 0, false }

// ConnectNotify is 0 on a host.
func ConnectNotify() uintptr { return 0 }

// Connect notes nothing on a host.
func Connect(controller uintptr) bool { return false }

// RequestLimit has no effect on a host.
var RequestLimit = time.Duration(0)

// Serve returns at once on a host: nobody calls.
func Serve() {}

// Refill reports true on a host: the operating system has memory.
func Refill() bool { return true }

// Room reports true on a host.
func Room() bool { return true }

// Exit does nothing on a host.
func Exit(status uintptr) {}
