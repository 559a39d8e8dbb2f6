package ccid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

// control is an ICCD as a list of class requests and what they are answered with, in order.
type control struct {
	t     *testing.T
	steps []step
	at    int
}

// step is one request: direction, number, value, data for the device, or the device's answer.
type step struct {
	in      bool
	request uint8
	value   uint16
	data    []byte
	err     error
}

func (c *control) handle(_ *fake, s usb.Setup, data []byte) (int, error) {
	if c.at >= len(c.steps) {
		c.t.Errorf("unexpected request %+v % X", s, data)
		return 0, usb.ErrGone
	}
	want := c.steps[c.at]
	c.at++
	if s.In() != want.in || s.Request != want.request || s.Value != want.value || s.Index != 0 ||
		int(s.Length) != len(data) ||
		!want.in && !bytes.Equal(data, want.data) {
		c.t.Errorf("request %d: %+v % X, want %+v", c.at, s, data, want)
		return 0, usb.ErrGone
	}
	if want.err != nil {
		return 0, want.err
	}
	if want.in {
		return copy(data, want.data), nil
	}
	return len(data), nil
}

func out(request uint8, value uint16, data ...byte) step {
	return step{false, request, value, data, nil}
}
func in(request uint8, data ...byte) step { return step{true, request, 0, data, nil} }

func iccdFake(
	t *testing.T, protocol byte, features Features, message uint32, steps ...step,
) (*fake, *control) {
	c := class(features | FeatureAutoParameters)
	c.MaxMessageLength = message
	f := newFake(c, nil)
	f.dev.Config = configBytes(0x0B, protocol, classBytes(c))
	script := &control{t: t, steps: steps}
	f.control = script.handle
	return f, script
}

func TestICCDVersionB(t *testing.T) {
	ok := []byte{0, 0x90, 0}
	status := in(0x81, 1, 0, 0)
	connect := []step{status, out(0x63, 0), out(0x62, 1), in(0x6F, append([]byte{0}, atrT0...)...)}
	for _, c := range []struct {
		name  string
		steps []step
		want  string
		err   error
	}{
		{"one APDU", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F, ok...)}, "9000", nil},
		{"busy first", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F, 0x80, 1, 0), in(0x6F, ok...)},
			"9000", nil},
		{"an answer in three parts", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F, 1, 'A'),
			out(0x65, 0x1000), in(0x6F, 3, 'B'), out(0x65, 0x1000), in(0x6F, 2, 0x90, 0)},
			"41429000", nil},
		// libccid 3e78dbd: the length of nothing, minus one.
		{"an empty data block", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F)}, "", ErrProtocol},
		{"a data block of an unknown type", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F, 0x77, 1, 2)},
			"", ErrProtocol},
		{"a failure", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F, 0x40, 0, 0xFE)}, "", ErrMute},
		{"a failure cut short", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F, 0x40)}, "", ErrProtocol},
		{"a wait cut short", []step{out(0x65, 0, 0, 1, 2, 3), in(0x6F, 0x80, 1)}, "", ErrProtocol},
		{"a wait longer than the limit", []step{out(0x65, 0, 0, 1, 2, 3),
			in(0x6F, 0x80, 0xFF, 0xFF)}, "", ErrTimeout},
		{"a stall", []step{{false, 0x65, 0, []byte{0, 1, 2, 3}, usb.ErrStall}}, "", ErrMute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, script := iccdFake(t, 2, FeatureShortAPDU, 261,
					append(append([]step(nil), connect...), c.steps...)...)
				s := connected(t, f, Options{})
				var r [258]byte
				n, err := s.Transmit(context.Background(), []byte{0, 1, 2, 3}, r[:])
				if fmt.Sprintf("%X", r[:n]) != c.want || !errors.Is(err, c.err) || c.err == nil &&
					err != nil {
					t.Errorf("% X, %v", r[:n], err)
				}
				if script.at != len(script.steps) {
					t.Errorf("%d requests were not made", len(script.steps)-script.at)
				}
			})
		})
	}
}

func TestICCDVersionBTakesAWholeShortAPDU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		command := append(append([]byte{0, 1, 2, 3, 255}, make([]byte, 255)...), 0)
		f, script := iccdFake(t, 2, FeatureShortAPDU, 261, in(0x81, 1, 0, 0), out(0x63, 0),
			out(0x62, 1), in(0x6F, append([]byte{0}, atrT0...)...),
			out(0x65, 0, command...), in(0x6F, 0, 0x90, 0))
		s := connected(t, f, Options{})
		var r [258]byte
		if n, err := s.Transmit(context.Background(), command, r[:]); err != nil || n != 2 ||
			script.at != len(script.steps) {
			t.Fatal(n, err)
		}
	})
}

func TestICCDVersionBBusyWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := iccdFake(t, 2, FeatureShortAPDU, 261)
		f.control = func(_ *fake, s usb.Setup, data []byte) (int, error) {
			switch {
			case s.Request == 0x6F:
				return copy(data, []byte{0x80, 0, 0}), nil
			case s.In():
				return copy(data, []byte{1, 0, 0}), nil
			}
			return 0, nil
		}
		s := open(t, f,
			Options{Timing: &Timing{Power: 20 * time.Millisecond, Answer: 20 * time.Millisecond,
				Limit: 50 * time.Millisecond, PollICCD: time.Millisecond}})
		started := time.Now()
		if _, err := s.PowerOn(context.Background()); !errors.Is(err, ErrTimeout) ||
			time.Since(started) > 5*time.Second {
			t.Fatal(err, time.Since(started))
		}
	})
}

func TestICCDVersionA(t *testing.T) {
	ready, data, sw, busy, mute := in(0xA0, 0), in(0xA0, 0x10), in(0xA0, 0x20), in(0xA0, 0x40),
		in(0xA0, 0x80)
	connect := []step{ready, out(0x63, 0), busy, ready, in(0x62, atrT0...)}
	for _, c := range []struct {
		name     string
		features Features
		command  []byte
		steps    []step
		want     string
		err      error
	}{
		{"APDU level", FeatureShortAPDU, []byte{0, 1, 2, 3},
			[]step{out(0x65, 0, 0, 1, 2, 3), busy, busy, sw, in(0x6F, 0x90, 0)}, "9000", nil},
		{"APDU level, mute", FeatureShortAPDU, []byte{0, 1, 2, 3},
			[]step{out(0x65, 0, 0, 1, 2, 3), mute}, "", ErrMute},
		{"T=0 without data", 0, []byte{0, 1, 2, 3},
			[]step{out(0x65, 0, 0, 1, 2, 3, 0), sw, in(0x6F, 0x90, 0)}, "9000", nil},
		{"T=0 with data to the card", 0, []byte{0, 1, 2, 3, 2, 'A', 'B'},
			[]step{out(0x65, 0, 0, 1, 2, 3, 2), data, out(0x65, 0, 'A', 'B'), busy, sw,
				in(0x6F, 0x90, 0)}, "9000", nil},
		{"T=0 with data from the card", 0, []byte{0, 1, 2, 3, 2},
			[]step{out(0x65, 0, 0, 1, 2, 3, 2), data, in(0x6F, 'A', 'B'), sw, in(0x6F, 0x90, 0)},
			"41429000", nil},
		{"T=0, the card refuses the data", 0, []byte{0, 1, 2, 3, 2, 'A', 'B'},
			[]step{out(0x65, 0, 0, 1, 2, 3, 2), sw, in(0x6F, 0x6D, 0)}, "6D00", nil},
		{"T=0, mute", 0, []byte{0, 1, 2, 3}, []step{out(0x65, 0, 0, 1, 2, 3, 0), mute}, "",
			ErrMute},
		{"T=0, an empty status byte", 0, []byte{0, 1, 2, 3},
			[]step{out(0x65, 0, 0, 1, 2, 3, 0), in(0xA0)}, "", ErrProtocol},
		{"T=0, an empty data phase", 0, []byte{0, 1, 2, 3, 2},
			[]step{out(0x65, 0, 0, 1, 2, 3, 2), data, in(0x6F)}, "", ErrProtocol},
		{"T=0, one status byte", 0, []byte{0, 1, 2, 3},
			[]step{out(0x65, 0, 0, 1, 2, 3, 0), sw, in(0x6F, 0x90)}, "", ErrProtocol},
		{"T=0, a stall in the data phase: the card does not answer", 0, []byte{0, 1, 2, 3, 2},
			[]step{out(0x65, 0, 0, 1, 2, 3, 2), data, {in: true, request: 0x6F, err: usb.ErrStall}},
			"", ErrMute},
		{"T=0, a phase that means nothing", 0, []byte{0, 1, 2, 3},
			[]step{out(0x65, 0, 0, 1, 2, 3, 0), ready}, "", ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, script := iccdFake(t, 1, c.features, 256,
					append(append([]step(nil), connect...), c.steps...)...)
				s := connected(t, f, Options{})
				var r [258]byte
				n, err := s.Transmit(context.Background(), c.command, r[:])
				if fmt.Sprintf("%X", r[:n]) != c.want || !errors.Is(err, c.err) || c.err == nil &&
					err != nil {
					t.Errorf("% X, %v", r[:n], err)
				}
				if script.at < len(script.steps) {
					t.Errorf("%d requests were not made", len(script.steps)-script.at)
				}
			})
		})
	}
}

func TestICCDWithMessagesOf4GB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, protocol := range []byte{1, 2} {
			f, _ := iccdFake(t, protocol, FeatureShortAPDU, 0xFFFFFFFF, in(0xA0, 0))
			f.control = func(_ *fake, s usb.Setup, data []byte) (int, error) {
				return len(data), nil
			}
			s := open(t, f, Options{})
			if s.r.maxPayload != pipe.MaxControl {
				t.Errorf("version %d: %d", protocol, s.r.maxPayload)
			}
		}
	})
}
