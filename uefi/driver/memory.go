package driver

import (
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// The Go runtime does not survive memory that it does not get. What a call or a reader may need is
// in its heap and its reserve before it begins:
//
//	moment                                        does
//	the image is loaded                           heap and reserve are taken, or EFI_OUT_OF_RESOURCES
//	a call that may need memory                   the reserve is filled up; EFI_OUT_OF_RESOURCES where firmware refuses
//	                                              and too little is left
//	a call that ends something                    goes on with what there is
//	a reader comes, on a host controller of ours  waits while too little is left, or firmware refuses: nothing is taken
//	                                              for the runtime in the background

// Tests have other ones.
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
