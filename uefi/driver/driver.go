package driver

import (
	"maps"
	"slices"
	"sync"
	"unsafe"

	"tamaccid/ccid"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/usbio"
)

// Driver is the resident driver.
//
// Firmware's calls come one at a time. Between them goroutines serve the readers on host
// controllers that this driver runs. mu is held for the whole call, except while the call waits for
// such a goroutine, and by a goroutine while it installs and uninstalls protocols.
type Driver struct {
	mu sync.Mutex

	boot      *uefi.BootServices
	image     uefi.Handle
	options   options
	binding   uefi.DriverBinding
	name      uefi.ComponentName2
	functions smartcard.Table
	readers   readers
	bound     map[uefi.Handle]*controller
	units     ccid.Units
	texts     texts
	direct    direct
	deferred  deferred
	ending    bool // the image goes when the call in progress is answered

	printed map[uefi.Handle]string // see complain
	// polled are transports of removed readers that firmware may still poll: they keep the memory
	// in place to which firmware then writes.
	polled []*usbio.Transport
}

// Run installs the driver and serves calls until it is unloaded. It returns only when it could not
// be installed.
func Run() error {
	if !gate.Refill() {
		return uefi.OutOfResources
	}
	d := &Driver{
		boot:  uefi.Boot(),
		image: uefi.ImageHandle(),
		bound: map[uefi.Handle]*controller{},
	}
	loaded, err := d.boot.LoadedImage(d.image)
	if err != nil {
		return err
	}
	var unknown []string
	if d.options, unknown = parseOptions(loaded.OptionText()); len(unknown) > 0 {
		printMessage("unknown load options: %s", quoted(unknown))
	}
	d.functions = d.newFunctions()
	d.binding = uefi.DriverBinding{
		Supported: gate.NewBindingFunc("Supported", uintptr(uefi.AccessDenied),
			d.serve(withMemory(d.supported))),
		Start: d.newFunc("Start", uefi.AccessDenied, withMemory(d.start)),
		Stop: gate.NewBindingFunc("Stop", uintptr(uefi.DeviceError),
			d.serve(d.stop)),
		Version:             version,
		ImageHandle:         d.image,
		DriverBindingHandle: d.image,
	}
	d.name = d.newNames()
	d.newNotifications()
	if err := d.atExit(); err != nil {
		return err
	}
	if left, err := d.boot.InstallProtocols(d.image, d.protocols()...); err != nil && left == 0 &&
		d.closeEvents() == nil {
		return err
	} // else firmware has kept a protocol or an event of an image that must therefore stay
	loaded.Unload = d.newFunc("Unload", uefi.AccessDenied, d.unload)
	gate.Serve()
	return nil
}

func (d *Driver) protocols() []uefi.Protocol {
	return []uefi.Protocol{
		{GUID: &uefi.DriverBindingGUID, Interface: uintptr(unsafe.Pointer(&d.binding))},
		{GUID: &uefi.ComponentName2GUID, Interface: uintptr(unsafe.Pointer(&d.name))},
	}
}

// newFunc makes f callable by firmware.
func (d *Driver) newFunc(name string, busy uefi.Status, f func(a *gate.Args) uefi.Status) uintptr {
	return gate.NewFunc(name, uintptr(busy), d.serve(f))
}

// serve is f with the lock, and with afterCall after it.
func (d *Driver) serve(f func(a *gate.Args) uefi.Status) func(a *gate.Args) uintptr {
	return func(a *gate.Args) uintptr {
		d.mu.Lock()
		defer d.mu.Unlock()
		defer d.afterCall()
		return uintptr(f(a))
	}
}

// newFunctions makes the protocol's six functions. A call during another communication is refused
// (UEFI 2.11, 37.6: EFI_ACCESS_DENIED).
func (d *Driver) newFunctions() smartcard.Table {
	return smartcard.Table{
		Connect:    d.newFunc("SCardConnect", uefi.AccessDenied, withMemory(d.connect)),
		Disconnect: d.newFunc("SCardDisconnect", uefi.AccessDenied, d.disconnect),
		Status:     d.newFunc("SCardStatus", uefi.AccessDenied, withMemory(d.status)),
		Transmit:   d.newFunc("SCardTransmit", uefi.AccessDenied, withMemory(d.transmit)),
		Control:    d.newFunc("SCardControl", uefi.AccessDenied, withMemory(d.control)),
		GetAttrib:  d.newFunc("SCardGetAttrib", uefi.AccessDenied, withMemory(d.getAttrib)),
	}
}

// unload is EFI_IMAGE_UNLOAD (UEFI 2.11, 9.2.3). It is refused while firmware has a pointer into
// the image. What has been removed until then stays removed, and the rest goes on working.
// Firmware's drivers are connected to the host controllers that were stopped.
func (d *Driver) unload(a *gate.Args) uefi.Status {
	if uefi.Handle(a.At(0)) != d.image {
		return uefi.InvalidParameter
	}
	s := d.newShutdown(slices.Collect(maps.Values(d.bound))...)
	var stopped []uefi.Handle
	defer func() { d.reconnectFirmware(stopped) }()
	for h, c := range d.bound {
		if d.shutWithin(c, s) != nil {
			return uefi.AccessDenied
		}
		if c.host != nil {
			stopped = append(stopped, h)
		}
	}
	if len(d.polled) > 0 {
		return uefi.AccessDenied
	}
	err := d.closeEvents()
	if err == nil {
		err = d.boot.UninstallProtocols(d.image, d.protocols()...)
	}
	if err != nil {
		_ = d.atExit() // or watch tries it again
		return uefi.AccessDenied
	}
	d.ending = true
	gate.Exit(uintptr(uefi.Success))
	return uefi.Success
}

// reconnectFirmware connects firmware's drivers to host controllers. This driver is not connected:
// it refuses calls while it serves one, and the refused calls are discarded.
func (d *Driver) reconnectFirmware(hosts []uefi.Handle) {
	d.noteUnseen()
	for _, h := range hosts {
		_ = d.boot.ConnectController(h, nil, true) // firmware need not have a driver
	}
	d.dropRefused(d.binding.Supported)
}
