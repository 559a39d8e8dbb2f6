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

// Firmware polls an interrupt endpoint by itself when it is asked to, and calls a function with
// what came: at TPL_NOTIFY, at any moment, while Go is left or while Go is inside and waits for
// firmware. So that function is no Go, and does nothing but to write down what it is handed, in a
// box that Go looks into when it wants to know.
//
//	state      event                                   does
//	off        Listen                                  asks firmware to poll             -> on
//	on         firmware calls                          a message is in the box
//	on         firmware calls, the transfer failed     that is noted in the box
//	on         Notifications                           hands out the messages
//	on         Notifications, a transfer failed        ends the polling, clears a halt,
//	                                                   polls anew, maxFailures in a row  -> on or off
//	on         Unlisten, Close                         asks firmware to end the polling
//	           firmware ends it                                                          -> off
//	           firmware refuses                        the box stays where it is         -> on
//
// Firmware may call the function and write to the box for as long as the state is on: until then
// neither may be freed.

// A box is what the callback knows of. record_amd64.s has its layout.
type box struct {
	written uint32 // messages that were written, counted
	taken   uint32 // messages that were taken; written-taken of them are in slots
	failed  uint32 // transfer result that is not EFI_USB_NOERROR, 0 without
	slots   [boxSlots]struct {
		n    uint32
		data [boxData]byte
	}
}

const (
	boxSlots = 16 // policy: changes between two calls of a program. When it is full, the newest message replaces the one before.
	boxData  = 124
)

// maxFailures is how many transfers in a row may fail before the endpoint is left alone (policy).
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
	box      *box
	failures int
	on       bool
}

// Listen makes firmware poll the interrupt endpoint, for messages of that many bytes at most, until
// Unlisten or Close. In is not available for that endpoint meanwhile. An error says that there is
// no such endpoint, or that firmware cannot poll.
func (t *Transport) Listen(size int) error {
	if t.gone.Load() || t.closed.Load() {
		return usb.ErrGone
	}
	if l := t.listener; l != nil {
		if l.on {
			return nil
		}
		return t.poll(l) // the box may have messages
	}
	for address, p := range t.pipes {
		if p.kind == usb.InterruptTransfer && address&usb.DirIn != 0 {
			packets := (min(max(size, 1), boxData) + p.packet - 1) / p.packet
			l := &listener{endpoint: address, interval: p.interval, size: packets * p.packet, box: new(box)}
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
	err := t.io.AsyncInterrupt(l.endpoint, true, l.interval, l.size, recordPC(), uintptr(unsafe.Pointer(l.box)))
	l.on = err == nil
	return err
}

// Unlisten ends what Listen began. After an error firmware may go on polling: the image, the
// Transport and the opening of EFI_USB_IO_PROTOCOL must stay. Unlisten can then be tried again,
// except after usb.ErrGone: the device has gone, and firmware still did not end the polling.
//
// edk2 (edk2-stable202605, XhciDxe, EhciDxe, UhciDxe: AsyncInterruptTransfer) ends the polling of a
// removed device too, and answers EFI_NOT_FOUND where no transfer is registered. XhciDxe answers
// EFI_INVALID_PARAMETER for a device address that it does not know, without having looked for the
// transfer: that one may still be registered.
func (t *Transport) Unlisten() error {
	l := t.listener
	if l == nil || !l.on {
		return nil
	}
	err := t.io.AsyncInterrupt(l.endpoint, false, 0, 0, 0, 0)
	switch {
	case err == nil, err == error(uefi.NotFound):
		l.on = false
		return nil
	case t.gone.Load() || t.present() == away:
		t.gone.Store(true)
		return fmt.Errorf("%w: end of polling: %w", usb.ErrGone, err)
	}
	return fmt.Errorf("usbio: end of polling: %w", err)
}

// Notifications hands to f each message that has come over the interrupt endpoint since the last
// time, and reports whether there may have been others between the last two. It waits for nothing
// but, after a failure, for a standard request.
func (t *Transport) Notifications(f func(b []byte)) (missed bool) {
	l := t.listener
	if l == nil || !l.on {
		return false
	}
	missed = atomic.LoadUint32(&l.box.written)-l.box.taken >= boxSlots
	for n := 0; n < boxSlots && l.box.taken != atomic.LoadUint32(&l.box.written); n++ {
		s := &l.box.slots[l.box.taken%boxSlots]
		f(s.data[:min(s.n, boxData)])
		l.box.taken++
		l.failures = 0
	}
	if result := atomic.SwapUint32(&l.box.failed, 0); result != 0 {
		t.recover(l, uefi.USBResult(result))
	}
	return missed
}

// recover goes on after a failed transfer.
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

// pollInterval is how often an endpoint wants to be asked, in milliseconds (USB 2.0, table 9-13:
// frames at full speed, 2 to the power of bInterval-1 microframes at high speed and above).
func pollInterval(speed usb.Speed, bInterval uint8) uint32 {
	if speed != usb.SpeedHigh && speed != usb.SpeedSuper {
		return min(max(uint32(bInterval), minInterval), maxInterval)
	}
	const microframe, maxExponent = 125 * time.Microsecond, 16
	d := microframe << (min(max(bInterval, 1), maxExponent) - 1)
	return min(max(uint32(d/time.Millisecond), minInterval), maxInterval)
}
