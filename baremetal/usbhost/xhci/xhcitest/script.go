package xhcitest

import (
	"context"
	"sync"

	"tamaccid/ccid/usb"
)

// Script is a usbtest.Device that follows a script, one line for each transfer. Without a line for
// an endpoint it responds with NAK.
type Script struct {
	At usb.Speed

	mu     sync.Mutex
	lines  map[uint8][]Line
	wake   chan struct{}
	Writes [][]byte // data of OUT transfers and control transfers
	Resets int
}

// Line is the result of one transfer.
type Line struct {
	Data  []byte // of an IN transfer, at most the requested length
	Err   error
	Block bool // after Data: NAK without end
}

// NewScript returns a device with a speed and an empty script.
func NewScript(s usb.Speed) *Script {
	return &Script{At: s, lines: map[uint8][]Line{}, wake: make(chan struct{})}
}

// Add appends lines for an endpoint. Endpoint 0 is the default control pipe.
func (s *Script) Add(endpoint uint8, lines ...Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[endpoint] = append(s.lines[endpoint], lines...)
	close(s.wake)
	s.wake = make(chan struct{})
}

// Left is the number of unused lines.
func (s *Script) Left() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		n += len(l)
	}
	return n
}

// line waits for the next line of an endpoint.
func (s *Script) line(ctx context.Context, endpoint uint8) (Line, error) {
	for {
		s.mu.Lock()
		if l := s.lines[endpoint]; len(l) > 0 {
			s.lines[endpoint] = l[1:]
			s.mu.Unlock()
			return l[0], nil
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return Line{}, ctx.Err()
		}
	}
}

// end ends the transfer of a line.
func (l Line) end(ctx context.Context) error {
	if l.Block {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Err
}

// Speed implements usbtest.Device.
func (s *Script) Speed() usb.Speed { return s.At }

// BusReset implements usbtest.Device.
func (s *Script) BusReset() {
	s.mu.Lock()
	s.Resets++
	s.mu.Unlock()
}

// Control implements usbtest.Device. SET_ADDRESS succeeds unless there is a line for endpoint
// AddressLine.
func (s *Script) Control(ctx context.Context, setup usb.Setup, data []byte) (int, error) {
	endpoint := uint8(0)
	if setup.RequestType == 0 && setup.Request == usb.RequestSetAddress {
		endpoint = AddressLine
		s.mu.Lock()
		if len(s.lines[endpoint]) == 0 {
			s.mu.Unlock()
			return 0, nil
		}
		s.mu.Unlock()
	}
	l, err := s.line(ctx, endpoint)
	if err != nil {
		return 0, err
	}
	n := len(data)
	if setup.In() {
		n = copy(data, l.Data)
	} else if l.Err == nil {
		s.write(data)
	}
	return n, l.end(ctx)
}

// AddressLine is the endpoint number of lines for SET_ADDRESS.
const AddressLine = 0x40

func (s *Script) write(b []byte) {
	s.mu.Lock()
	s.Writes = append(s.Writes, append([]byte(nil), b...))
	s.mu.Unlock()
}

// In implements usbtest.Device.
func (s *Script) In(ctx context.Context, endpoint uint8, buf []byte) (int, error) {
	l, err := s.line(ctx, endpoint)
	if err != nil {
		return 0, err
	}
	n := copy(buf, l.Data)
	return n, l.end(ctx)
}

// Out implements usbtest.Device.
func (s *Script) Out(ctx context.Context, endpoint uint8, data []byte) error {
	l, err := s.line(ctx, endpoint)
	if err != nil {
		return err
	}
	if l.Err == nil && !l.Block {
		s.write(data)
	}
	return l.end(ctx)
}
