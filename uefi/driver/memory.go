package driver

import (
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// The Go runtime ends the program when firmware refuses it memory. What a call or a reader may need
// is in its heap and its reserve before it begins:
//
//	moment                           does
//	the image is loaded              allocates heap and reserve, or EFI_OUT_OF_RESOURCES
//	a call that may need memory      fills the reserve up; EFI_OUT_OF_RESOURCES if firmware refuses
//	                                 and too little is left
//	a call that ends something       goes on with what is left
//	a reader is plugged in, on a     waits while too little is left, or firmware refuses: nothing is
//	host controller of this driver   allocated for the runtime in the background

// Tests replace these.
var (
	fillReserve = gate.Refill
	room        = gate.Room
)

// withMemory is f for a call that may need memory.
func withMemory(f func(a *gate.Args) uefi.Status) func(a *gate.Args) uefi.Status {
	return func(a *gate.Args) uefi.Status {
		if !fillReserve() && !room() {
			return uefi.OutOfResources
		}
		return f(a)
	}
}
