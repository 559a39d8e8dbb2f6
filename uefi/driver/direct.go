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

// returnDelay is how long after Stop a host controller is offered to firmware's driver again: whoever asked for Stop has
// finished by then, and has its turn first (policy).
const returnDelay = 100 * time.Millisecond

// direct is what the host controllers of a driver have in common.
type direct struct {
	// Functions that firmware calls, made once.
	onTick, onReturn, onExit uintptr

	tick  uefi.Event // while there are hosts
	exit  uefi.Event // the same
	later uefi.Event // made when it is needed first

	hosts    atomic.Pointer[[]*host] // never changed, but replaced
	returned []uefi.Handle           // host controllers that firmware's driver is to have again
}

// newNotifications makes the functions that firmware calls without being asked.
func (d *Driver) newNotifications() {
	// That firmware calls at all is what matters: goroutines run until all of them wait.
	d.direct.onTick = gate.NewNotify("timer", func() {})
	d.direct.onReturn = gate.NewNotify("return of a host controller", func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reconnect()
	})
	d.direct.onExit = gate.NewExitHook("end of boot services", d.silence)
}

func (d *Driver) allHosts() []*host {
	if p := d.direct.hosts.Load(); p != nil {
		return *p
	}
	return nil
}

// silence stops all host controllers, at the end of boot services. Other goroutines stand still, wherever they are: it
// allocates nothing, takes no lock and does not wait for them.
func (d *Driver) silence() {
	for _, h := range d.allHosts() {
		h.function.Silence(h.halt)
	}
}

// watch lets goroutines run from time to time, and stops h at the end of boot services.
func (d *Driver) watch(h *host) (err error) {
	x := &d.direct
	if len(d.allHosts()) == 0 {
		if x.tick, err = d.boot.CreateEvent(uefi.EventTimer|uefi.EventNotifySignal, uefi.TPLCallback, x.onTick, 0); err != nil {
			return fmt.Errorf("timer: %w", err)
		}
		if x.exit, err = d.boot.CreateEvent(uefi.EventExitBootServices, uefi.TPLCallback, x.onExit, 0); err != nil {
			d.boot.CloseEvent(x.tick)
			return fmt.Errorf("event of the end of boot services: %w", err)
		}
		if err := d.boot.SetTimer(x.tick, uefi.TimerPeriodic, tickPeriod); err != nil {
			d.boot.CloseEvent(x.exit)
			d.boot.CloseEvent(x.tick)
			return fmt.Errorf("timer: %w", err)
		}
	}
	hosts := append(slices.Clone(d.allHosts()), h)
	x.hosts.Store(&hosts)
	return nil
}

// unwatch is the end of watch.
func (d *Driver) unwatch(h *host) {
	hosts := slices.DeleteFunc(slices.Clone(d.allHosts()), func(o *host) bool { return o == h })
	d.direct.hosts.Store(&hosts)
	if len(hosts) == 0 {
		d.boot.CloseEvent(d.direct.exit)
		d.boot.CloseEvent(d.direct.tick)
	}
}

// giveBack lets firmware's driver have a host controller again, later: now firmware is about to take it from this driver.
func (d *Driver) giveBack(h uefi.Handle) {
	x := &d.direct
	x.returned = append(x.returned, h)
	if x.later == 0 {
		ev, err := d.boot.CreateEvent(uefi.EventTimer|uefi.EventNotifySignal, uefi.TPLCallback, x.onReturn, 0)
		if err != nil {
			return // Unload does it
		}
		x.later = ev
	}
	_ = d.boot.SetTimer(x.later, uefi.TimerRelative, returnDelay)
}

// reconnect asks firmware for drivers for the host controllers that were given back, but for those that have one again. This
// driver is not asked: it is busy.
func (d *Driver) reconnect() {
	returned := d.direct.returned
	d.direct.returned = nil
	for _, h := range returned {
		if d.bound[h] == nil {
			_ = d.boot.ConnectController(h, nil, true) // that nobody wants it is fine
		}
	}
}

// closeEvents closes what giveBack needs, before the driver goes.
func (d *Driver) closeEvents() {
	if d.direct.later != 0 {
		d.boot.CloseEvent(d.direct.later)
		d.direct.later = 0
	}
}
