//go:build tamago

package q35

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"unsafe"

	"github.com/usbarmory/tamago/soc/intel/pci"

	"tamaccid/baremetal/cpu/amd64"
	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/controllers"
	"tamaccid/baremetal/usbhost/dmamem"
	"tamaccid/baremetal/usbhost/hcd"
)

// ErrNoController: the machine has no USB host controller that works.
var ErrNoController = errors.New("q35: no USB host controller that can be used")

// USB returns a bus with every USB host controller of the machine that has a driver, and starts
// enumeration. It may be called once. A controller that cannot be used is reported as
// ControllerDied. If none can be used, the error is ErrNoController with the reasons.
func USB(o usbhost.Options) (*usbhost.Bus, error) {
	bus := usbhost.New(o)
	var failures []error
	used := 0
	for _, f := range scan(ports{}) {
		driver := controllers.Lookup(f.class)
		if driver == nil {
			continue
		}
		c, err := open(f, driver)
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

// controller is a host controller with the board's resources for it.
type controller struct {
	usbhost.Controller
	at     address
	memory *dmamem.Memory
}

// open starts one controller.
func open(f pciFunction, driver *controllers.Driver) (*controller, error) {
	w, err := memoryBAR(ports{}, f.address, driver.BAR)
	if err != nil {
		return nil, err
	}
	if err := mapDevice(w); err != nil {
		return nil, fmt.Errorf("%v: BAR %d: %w", f.address, driver.BAR, err)
	}
	enable(ports{}, f)
	size := uint32(min(w.size, math.MaxUint32))
	registers := hcd.Mapped(unsafe.Slice((*byte)(pointer(uintptr(w.base))), size))
	memory := dmamem.New(moreDMA, giveDMA)
	c, err := driver.New(registers, memory, hcd.Options{
		Name: f.address.String(), Size: size, Clock: nanotime,
	})
	if err != nil {
		silence(ports{}, f.address)
		memory.Close()
		return nil, fmt.Errorf("%v: %w", f.address, err)
	}
	return &controller{c, f.address, memory}, nil
}

// Close implements usbhost.Controller. It disables bus mastering before it frees the memory.
func (c *controller) Close() error {
	err := c.Controller.Close()
	silence(ports{}, c.at)
	c.memory.Close()
	return err
}

// devices protects dma and mapping, which the hooks do not use.
var devices sync.Mutex

// mapDevice maps the registers of a device, uncached.
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

// moreDMA and giveDMA allocate and free chunks of the memory that is reserved for controllers. All
// of it is below 4 GiB, where controllers with 32-bit addresses can access it.
func moreDMA(size int) (dmamem.Chunk, error) {
	devices.Lock()
	defer devices.Unlock()
	n := (uint64(size) + pageSize - 1) &^ (pageSize - 1)
	at := dma.alloc(n, below4G)
	if at == 0 {
		return dmamem.Chunk{},
			fmt.Errorf("no %d bytes in one piece, %d bytes are free", size, dma.sum())
	}
	return dmamem.Chunk{CPU: uintptr(at), Bus: at, Size: int(n)}, nil
}

// FreeDMA is the number of free bytes of the memory for controllers.
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

// ports is configuration space as TamaGo reads it, through I/O ports.
type ports struct{}

func device(a address) *pci.Device { return &pci.Device{Bus: uint32(a.bus), Slot: uint32(a.slot)} }

func (ports) read(a address, offset uint8) uint32 {
	return device(a).Read(uint32(a.function), uint32(offset))
}

func (ports) write(a address, offset uint8, v uint32) {
	device(a).Write(uint32(a.function), uint32(offset), v)
}
