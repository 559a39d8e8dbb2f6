//go:build tamago

package pciusb

import "tamaccid/baremetal/usb/dmamem"

// Memory is memory that processor and controller reach.
type Memory = dmamem.Memory

// Memory makes one.
func (f *Function) Memory() *Memory { return dmamem.New(f.more, f.give) }
