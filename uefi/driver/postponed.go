package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// Firmware's bus driver calls Start for a new device from a timer event at TPL_CALLBACK, in the
// middle of whatever program runs. A device that does not answer must not stop that program for
// long, and not for ever where firmware's transfers have no end: edk2's XhciDxe ends a transfer by
// a timer event (up to edk2-stable202308), and timers stand still in an event that the timer
// interrupt itself has started where that interrupt is ended after the event (OvmfPkg up to
// edk2-stable202211). Therefore Start makes no transfer while timers stand still, and gives up
// after startLimit. Then it installs the protocol for slot 0 all the same, by a name that firmware
// has at hand, and the reader is opened later:
//
//	state      event                                      does                                   state
//	postponed  member of the protocol                     opens the reader: installs the
//	                                                      protocol for the other slots           open
//	           no answer in time, or timers stand still   member: EFI_DEVICE_ERROR               postponed
//	           another error                              member: EFI_DEVICE_ERROR               failed
//	postponed  firmware waits for events and idles        the same, at most once                 open, postponed, failed
//	failed     member                                     EFI_DEVICE_ERROR                       failed
//	all        Stop                                       removes what is installed              -
//
// An interface whose class is vendor specific is not known for a reader without a transfer.
// Supported denies it while timers stand still, and firmware is asked to connect drivers to it
// again later: when a member has been called by a program, or when firmware idles. The same is done
// for a controller for which Supported was refused because a call was in progress: events of
// firmware's run during long calls, see gate.Yield.

// readerState is the state of a USB interface's reader.
type readerState uint8

const (
	stateOpen readerState = iota
	statePostponed
	stateFailed
)

// openLimit is how long the first member may take to open a reader (policy: as long as the class
// driver takes at most, for a reader without quirks). Those after it have startLimit, so that a
// program which asks a silent reader again and again goes on.
const openLimit = 10 * time.Second

// timerLook is how long a timer may take to show that time goes on (policy: PC firmware has 10 ms
// and 55 ms between ticks).
const timerLook = 100 * time.Millisecond

// idleLooks is how often the idle event finds timers standing still before it is given up (policy).
const idleLooks = 10

// Services of the gate. Tests have others.
var (
	yield          = gate.Yield
	callerTPL      = func() uefi.TPL { return uefi.TPL(gate.CallerTPL()) }
	refused        = gate.Refused
	connectDrivers = gate.Connect
)

// deferred is what waits for the end of a call, or for timers that run.
type deferred struct {
	onIdle  uintptr       // function that firmware calls, made once
	idle    uefi.Event    // of firmware's idle loop, while something waits for that
	looks   int           // how often timers stood still in it
	connect uefi.Event    // made when it is needed first
	unseen  []uefi.Handle // controllers to which drivers are to be connected
	stopped []uefi.Handle // controllers for which Stop was refused during the call in progress
}

// errTimersStand is why no transfer is made.
var errTimersStand = errors.New("driver: firmware's timers stand still")

// outOfTime reports whether an error is one of time.
func outOfTime(err error) bool {
	return errors.Is(err, errTimersStand) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, ccid.ErrTimeout) || errors.Is(err, usb.ErrTimeout)
}

// timersRun reports whether firmware's timers run. Below TPL_CALLBACK they do.
func (d *Driver) timersRun() bool {
	if callerTPL() < uefi.TPLCallback {
		return true
	}
	ev, err := d.boot.CreateEvent(uefi.EventTimer, uefi.TPLCallback, 0, 0)
	if err != nil {
		return false
	}
	defer d.boot.CloseEvent(ev)
	// The shortest time that there is. With 0, edk2 does not wait for a tick.
	if d.boot.SetTimer(ev, uefi.TimerRelative, time.Nanosecond) != nil {
		return false
	}
	for end := time.Now().Add(timerLook); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if signaled, err := d.boot.CheckEvent(ev); signaled || err != nil {
			return signaled
		}
	}
	return false
}

// postpone installs the protocol for slot 0 of a reader that is not open, for why.
func (d *Driver) postpone(c *controller, why error) error {
	name := fmt.Sprintf("USB reader %d", c.unit)
	if b, err := uefi.USBIOAt(c.protocol).DeviceDescriptor(); err == nil {
		dev := usb.Device{Descriptor: b[:]}
		vendor, product, _ := dev.ID()
		name = fmt.Sprintf("%04X:%04X %d", vendor, product, c.unit)
	}
	c.state = statePostponed
	d.bound[c.handle] = c
	r := d.readers.new(name, nil, d.members)
	limit := openLimit
	r.open = func() error {
		err := d.openPostponed(c, r, limit)
		if !errors.Is(err, errTimersStand) {
			limit = startLimit
		}
		return err
	}
	if _, err := d.install(c, nil, r); err != nil {
		return err
	}
	if c.untried = errors.Is(why, errTimersStand); c.untried {
		d.watchIdle()
	}
	return nil
}

