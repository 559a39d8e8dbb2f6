package usbio

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// Firmware polls an interrupt endpoint on request, and calls a function with what it has received:
// at TPL_NOTIFY, at any moment, while no Go code runs or while Go waits for firmware. Therefore
// that function is not written in Go, and does nothing but copy the data to a ring, from which
// Notifications reads it.
//
//	state  event                              does
//	off    Listen                             starts the polling                -> on
//	on     firmware calls                     the message is in the ring
//	on     firmware calls, transfer failed    the failure is in the ring
//	on     Notifications                      returns the messages
//	on     Notifications, transfer failed     ends the polling, clears a halt,
//	                                          polls again, maxFailures times    -> on or off
//	on     Unlisten, Close                    ends the polling
//	       firmware succeeds                                                    -> off
//	       firmware refuses                   the ring stays in place            -> on
//
// Firmware may call the function and write to the ring for as long as the state is on: until then
// neither may be freed.

// A ring is the memory of the callback. record_amd64.s has its layout.
type ring struct {
	written uint32 // messages that were written, counted
	taken   uint32 // messages that were taken; written-taken of them are in slots
	failed  uint32 // transfer result that is not EFI_USB_NOERROR, 0 without
	slots   [ringSlots]struct {
		n    uint32
		data [ringData]byte
	}
}

const (
	// Policy: changes between two calls of a program. In a full ring the newest message replaces
	// the one before it.
	ringSlots = 16
	ringData  = 124
)

// maxFailures is how many transfers in a row may fail before polling ends (policy).
const maxFailures = 10

// Intervals at which firmware can poll, in milliseconds (UEFI 2.11, 17.2.4:
// UsbAsyncInterruptTransfer, 1 to 255).
const (
	minInterval = 1
	maxInterval = 255
)

// listener is an interrupt endpoint that firmware polls.
type listener struct {
	endpoint uint8
	interval uint32 // milliseconds
	size     int    // of a transfer, whole packets
	ring     *ring
	failures int
	on       bool
}

// Listen makes firmware poll the interrupt endpoint, for messages of at most size bytes, until
// Unlisten or Close. In is not available for that endpoint until then. An error reports that there
// is no such endpoint, or that firmware cannot poll.
func (t *Transport) Listen(size int) error {
	if t.gone.Load() || t.closed.Load() {
		return usb.ErrGone
	}
	if l := t.listener; l != nil {
		if l.on {
			return nil
		}
		return t.poll(l) // the ring may have messages
	}
	for address, p := range t.pipes {
		if p.kind == usb.InterruptTransfer && address&usb.DirIn != 0 {
			packets := (min(max(size, 1), ringData) + p.packet - 1) / p.packet
			l := &listener{endpoint: address, interval: p.interval, size: packets * p.packet,
				ring: new(ring)}
			if err := t.poll(l); err != nil {
				return err
			}
			t.listener = l
			return nil
		}
	}
	return ErrUsage
}

func (t *Transport) poll(l *listener) error {
	err := t.io.AsyncInterrupt(l.endpoint, true, l.interval, l.size, recordPC(),
		uintptr(unsafe.Pointer(l.ring)))
	l.on = err == nil
	return err
}

// Unlisten ends the polling. After an error firmware may go on polling: the image, the Transport
// and the opening of EFI_USB_IO_PROTOCOL must stay. Unlisten can then be tried again, except after
// usb.ErrGone: the device has been removed, and firmware still did not end the polling.
//
// edk2 (edk2-stable202605, XhciDxe, EhciDxe, UhciDxe: AsyncInterruptTransfer) ends the polling of a
// removed device too, and returns EFI_NOT_FOUND if no transfer is registered. XhciDxe returns
// EFI_INVALID_PARAMETER for an unknown device address, without a search for the
// transfer, which may still be registered.
func (t *Transport) Unlisten() error {
	l := t.listener
	if l == nil || !l.on {
		return nil
	}
	err := t.io.AsyncInterrupt(l.endpoint, false, 0, 0, 0, 0)
	switch {
	case err == nil, errors.Is(err, uefi.NotFound):
		l.on = false
		return nil
	case t.gone.Load() || t.present() == away:
		t.gone.Store(true)
		return fmt.Errorf("%w: end of polling: %w", usb.ErrGone, err)
	}
	return fmt.Errorf("usbio: end of polling: %w", err)
}

// Notifications calls f with each message that has arrived at the interrupt endpoint since the last
// call, and reports whether messages may have been lost before the last one. It does not wait,
// except, after a failed transfer, for a standard request.
func (t *Transport) Notifications(f func(b []byte)) (missed bool) {
	l := t.listener
	if l == nil || !l.on {
		return false
	}
	missed = atomic.LoadUint32(&l.ring.written)-l.ring.taken >= ringSlots
	for n := 0; n < ringSlots && l.ring.taken != atomic.LoadUint32(&l.ring.written); n++ {
		s := &l.ring.slots[l.ring.taken%ringSlots]
		f(s.data[:min(s.n, ringData)])
		l.ring.taken++
		l.failures = 0
	}
	if result := atomic.SwapUint32(&l.ring.failed, 0); result != 0 {
		t.recover(l, uefi.USBResult(result))
	}
	return missed
}

// recover restarts the polling after a failed transfer.
func (t *Transport) recover(l *listener, result uefi.USBResult) {
	if t.Unlisten() != nil {
		return // firmware polls on: a second request would be one too many
	}
	if l.failures++; l.failures > maxFailures || t.gone.Load() || t.closed.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	if err := t.ClearHalt(ctx, l.endpoint); errors.Is(err, usb.ErrGone) {
		return
	}
	_ = t.poll(l) // an endpoint that is not polled has no news
}

// pollInterval is the polling interval of an endpoint in milliseconds (USB 2.0, table 9-13: frames
// at full speed, 2 to the power of bInterval-1 microframes at high speed and above).
func pollInterval(speed usb.Speed, bInterval uint8) uint32 {
	if speed != usb.SpeedHigh && speed != usb.SpeedSuper {
		return min(max(uint32(bInterval), minInterval), maxInterval)
	}
	const microframe, maxExponent = 125 * time.Microsecond, 16
	d := microframe << (min(max(bInterval, 1), maxExponent) - 1)
	return min(max(uint32(d/time.Millisecond), minInterval), maxInterval)
}
