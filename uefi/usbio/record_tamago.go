//go:build tamago

package usbio

// recordPC is the address of the function that firmware calls with the data of an interrupt
// endpoint.
func recordPC() uintptr