// openPostponed opens the reader of slot 0, and installs the protocol for the other slots.
func (d *Driver) openPostponed(c *controller, r *reader, limit time.Duration) error {
	c.untried = false
	if c.state == stateFailed {
		return uefi.DeviceError
	}
	if !room() {
		return uefi.OutOfResources
	}
	err := d.openReader(c, d.options.limit(limit))
	switch {
	case outOfTime(err):
		d.complain(c.handle, fmt.Errorf("the reader has not answered in time: %w", err))
		return err
	case err != nil:
		c.state = stateFailed
		d.complain(c.handle, err)
		return err
	}
	c.state = stateOpen
	first := c.reader.Slots()[0]
	r.slot, r.hear, r.open = first, c.takeNotifications, nil
	r.former, r.name = r.name, uefi.UTF16(first.Name())
	tellSurplus(c.reader)
	if c.paths, err = slotPaths(c.reader, nil, d.boot.DevicePathOf(c.handle)); err != nil {
		d.complain(c.handle, err)
		return nil
	}
	for _, p := range d.missing(c, 0) {
		if _, err := d.offer(c, p); err != nil {
			d.complain(c.handle, err) // Start makes it, when it is asked to
		}
	}
	return nil
}

// lookLater has drivers connected to a controller when that is possible.
func (d *Driver) lookLater(h uefi.Handle) {
	x := &d.deferred
	if !slices.Contains(x.unseen, h) {
		x.unseen = append(x.unseen, h)
	}
	d.watchIdle()
}

// watchIdle makes the event of firmware's idle loop, where firmware has one.
func (d *Driver) watchIdle() {
	x := &d.deferred
	x.looks = 0
	if x.idle == 0 {
		x.idle, _ = d.boot.CreateEventEx(uefi.EventNotifySignal, uefi.TPLCallback, x.onIdle, 0, &uefi.GroupIdleLoop)
	}
}

// idle is called while firmware idles: not by the timer interrupt.
func (d *Driver) idle() {
	x := &d.deferred
	if x.idle == 0 {
		return
	}
	switch {
	case d.timersRun():
		for _, c := range d.bound {
			if c.untried {
				_ = d.openPostponed(c, c.slots[0].reader, startLimit)
			}
		}
		d.connectUnseen()
		d.unwatchIdle()
	case x.looks == idleLooks:
		d.unwatchIdle()
	default:
		x.looks++
	}
}

// unwatchIdle closes the event of firmware's idle loop. When that fails, the next one tries it
// again.
func (d *Driver) unwatchIdle() {
	if x := &d.deferred; x.idle != 0 && d.boot.CloseEvent(x.idle) == nil {
		x.idle = 0
	}
}

// connectUnseen has drivers connected to the controllers that wait for that, when the call in
// progress has been answered.
func (d *Driver) connectUnseen() {
	x := &d.deferred
	if len(x.unseen) == 0 {
		return
	}
	if x.connect == 0 {
		var err error
		if x.connect, err = d.boot.CreateEvent(uefi.EventNotifySignal, uefi.TPLCallback, gate.ConnectNotify(), 0); err != nil {
			return // the next call tries again
		}
	}
	for len(x.unseen) > 0 {
		if h := x.unseen[0]; d.bound[h] == nil && !connectDrivers(uintptr(h)) {
			break
		}
		x.unseen = x.unseen[1:]
	}
	_ = d.boot.SignalEvent(x.connect)
}

// pause lets firmware's events run between two transfers of the controller h, and reports whether
// Stop was refused for it.
func (d *Driver) pause(h uefi.Handle) bool {
	yield()
	x := &d.deferred
	for c, ok := refused(d.binding.Stop); ok; c, ok = refused(d.binding.Stop) {
		x.stopped = append(x.stopped, uefi.Handle(c))
	}
	i := slices.Index(x.stopped, h)
	if i < 0 {
		return false
	}
	x.stopped = slices.Delete(x.stopped, i, i+1)
	return true
}

// noteUnseen notes the controllers for which Supported was refused: drivers are connected to them
// after the call in progress.
func (d *Driver) noteUnseen() {
	x := &d.deferred
	for c, ok := refused(d.binding.Supported); ok; c, ok = refused(d.binding.Supported) {
		if h := uefi.Handle(c); d.bound[h] == nil && !slices.Contains(x.unseen, h) {
			x.unseen = append(x.unseen, h)
		}
	}
}

// dropRefused forgets the calls of a function that were refused.
func (d *Driver) dropRefused(fn uintptr) {
	for _, ok := refused(fn); ok; _, ok = refused(fn) {
	}
}

// afterCall comes after each call of firmware's.
func (d *Driver) afterCall() {
	x := &d.deferred
	d.dropRefused(d.binding.Stop)
	x.stopped = nil // firmware tries again
	d.noteUnseen()
	if !d.ending && callerTPL() < uefi.TPLCallback {
		d.connectUnseen()
	}
	untried := false
	for _, c := range d.bound {
		untried = untried || c.untried
	}
	if !untried && len(x.unseen) == 0 {
		d.unwatchIdle()
	}
}
