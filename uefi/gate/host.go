//go:build !tamago

package gate

// A host has no firmware.
const (
	imageHandle = 0
	systemTable = 0
	callerTPL   = uintptr(tplApplication)
)

func raw(fn uintptr, args *uintptr, n uintptr) uintptr { return statusUnsupported }

func brief(fn uintptr, args []uintptr) uintptr { return statusUnsupported }

func counter() uint64    { return 0 }
func yieldPC() uintptr   { return 0 }
func connectPC() uintptr { return 0 }
func thunksPC() uintptr  { return 0 }

func register(fn function, busyStatus uintptr) uintptr { return 0 }

func remap()                        {}
func serve()                        {}
func reportFatalErrors(name string) {}
func exitImage(status uintptr)      {}

func refill() bool { return true } // the operating system has memory
func room() bool   { return true }
