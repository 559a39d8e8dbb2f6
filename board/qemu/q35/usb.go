//go:build tamago

package q35

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/usbarmory/tamago/soc/intel/pci"

	"tamaccid/baremetal/cpu/amd64"
	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/dmamem"
	"tamaccid/baremetal/usbhost/xhci"
)

// ErrNoController means that the machine has no USB host controller that works.
var ErrNoController = errors.New("q35: no USB host controller that can be used")

// USB makes a bus of every USB host controller of the machine that there is a driver for, and
// starts to enumerate. It is to be called once. One of several controllers that cannot be used is
// reported as dead; the error is ErrNoController, with the reasons, when there is none that can.
func USB(o usbhost.Options) (*usbhost.Bus, error) {
	bus := usbhost.New(o)
	var failures []error
	used := 0
	for _, f := range scan(ports{}) {
		if f.class != classXHCI {
			continue
		}
		c, err := openXHCI(f)
		if err == nil {
			err = bus.Add(c)
		}
		if err == nil {
			used++
			continue
		}
		failures = append(failures, err)
		if o.Report != nil {
			o.Report(usbhost.Event{Kind: usbhost.ControllerDied, Path: f.address.String(),
				Err: err})
		}
	}
	if used == 0 {
		bus.Close()
		return nil, errors.Join(append([]error{ErrNoController}, failures...)...)
	}
	return bus, nil
}

// controller is an xHCI controller with its address and its memory.
type controller struct {
	*xhci.Controller
	at     address
	memory *dmamem.Memory
}

// openXHCI starts one controller.
func openXHCI(f pciFunction) (*controller, error) {
	w, err := bar0(ports{}, f.address)
	if err != nil {
		return nil, err
	}
	if err := mapDevice(w); err != nil {
		return nil, fmt.Errorf("%v: BAR 0: %w", f.address, err)
	}
	enable(ports{}, f)
	size := uint32(min(w.size, math.MaxUint32))
	memory := dmamem.New(moreDMA, giveDMA)
	c, err := xhci.New(registers{uintptr(w.base), size}, memory, xhci.Options{
		Name: f.address.String(), Size: size, Clock: nanotime,
	})
	if err != nil {
		silence(ports{}, f.address)
		memory.Close()
		return nil, fmt.Errorf("%v: %w", f.address, err)
	}
	return &controller{c, f.address, memory}, nil
}

// Close is usbhost.Controller's. The controller cannot reach memory any more before that is given
// back.
func (c *controller) Close() error {
	err := c.Controller.Close()
	silence(ports{}, c.at)
	c.memory.Close()
	return err
}

// devices guards dma and mapping, which the hooks do not use.
var devices sync.Mutex

// mapDevice makes a device's registers accessible, uncached.
func mapDevice(w window) error {
	devices.Lock()
	defer devices.Unlock()
	if w.base < lowMemory || machineInfo.ram.overlaps(w.base, w.base+w.size) {
		return fmt.Errorf("%#x bytes at %#x lie in memory", w.size, w.base)
	}
	if !mapping.Map(w.base, w.base+w.size, amd64.ProtectDevice) {
		return usbhost.ErrNoMemory
	}
	return nil
}

// moreDMA and giveDMA are dmamem's way to the memory set aside for controllers, all of it below 4
// GiB: what a controller with 32-bit addresses reaches.
func moreDMA(size int) (dmamem.Chunk, error) {
	devices.Lock()
	defer devices.Unlock()
	n := (uint64(size) + pageSize - 1) &^ (pageSize - 1)
	at := dma.alloc(n, below4G)
	if at == 0 {
		return dmamem.Chunk{}, fmt.Errorf("no %d bytes of memory for controllers: %d are free",
			size, dma.sum())
	}
	return dmamem.Chunk{CPU: uintptr(at), Bus: at, Size: int(n)}, nil
}

// FreeDMA is how many bytes of the memory for controllers are free.
func FreeDMA() uint64 {
	devices.Lock()
	defer devices.Unlock()
	return dma.sum()
}

func giveDMA(c dmamem.Chunk) {
	devices.Lock()
	defer devices.Unlock()
	dma.add(uint64(c.CPU), uint64(c.CPU)+uint64(c.Size))
}

// registers are a device's memory. What lies outside of it reads as all ones, as what is not there
// does.
type registers struct {
	base uintptr
	size uint32
}

func (r registers) at(offset uint32) *uint32 {
	if offset%4 != 0 || offset >= r.size {
		return nil
	}
	return (*uint32)(pointer(r.base + uintptr(offset)))
}

// Read32 is xhci.Registers's.
func (r registers) Read32(offset uint32) uint32 {
	if p := r.at(offset); p != nil {
		return atomic.LoadUint32(p)
	}
	return absent
}

// Write32 is xhci.Registers's.
func (r registers) Write32(offset uint32, v uint32) {
	if p := r.at(offset); p != nil {
		atomic.StoreUint32(p, v)
	}
}

// ports is configuration space as TamaGo reads it, through I/O ports.
type ports struct{}

func device(a address) *pci.Device { return &pci.Device{Bus: uint32(a.bus), Slot: uint32(a.slot)} }

func (ports) read(a address, offset uint8) uint32 {
	return device(a).Read(uint32(a.function), uint32(offset))
}

func (ports) write(a address, offset uint8, v uint32) {
	device(a).Write(uint32(a.function), uint32(offset), v)
}
