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
// after startLimit. Then it installs the protocol for slot 0 all the same, with a name from
// descriptors that firmware has read, and the reader is opened later:
//
//	state      event                             does                          state
//	postponed  function of the protocol          opens the reader: installs
//	                                             the protocol for the other
//	                                             slots                         open
//	           no answer in time, or timers      returns EFI_DEVICE_ERROR      postponed
//	           stand still
//	           another error                     returns EFI_DEVICE_ERROR      failed
//	postponed  firmware waits for events and     the same, at most once        open, postponed,
//	           idles                                                           failed
//	failed     function                          returns EFI_DEVICE_ERROR      failed
//	all        Stop                              removes what is installed     -
//
// Whether an interface with a vendor-specific class is a reader takes a transfer to find out.
// Supported returns EFI_UNSUPPORTED for it while timers stand still, and drivers are connected to
// it again later: after a program has called a function of the protocol, or when firmware idles.
// The same is done for a controller for which Supported was refused because a call was in progress:
// events of firmware run during long calls, see gate.Yield.

// readerState is the state of a USB interface's reader.
type readerState uint8

const (
	stateOpen readerState = iota
	statePostponed
	stateFailed
)

// openLimit is how long the first function may take to open a reader (policy: as long as the class
// driver takes at most, for a reader without quirks). Later calls have startLimit, so that a
// program which calls a silent reader repeatedly goes on.
const openLimit = 10 * time.Second

// timerLook is how long a timer may take to be signaled (policy: PC firmware has 10 ms and 55 ms
// between ticks).
const timerLook = 100 * time.Millisecond

// idleLooks is how often the idle event may find that timers stand still before it is closed
// (policy).
const idleLooks = 10

// Services of package gate. Tests replace them.
var (
	yield          = gate.Yield
	callerTPL      = func() uefi.TPL { return uefi.TPL(gate.CallerTPL()) }
	refused        = gate.Refused
	connectDrivers = gate.Connect
)

// deferred is work for the end of a call, or for the time when timers run.
type deferred struct {
	onIdle  uintptr       // function that firmware calls, created once
	idle    uefi.Event    // of firmware's idle loop, while something waits for that
	looks   int           // how often timers stood still in it
	connect uefi.Event    // created when it is first needed
	unseen  []uefi.Handle // controllers to which drivers are to be connected
	stopped []uefi.Handle // controllers for which Stop was refused during the call in progress
}

// errTimersStand reports that no transfer is made because firmware's timers do not run.
var errTimersStand = errors.New("driver: firmware's timers stand still")

// outOfTime reports whether an error is a time limit that has passed.
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
	// The shortest time. With 0, edk2 does not wait for a tick.
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

// postpone installs the protocol for slot 0 of a reader that is not open. why is the error of the
// attempt to open it.
func (d *Driver) postpone(c *controller, why error) error {
	name := fmt.Sprintf("USB reader %d", c.unit)
	if b, err := uefi.USBIOAt(c.protocol).DeviceDescriptor(); err == nil {
		dev := usb.Device{Descriptor: b[:]}
		vendor, product, _ := dev.ID()
		name = fmt.Sprintf("%04X:%04X %d", vendor, product, c.unit)
	}
	c.state = statePostponed
	d.bound[c.handle] = c
	r := d.readers.new(name, nil, d.functions)
	limit := openLimit
	r.open = func() error {
		err := d.openPostponed(c, r, limit)
		if !errors.Is(err, errTimersStand) {
			limit = startLimit
		}
		return err
	}
	if _, err := d.installReader(c, nil, r); err != nil {
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
		d.printOnce(c.handle, fmt.Errorf("the reader has not answered in time: %w", err))
		return err
	case err != nil:
		c.state = stateFailed
		d.printOnce(c.handle, err)
		return err
	}
	c.state = stateOpen
	first := c.reader.Slots()[0]
	r.slot, r.pollNotifications, r.open = first, c.takeNotifications, nil
	r.former, r.name = r.name, uefi.UTF16(first.Name())
	reportUnusedSlots(c.reader)
	if c.paths, err = slotPaths(c.reader, nil, d.boot.DevicePathOf(c.handle)); err != nil {
		d.printOnce(c.handle, err)
		return nil
	}
	for _, p := range d.missing(c, 0) {
		if _, err := d.installSlot(c, p); err != nil {
			d.printOnce(c.handle, err) // the next Start creates it
		}
	}
	return nil
}

// lookLater connects drivers to a controller when that is possible.
func (d *Driver) lookLater(h uefi.Handle) {
	x := &d.deferred
	if !slices.Contains(x.unseen, h) {
		x.unseen = append(x.unseen, h)
	}
	d.watchIdle()
}

// watchIdle creates the event of firmware's idle loop, which edk2 has.
func (d *Driver) watchIdle() {
	x := &d.deferred
	x.looks = 0
	if x.idle == 0 {
		x.idle, _ = d.boot.CreateEventEx(uefi.EventNotifySignal, uefi.TPLCallback, x.onIdle, 0,
			&uefi.GroupIdleLoop)
	}
}

// idle is called while firmware idles, not by the timer interrupt.
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
		d.closeIdle()
	case x.looks == idleLooks:
		d.closeIdle()
	default:
		x.looks++
	}
}

// closeIdle closes the event of firmware's idle loop. After an error the next call tries it again.
func (d *Driver) closeIdle() {
	if x := &d.deferred; x.idle != 0 && d.boot.CloseEvent(x.idle) == nil {
		x.idle = 0
	}
}

// connectUnseen connects drivers to the controllers that wait for that, when the call in progress
// has returned.
func (d *Driver) connectUnseen() {
	x := &d.deferred
	if len(x.unseen) == 0 {
		return
	}
	if x.connect == 0 {
		var err error
		if x.connect, err = d.boot.CreateEvent(uefi.EventNotifySignal, uefi.TPLCallback,
			gate.ConnectNotify(), 0); err != nil {
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

// dropRefused discards the refused calls of a function.
func (d *Driver) dropRefused(fn uintptr) {
	for _, ok := refused(fn); ok; _, ok = refused(fn) {
	}
}

// afterCall is called after each call of firmware.
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
		d.closeIdle()
	}
}
