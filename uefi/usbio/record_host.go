//go:build !tamago

package usbio

// recordPC is 0 on a host: a test plays firmware, and puts messages into the box itself.
func recordPC() uintptr { return 0 }
