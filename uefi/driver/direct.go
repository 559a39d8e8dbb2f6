package driver

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// tickPeriod is how often firmware's timer lets goroutines run while the driver runs a host
// controller. Notifications, new readers and removed readers are noticed with this delay (policy;
// firmware's own bus driver looks at its ports every 100 ms).
const tickPeriod = 20 * time.Millisecond

// direct is the state that all host controllers of a driver share.
type direct struct {
	// Functions that firmware calls, created once.
	onTick, onExit uintptr

	tick uefi.Event // created for the first host, set while there are hosts
	exit uefi.Event // from Run to Unload

	hosts atomic.Pointer[[]*host] // the slice is replaced, never changed
}

// newNotifications creates the notification functions of the driver's events.
func (d *Driver) newNotifications() {
	// The function itself is empty: during the call goroutines run until all of them wait.
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

// atExit creates the event for which firmware calls silence at the end of boot services. From then
// on the functions of the protocol return EFI_DEVICE_ERROR, because the firmware services that they
// need have ended. The level is TPL_NOTIFY: the caller of ExitBootServices may be above
// TPL_APPLICATION, this driver may be in a call at TPL_CALLBACK, and edk2's IOMMU driver removes
// the mappings of DMA at TPL_CALLBACK.
func (d *Driver) atExit() (err error) {
	if d.direct.exit != 0 {
		return nil
	}
	d.direct.exit, err = d.boot.CreateEvent(uefi.EventExitBootServices, uefi.TPLNotify,
		d.direct.onExit, 0)
	if err != nil {
		return fmt.Errorf("event of the end of boot services: %w", err)
	}
	return nil
}

// silence stops all host controllers and wipes commands in progress, at the end of boot services or
// when a fatal error ends the driver. No other goroutine runs any more, at whatever point it is:
// silence allocates nothing, takes no lock and does not wait for them.
func (d *Driver) silence() {
	for _, h := range d.allHosts() {
		h.function.Silence(h.halt)
	}
	d.readers.wipe()
}

// watch sets the timer that lets goroutines run, and adds h to the controllers that are stopped at
// the end of boot services. The events stay until Unload.
func (d *Driver) watch(h *host) (err error) {
	x := &d.direct
	if x.tick == 0 {
		if x.tick, err = d.boot.CreateEvent(uefi.EventTimer|uefi.EventNotifySignal,
			uefi.TPLCallback, x.onTick, 0); err != nil {
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

// unwatch undoes watch.
func (d *Driver) unwatch(h *host) {
	hosts := slices.DeleteFunc(slices.Clone(d.allHosts()), func(o *host) bool { return o == h })
	d.direct.hosts.Store(&hosts)
	if len(hosts) == 0 && d.direct.tick != 0 {
		// A timer that stays set does no harm.
		_ = d.boot.SetTimer(d.direct.tick, uefi.TimerCancel, 0)
	}
}

// closeEvents closes all events, before the driver is unloaded. After an error the events that are
// left may still be signaled. The closed ones are created again when they are needed.
func (d *Driver) closeEvents() error {
	for _, ev := range []*uefi.Event{&d.direct.tick, &d.direct.exit, &d.deferred.idle,
		&d.deferred.connect} {
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
