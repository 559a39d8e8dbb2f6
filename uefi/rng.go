package uefi

import (
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// RNGGUID is EFI_RNG_PROTOCOL_GUID (UEFI 2.11, 37.5).
var RNGGUID = MustGUID("3152bca5-eade-433d-862e-c01cdc291f44")

// RNGAlgorithmRaw asks for output of the entropy source itself, which may feed a generator (UEFI
// 2.11, 37.5).
var RNGAlgorithmRaw = MustGUID("e43176d7-b6e8-4827-b784-7ffdc4b68561")

// RNGTable is EFI_RNG_PROTOCOL (UEFI 2.11, 37.5).
type RNGTable struct {
	GetInfo uintptr
	GetRNG  uintptr
}

// RNG is a random number generator of the firmware.
type RNG struct {
	addr  uintptr
	table *RNGTable
}

// RNG is the first random number generator of the machine, NotFound without one.
func (b *BootServices) RNG() (*RNG, error) {
	addr, err := b.LocateProtocol(&RNGGUID)
	if err != nil {
		return nil, err
	}
	return &RNG{addr, tableAt[RNGTable](addr)}, nil
}

// Read fills all of p with random bytes of an algorithm, the firmware's default if that is nil, or
// returns an error.
func (r *RNG) Read(algorithm *GUID, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	return check(abi.Call(r.table.GetRNG, r.addr, uintptr(unsafe.Pointer(algorithm)),
		uintptr(len(p)), uintptr(unsafe.Pointer(unsafe.SliceData(p)))))
}
