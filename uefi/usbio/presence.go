package usbio

import (
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// A removed device does not announce that. Firmware's bus driver learns of the removal when its
// timer event at TPL_CALLBACK runs: between two transfers, where the caller's priority allows that
// (see New, pause), else after the driver has returned. Some host controllers let transfers to a
// removed device simply time out. What is left then is a standard request to the device. The port
// that it is plugged into would know better, but must not be asked: firmware's xHCI driver
// acknowledges a port's change when its state is read, and the bus driver then never learns of it.

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

// muteLimit is how long a device may leave such requests unanswered before it counts as away
// (policy: a reader whose only task is the card's command is silent for a part of that, and a
// controller may let requests to a removed device time out).
const muteLimit = 10 * time.Second

// getStatus is GET_STATUS of the device, which it answers in every state and which changes nothing
// (USB 2.0, 9.4.5).
var getStatus = usb.Setup{RequestType: usb.DirIn | usb.TypeStandard | usb.ToDevice,
	Request: usb.RequestGetStatus, Length: 2}

// now is the time since the transport was opened.
func (t *Transport) now() time.Duration { return time.Since(t.start) }

func (t *Transport) hear() { t.heard.Store(int64(t.now())) }

// quiet says that for a while nothing has been heard of the device and nobody has asked.
func (t *Transport) quiet() bool {
	return t.now()-time.Duration(max(t.heard.Load(), t.asked.Load())) >= silence
}

// stillThere is usb.ErrGone for a device that is known to be away. It asks only after a while of
// silence, and no longer than until.
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

// present asks the device, as long as it may take.
func (t *Transport) present() presence { return t.ask(probeLimit) }

// ask asks the device. One that does not answer in time is neither there nor away at first: small
// readers do nothing else while a card computes.
func (t *Transport) ask(wait time.Duration) presence {
	t.probing.Lock()
	defer t.probing.Unlock()
	began := t.now()
	n, err := t.request(&t.probe, getStatus, t.probed[:], limit{at: time.Now().Add(wait)})
	switch {
	case err == nil && (n == 0 || t.probed == [2]byte{fill, fill}):
		return away // a controller calls it success although nothing came
	case err == nil, errors.Is(err, usb.ErrStall), errors.Is(err, usb.ErrBabble):
		return there
	case !errors.Is(err, usb.ErrTimeout):
		return away
	}
	if t.mute <= time.Duration(t.heard.Load()) {
		t.mute = began // the first one without an answer
	}
	if t.now()-t.mute >= muteLimit {
		return away
	}
	return unknown
}
