//go:build tamago

package pcihost

import "tamaccid/baremetal/usbhost/dmamem"

// Memory is memory for DMA.
type Memory = dmamem.Memory

// Memory returns a memory without chunks.
func (f *Function) Memory() *Memory { return dmamem.New(f.more, f.give) }
