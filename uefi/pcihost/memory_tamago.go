//go:build tamago

package pcihost

import "tamaccid/baremetal/usbhost/dmamem"

// Memory is memory that processor and controller reach.
type Memory = dmamem.Memory

// Memory is new memory for the controller.
func (f *Function) Memory() *Memory { return dmamem.New(f.more, f.give) }
