package driver

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// tickPeriod is how often firmware's timer lets goroutines run while the driver runs a host controller: notifications, new
// readers and readers that have gone are noticed that late (policy; firmware's own bus driver looks at its ports every 100 ms).
const tickPeriod = 20 * time.Millisecond

// direct is what the host controllers of a driver have in common.
type direct struct {
	// Functions that firmware calls, made once.
	onTick, onExit uintptr

	tick uefi.Event // made for the first host, armed while there are hosts
	exit uefi.Event // from Run to Unload

	hosts atomic.Pointer[[]*host] // never changed, but replaced
}

// newNotifications makes the functions that firmware calls without being asked.
func (d *Driver) newNotifications() {
	// That firmware calls at all is what matters: goroutines run until all of them wait.
	d.direct.onTick = gate.NewNotify("timer", func() {})
	d.direct.onExit = gate.NewExitHook("end of boot services", d.silence)
	d.deferred.onIdle = gate.NewNotify("idle loop", func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.idle()
	})
}

func (d *Driver) allHosts() []*host {
	if p := d.direct.hosts.Load(); p != nil {
		return *p
	}
	return nil
}

// atExit has firmware call silence at the end of boot services. From then on the members answer
// EFI_DEVICE_ERROR: what they need of firmware is not there any more. The level is TPL_NOTIFY: the
// caller of ExitBootServices may be above TPL_APPLICATION, this driver may be in the middle of a
// call at TPL_CALLBACK, and where there is an IOMMU edk2's driver for it removes the mappings of
// DMA at TPL_CALLBACK.
func (d *Driver) atExit() (err error) {
	if d.direct.exit != 0 {
		return nil
	}
	d.direct.exit, err = d.boot.CreateEvent(uefi.EventExitBootServices, uefi.TPLNotify, d.direct.onExit, 0)
	if err != nil {
		return fmt.Errorf("event of the end of boot services: %w", err)
	}
	return nil
}

// silence stops all host controllers and wipes commands in progress, at the end of boot services or
// when a fatal error ends the driver. Other goroutines stand still, wherever they are: it allocates
// nothing, takes no lock and does not wait for them.
func (d *Driver) silence() {
	for _, h := range d.allHosts() {
		h.function.Silence(h.halt)
	}
	d.readers.wipe()
}

// watch lets goroutines run from time to time, and has h stopped at the end of boot services. The
// events stay until Unload.
func (d *Driver) watch(h *host) (err error) {
	x := &d.direct
	if x.tick == 0 {
		if x.tick, err = d.boot.CreateEvent(uefi.EventTimer|uefi.EventNotifySignal, uefi.TPLCallback, x.onTick, 0); err != nil {
			return fmt.Errorf("timer: %w", err)
		}
	}
	if err := d.atExit(); err != nil {
		return err
	}
	hosts := append(slices.Clone(d.allHosts()), h)
	if len(hosts) == 1 {
		if err := d.boot.SetTimer(x.tick, uefi.TimerPeriodic, tickPeriod); err != nil {
			return fmt.Errorf("timer: %w", err)
		}
	}
	x.hosts.Store(&hosts)
	return nil
}

// unwatch is the end of watch.
func (d *Driver) unwatch(h *host) {
	hosts := slices.DeleteFunc(slices.Clone(d.allHosts()), func(o *host) bool { return o == h })
	d.direct.hosts.Store(&hosts)
	if len(hosts) == 0 && d.direct.tick != 0 {
		_ = d.boot.SetTimer(d.direct.tick, uefi.TimerCancel, 0) // a timer that goes on only costs time
	}
}

// closeEvents closes the events, before the driver goes. After an error firmware may signal one
// that is left. Those that are not are made again when they are needed.
func (d *Driver) closeEvents() error {
	for _, ev := range []*uefi.Event{&d.direct.tick, &d.direct.exit, &d.deferred.idle, &d.deferred.connect} {
		if *ev == 0 {
			continue
		}
		if err := d.boot.CloseEvent(*ev); err != nil {
			return err
		}
		*ev = 0
	}
	return nil
}
