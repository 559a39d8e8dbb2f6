//go:build tamago

package usbio

// recordPC is the address of the function that firmware calls with what an interrupt endpoint has
// sent.
func recordPC() uintptr
