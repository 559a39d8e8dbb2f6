package usbio

import (
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// A removed device sends nothing. Firmware's bus driver notices the removal in its timer event at
// TPL_CALLBACK: between two transfers, where the caller's TPL allows that (see New, pause), else
// after the driver has returned. With some host controllers transfers to a removed device time out
// (QEMU's xHCI and EHCI). Then a standard request to the device is the only check. The state of its
// port would be a better one but must not be read: edk2's XhciDxe acknowledges a port's change when
// its state is read, and the bus driver then never notices the change.

// presence is what is known of the device.
type presence int

const (
	unknown presence = iota
	there
	away
)

// probeLimit is how long a device may take to answer a standard request (USB 2.0, 9.2.6.4: 500 ms
// to the first data packet).
const probeLimit = 500 * time.Millisecond

// muteLimit is how long a device may leave such requests unanswered before it counts as removed
// (policy: a reader that executes only the card's command does not answer for a part of that time,
// and a controller may let requests to a removed device time out).
const muteLimit = 10 * time.Second

// getStatus is GET_STATUS of the device: valid in every state, and without side effects (USB 2.0,
// 9.4.5).
var getStatus = usb.Setup{RequestType: usb.DirIn | usb.TypeStandard | usb.ToDevice,
	Request: usb.RequestGetStatus, Length: 2}

// now is the time since the transport was opened.
func (t *Transport) now() time.Duration { return time.Since(t.start) }

func (t *Transport) noteAnswer() { t.answered.Store(int64(t.now())) }

// quiet reports whether for a while the device has sent nothing and its presence was not checked.
func (t *Transport) quiet() bool {
	return t.now()-time.Duration(max(t.answered.Load(), t.asked.Load())) >= silence
}

// stillThere is usb.ErrGone for a device that is known to be removed. It checks only after a while
// of silence, and no longer than until.
func (t *Transport) stillThere(until limit) error {
	if !t.quiet() {
		return nil
	}
	if t.ask(min(probeLimit, until.left())) == away {
		t.gone.Store(true)
		return usb.ErrGone
	}
	t.asked.Store(int64(t.now()))
	return nil
}

// present checks the presence of the device within probeLimit.
func (t *Transport) present() presence { return t.ask(probeLimit) }

// ask sends GET_STATUS to the device. Without an answer in time the presence is unknown at first:
// small readers do nothing else while a card computes.
func (t *Transport) ask(wait time.Duration) presence {
	t.probing.Lock()
	defer t.probing.Unlock()
	began := t.now()
	n, err := t.request(&t.probe, getStatus, t.probed[:], limit{at: time.Now().Add(wait)})
	switch {
	case err == nil && (n == 0 || t.probed == [2]byte{fill, fill}):
		return away // a controller that reports success without data
	case err == nil, errors.Is(err, usb.ErrStall), errors.Is(err, usb.ErrBabble):
		return there
	case !errors.Is(err, usb.ErrTimeout):
		return away
	}
	if t.mute <= time.Duration(t.answered.Load()) {
		t.mute = began // the first request without an answer
	}
	if t.now()-t.mute >= muteLimit {
		return away
	}
	return unknown
}
