//go:build !tamago

package driver

import (
	"errors"
	"testing"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/usbtest"
	sim "tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/pcihost"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

// ourImage is the driver's own handle, otherDriver an agent that is not the driver.
const (
	ourImage    = uefi.Handle(0xD0)
	otherDriver = uefi.Handle(0xE0)
)

// must ends a test, and check fails one, unless the error or status is success.
var must, check = uefitest.Must, uefitest.Check

// firmware is firmware with virtual readers.
type firmware struct {
	*uefitest.Firmware
	t *testing.T
}

// newFirmware makes the firmware of a test. The driver's events must be at TPL_CALLBACK, except
// that of the end of boot services (policy: see atExit).
func newFirmware(t *testing.T) *firmware {
	fw := &firmware{uefitest.New(t), t}
	t.Cleanup(func() {
		for _, e := range fw.Created {
			level := uefi.TPLCallback
			if e.Type == uefi.EventExitBootServices {
				level = uefi.TPLNotify
			}
			if e.Level != level {
				t.Errorf("event of type %#x at TPL %d", e.Type, e.Level)
			}
		}
	})
	return fw
}

// readerHandles are the handles with the protocol, in the order in which they were made.
func (fw *firmware) readerHandles() []uefi.Handle { return fw.With(smartcard.GUID) }

// hold makes the uninstallation of the protocol from h fail, as when a program has it open and does
// not let go.
func (fw *firmware) hold(h uefi.Handle) {
	fw.Refuse = uefitest.Only("uninstall", uefi.AccessDenied, h, smartcard.GUID)
}

// opened is how an agent has a protocol open.
func opened(
	on uefi.Handle, guid uefi.GUID, agent, controller uefi.Handle, how uefi.OpenAttributes,
) uefitest.Opening {
	return uefitest.Opening{On: on, GUID: guid, Agent: agent, Controller: controller, How: how}
}

// usbInterface is one interface of a virtual device in firmware.
type usbInterface struct {
	*uefitest.USB
	device *sim.Device
}

// plug makes the handle of interface n of a device.
func (fw *firmware) plug(d *sim.Device, n int) *usbInterface {
	fw.t.Helper()
	// Firmware selects the configuration, and with it the default setting of each interface.
	_, err := d.Control(usb.Setup{Request: usb.RequestSetConfiguration, Value: 1}, nil)
	must(fw.t, err)
	tr, err := d.Open(n)
	must(fw.t, err)
	return &usbInterface{fw.PlugTransport(tr, uint8(n), d.Attached), d}
}

// pciFunction is a host controller in firmware.
type pciFunction struct {
	*uefitest.PCI
	virtual *usbtest.Controller // behind its registers
	halted  int
	broken  error // the controller does not start
	stuck   error // it does not stop
}

// virtualHost is the virtual controller with what its kind must have.
type virtualHost struct {
	*usbtest.Controller
	f *pciFunction
}

func (v virtualHost) Halt() { v.f.halted++ }

func (v virtualHost) Close() error { return errors.Join(v.Controller.Close(), v.f.stuck) }

// newVirtual is a controller that has not been started yet.
func newVirtual() *usbtest.Controller {
	return usbtest.New(usbtest.Model{Name: "virtual xHCI", USB2: 4, USB3: 4})
}

// plugHost makes the handle of a host controller with four ports, USB 2 and 3.
func (fw *firmware) plugHost() *pciFunction {
	f := &pciFunction{PCI: fw.PlugPCI(), virtual: newVirtual()}
	replace(fw.t, &newHostController, func(_ *pcihost.Function, m hcd.Memory) (usbhost.Controller,
		error) {
		if f.broken != nil {
			return nil, f.broken
		}
		_, err := m.Alloc(1, 1)
		return virtualHost{f.virtual, f}, err
	})
	return f
}

// ownedBy makes another driver manage the controller.
func (f *pciFunction) ownedBy(fw *firmware, agent uefi.Handle, how uefi.OpenAttributes) {
	fw.Opened = append(fw.Opened, opened(f.Handle, uefi.PCIIOGUID, agent, f.Handle, how))
}

// newDirect is a driver that takes host controllers.
func newDirect(t *testing.T) (*firmware, *Driver) {
	fw, d := newDriver(t)
	d.options.usb = usbDirect
	return fw, d
}
