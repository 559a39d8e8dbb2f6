package usbio

import (
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// A removed device cannot say so. Where a driver runs at TPL_CALLBACK, firmware's own bus driver learns of the removal only
// after the driver has returned, and some host controllers let transfers to a removed device simply time out. What is left is
// a standard request to the device. The port that it is plugged into would know better, but must not be asked: firmware's
// xHCI driver acknowledges a port's change when its state is read, and the bus driver then never learns of it.

// presence is what is known of the device.
type presence int

const (
	unknown presence = iota
	there
	away
)

// probeLimit is how long a device may take to answer a standard request (USB 2.0, 9.2.6.4: 500 ms to the first data packet).
const probeLimit = 500 * time.Millisecond

// getStatus is GET_STATUS of the device, which it answers in every state and which changes nothing (USB 2.0, 9.4.5).
var getStatus = usb.Setup{RequestType: usb.DirIn | usb.TypeStandard | usb.ToDevice, Request: usb.RequestGetStatus, Length: 2}

func (t *Transport) hear() { t.heard.Store(int64(time.Since(t.start))) }

// quiet says that nothing has been heard of the device for a while.
func (t *Transport) quiet() bool { return time.Since(t.start)-time.Duration(t.heard.Load()) >= silence }

// stillThere is usb.ErrGone for a device that is known to be away. It asks only after a while of silence.
func (t *Transport) stillThere() error {
	if !t.quiet() {
		return nil
	}
	if t.present() == away {
		t.gone.Store(true)
		return usb.ErrGone
	}
	t.hear()
	return nil
}

// present asks the device. One that does not answer in time is neither there nor away: small readers do nothing else while a
// card computes.
func (t *Transport) present() presence {
	t.probing.Lock()
	defer t.probing.Unlock()
	_, err := t.request(&t.probe, getStatus, t.probed[:], limit{at: time.Now().Add(probeLimit)})
	switch {
	case err == nil, errors.Is(err, usb.ErrStall), errors.Is(err, usb.ErrBabble):
		return there
	case errors.Is(err, usb.ErrTimeout):
		return unknown
	}
	return away
}
