package gate

import "unsafe"

func address(t *table) uintptr { return uintptr(unsafe.Pointer(t)) }
