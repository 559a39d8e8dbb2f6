package usbtest

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// Device is a virtual device. Its methods may be called concurrently. A controller calls them only
// while the device is reachable.
type Device interface {
	// Speed is the highest speed that it supports.
	Speed() usb.Speed
	// BusReset is called for each reset of its port.
	BusReset()
	// Control performs a control transfer. SET_ADDRESS comes only from controllers that send it as
	// a request (xhcitest). setup.Length bounds data. ErrBlocked is NAK without end.
	Control(ctx context.Context, setup usb.Setup, data []byte) (n int, err error)
	// In performs a transfer from the device. It waits for data until ctx ends.
	In(ctx context.Context, endpoint uint8, buf []byte) (n int, err error)
	// Out performs a transfer to the device.
	Out(ctx context.Context, endpoint uint8, data []byte) error
}

// ErrBlocked: the endpoint responds with NAK without end.
var ErrBlocked = reader.ErrBlocked

// simulated is a virtual reader as a Device.
type simulated struct{ *reader.Device }

// Reader returns a virtual reader as a Device.
func Reader(d *reader.Device) Device { return simulated{d} }

func (s simulated) Speed() usb.Speed {
	if speed := s.Model().Speed; speed != usb.SpeedUnknown {
		return speed
	}
	return usb.SpeedFull
}

func (s simulated) Control(_ context.Context, setup usb.Setup, data []byte) (int, error) {
	return s.Device.Control(setup, data)
}

func (s simulated) Out(_ context.Context, endpoint uint8, data []byte) error {
	return s.Device.Out(endpoint, data)
}

// Gadget is a device with arbitrary descriptors. Its endpoints respond with NAK.
type Gadget struct {
	At         usb.Speed
	Descriptor []byte
	Configs    [][]byte
	Strings    map[uint8][]byte // whole string descriptors; 0 has the languages
	// Silence is how long it does not respond after a reset of its port.
	Silence time.Duration
	// Answer, if set, is called with each request. Its result is the response if ok is true.
	Answer func(setup usb.Setup) (reply []byte, err error, ok bool)
}

// Speed is At.
func (g *Gadget) Speed() usb.Speed { return g.At }

// BusReset does nothing.
func (g *Gadget) BusReset() {}

// Control responds to the requests of enumeration.
func (g *Gadget) Control(_ context.Context, s usb.Setup, data []byte) (int, error) {
	reply, err := g.reply(s)
	if err != nil {
		return 0, err
	}
	return copy(data, reply[:min(len(reply), int(s.Length))]), nil
}

func (g *Gadget) reply(s usb.Setup) ([]byte, error) {
	if g.Answer != nil {
		if reply, err, ok := g.Answer(s); ok {
			return reply, err
		}
	}
	kind, index := uint8(s.Value>>8), int(uint8(s.Value))
	switch {
	case s.RequestType == usb.DirIn && s.Request == usb.RequestGetDescriptor:
		switch {
		case kind == usb.TypeDevice:
			return g.Descriptor, nil
		case kind == usb.TypeConfiguration && index < len(g.Configs):
			return g.Configs[index], nil
		case kind == usb.TypeString && g.Strings[uint8(index)] != nil:
			return g.Strings[uint8(index)], nil
		}
	case s.Request == usb.RequestSetAddress, s.Request == usb.RequestSetConfiguration,
		s.Request == usb.RequestSetInterface, s.Request == usb.RequestClearFeature:
		return nil, nil
	}
	return nil, usb.ErrStall
}

// In waits until ctx ends.
func (g *Gadget) In(ctx context.Context, _ uint8, _ []byte) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// Out accepts no data.
func (g *Gadget) Out(context.Context, uint8, []byte) error { return ErrBlocked }

// packet0 is the packet size of the default control pipe in the device descriptor.
func packet0(d Device) int {
	var b [usb.DeviceSize]byte
	n, err := d.Control(context.Background(),
		usb.Setup{RequestType: usb.DirIn, Request: usb.RequestGetDescriptor,
			Value: usb.TypeDevice << 8, Length: usb.DeviceSize}, b[:])
	if errors.Is(err, usb.ErrStall) || n < 8 {
		return 8
	}
	if d.Speed() == usb.SpeedSuper {
		return 512
	}
	return int(b[7])
}
