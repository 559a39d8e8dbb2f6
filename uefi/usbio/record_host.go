//go:build !tamago

package usbio

// recordPC is 0 on a host: tests write messages into the ring themselves.
func recordPC() uintptr { return 0 }
