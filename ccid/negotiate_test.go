package ccid

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

// sentSince lists what was sent as "type parameters payload" from message number from on, without
// empty parts.
func sentSince(f *fake, from int) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, m := range f.sent[from:] {
		line := fmt.Sprintf("%v %X", pipe.MessageType(m[0]), m[7:10])
		if len(m) > pipe.HeaderSize {
			line += fmt.Sprintf(" %X", m[pipe.HeaderSize:])
		}
		list = append(list, strings.ReplaceAll(line, " 000000", ""))
	}
	return list
}

func expectSent(t *testing.T, f *fake, from int, want ...string) {
	t.Helper()
	if got := sentSince(f, from); !slices.Equal(got, want) {
		t.Errorf("sent\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// ATRs: T=0 and T=1 at TA1 = 96 with IFSC 254 and BWI 4, CWI 5.
var (
	atrFast     = []byte{0x3B, 0x90, 0x96, 0x80, 0x00}                   // T=0 alone
	atrBoth     = sealed(0x3B, 0x90, 0x96, 0x80, 0x31, 0xFE, 0x45)       // T=0, then T=1
	atrSpecific = sealed(0x3B, 0x90, 0x96, 0x91, 0x81, 0x31, 0xFE, 0x45) // TA2 = 81: T=1, fixed
	// TA2 = 01: T=1, can change
	atrChangeable = sealed(0x3B, 0x90, 0x96, 0x91, 0x01, 0x31, 0xFE, 0x45)
	// TA2 with implicit parameters
	atrImplicit = sealed(0x3B, 0x90, 0x96, 0x91, 0x11, 0x31, 0xFE, 0x45)
	// class indicator: 3 V only
	atrClassB = sealed(0x3B, 0x80, 0x80, 0x1F, 0x02)
	atrT1CRC  = sealed(0x3B, 0x80, 0x81, 0x71, 0x20, 0x45, 0x01) // CRC
	atrT14    = sealed(0x3B, 0x80, 0x0E)                         // neither T=0 nor T=1
)

// limited is a common reader at TPDU level with that highest data rate.
func limited(rate uint32) ClassDescriptor {
	c := class(FeatureTPDU)
	c.MaxDataRate = rate
	return c
}

// sealed appends TCK.
func sealed(b ...byte) []byte {
	var x byte
	for _, c := range b[1:] {
		x ^= c
	}
	return append(b, x)
}

func TestNegotiation(t *testing.T) {
	echo := func(_, p []byte) []byte { return p } // answers a PPS by itself
	const off = "IccPowerOff"
	const on = "IccPowerOn"
	for _, c := range []struct {
		name   string
		class  ClassDescriptor
		rates  []uint32
		atr    []byte
		accept Protocol
		xfr    func(m, p []byte) []byte
		tweak  func(m []byte) [][]byte
		want   Protocol
		err    error
		sent   []string
	}{
		{name: "host PPS with the card's rate, then the parameters", class: class(FeatureTPDU),
			atr: atrFast, accept: T0 | T1, xfr: echo, want: T0,
			sent: []string{off, on, "XfrBlock FF109679", "SetParameters 9600000A00"}},
		{name: "another protocol than the card's first needs a PPS, IFSD is announced",
			class: class(FeatureTPDU), atr: atrBoth, accept: T0 | T1,
			xfr: func(m, p []byte) []byte {
				if p[0] == 0xFF {
					return p
				}
				return sealed1(0, 0xE1, 1, p[3])
			}, want: T1,
			sent: []string{off, on, "XfrBlock FF119678", "SetParameters 010000 9610004500FE00",
				"XfrBlock 00C101FE3E"}},
		{name: "the caller's protocol is the card's first", class: class(FeatureTPDU), atr: atrBoth,
			accept: T0, xfr: echo, want: T0,
			sent: []string{off, on, "XfrBlock FF109679", "SetParameters 9600000A00"}},
		{name: "no PPS when the reader makes it",
			class: class(FeatureTPDU | FeatureAutoPPS | FeatureAutoIFSD), atr: atrBoth, accept: T1,
			want: T1, sent: []string{off, on, "SetParameters 010000 9610004500FE00"}},
		{name: "nothing but a question where the reader negotiates",
			class: class(FeatureShortAPDU | FeatureAutoParameters), atr: atrBoth, accept: T0,
			want: T0, sent: []string{off, on, "GetParameters"}},
		{name: "specific mode: no PPS, the card's own parameters",
			class: class(FeatureTPDU | FeatureAutoIFSD), atr: atrSpecific, accept: T0 | T1,
			want: T1, sent: []string{off, on, "SetParameters 010000 9610004500FE00"}},
		{name: "specific mode with implicit parameters",
			class: class(FeatureTPDU | FeatureAutoIFSD), atr: atrImplicit, accept: T1, want: T1,
			sent: []string{off, on, "SetParameters 010000 1110004500FE00"}},
		{name: "specific mode at a rate that the reader does not have: a warm reset to " +
			"negotiable mode", class: func() ClassDescriptor {
			c := class(FeatureTPDU | FeatureAutoPPS | FeatureAutoIFSD)
			c.MaxDataRate = 9600
			return c
		}(), atr: atrChangeable, accept: T1, tweak: func() func(m []byte) [][]byte {
			resets := 0
			return func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.IccPowerOn {
					if resets++; resets == 2 {
						return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, atrT1...)}
					}
				}
				return nil
			}
		}(), want: T1, sent: []string{off, on, on, "SetParameters 010000 1110004D002000"}},
		{name: "specific mode and another protocol asked for", class: class(FeatureTPDU),
			atr: atrSpecific, accept: T0, err: ErrNoProtocol,
			sent: []string{off, on}},
		{name: "a card with neither", class: class(FeatureTPDU), atr: atrT14,
			accept: T0 | T1, err: ErrNoProtocol, sent: []string{off, on}},
		{name: "a rate above the reader's is stepped down",
			class: limited(130000),
			atr:   atrFast, accept: T0, xfr: echo, want: T0,
			sent: []string{off, on, "XfrBlock FF10957A", "SetParameters 9500000A00"}},
		{name: "a rate that is not in the table is stepped down",
			class: func() ClassDescriptor { c := class(FeatureTPDU); c.DataRates = 2; return c }(),
			rates: []uint32{10752, 62500}, atr: atrFast, accept: T0, xfr: echo, want: T0,
			sent: []string{off, on, "XfrBlock FF10947B", "SetParameters 9400000A00"}},
		{name: "a reader with one rate stays at it, without PPS",
			class: limited(9600),
			atr:   atrFast, accept: T0, want: T0,
			sent: []string{off, on, "SetParameters 1100000A00"}},
		{name: "a proposal that the card refuses is followed by the next after a reset",
			class: class(FeatureTPDU), atr: atrFast, accept: T0,
			xfr: func(_, p []byte) []byte {
				if p[2] == 0x96 {
					return []byte{0xFF, 0x10, 0x11, 0xFE}
				}
				return p
			}, want: T0,
			sent: []string{off, on, "XfrBlock FF109679", off, on, "XfrBlock FF109976",
				"SetParameters 9900000A00"}},
		{name: "a card that falls silent at every PPS is used at its default",
			class: class(FeatureTPDU), atr: atrFast, accept: T0,
			tweak: func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.XfrBlock {
					return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed, pipe.CodeMute, 0)}
				}
				return nil
			}, want: T0,
			sent: []string{off, on, "XfrBlock FF109679", off, on, "XfrBlock FF109976", off, on,
				"SetParameters 1100000A00"}},
		{name: "a response without PPS1 means the default rate", class: class(FeatureTPDU),
			atr: atrFast, accept: T0,
			xfr: func(_, _ []byte) []byte { return []byte{0xFF, 0x00, 0xFF} }, want: T0,
			sent: []string{off, on, "XfrBlock FF109679", "SetParameters 1100000A00"}},
		{name: "wLevelParameter is the number of expected characters",
			class: class(FeatureAutoATR), atr: atrFast, accept: T0,
			xfr: func(_, p []byte) []byte {
				if len(p) > 0 {
					return p[:2]
				}
				return []byte{0x96, 0x79}
			}, want: T0,
			sent: []string{off, on, "XfrBlock 000200 FF109679", "XfrBlock 000200",
				"SetParameters 9600000A00"}},
		{name: "character level, a response without PPS1", class: class(FeatureAutoATR),
			atr: atrFast, accept: T0,
			xfr: func(_, p []byte) []byte {
				if len(p) > 0 {
					return []byte{0xFF, 0x00}
				}
				return []byte{0xFF}
			}, want: T0,
			sent: []string{off, on, "XfrBlock 000200 FF109679", "XfrBlock 000100",
				"SetParameters 1100000A00"}},
		{name: "SetParameters is not supported", class: class(FeatureTPDU | FeatureAutoPPS),
			atr:    atrT0,
			accept: T0,
			tweak: func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.SetParameters {
					return [][]byte{respond(m, pipe.Parameters, pipe.StatusFailed,
						pipe.CodeCommandNotSupported, 0)}
				}
				return nil
			}, want: T0, sent: []string{off, on, "SetParameters 1100000A00"}},
		{name: "the reader refuses the rate", class: class(FeatureShortAPDU | FeatureAutoPPS),
			atr: atrFast, accept: T0,
			tweak: func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.SetParameters && m[pipe.HeaderSize] != 0x11 {
					return [][]byte{respond(m, pipe.Parameters, pipe.StatusFailed, 10, 0)}
				}
				return nil
			}, want: T0,
			sent: []string{off, on, "SetParameters 9600000A00", off, on, "SetParameters 9900000A00",
				off, on, "SetParameters 1100000A00"}},
		// libccid 8feee6a.
		{name: "the reader answers T=0 with T=1's parameters",
			class: class(FeatureTPDU | FeatureAutoPPS), atr: atrT0, accept: T0,
			tweak: func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.SetParameters {
					return [][]byte{respond(m, pipe.Parameters, 0, 0, 0, 0x11, 0x10, 0, 0x4D, 0,
						0x20, 0)}
				}
				return nil
			}, want: T0, sent: []string{off, on, "SetParameters 1100000A00"}},
		{name: "the reader stays with another protocol", class: class(FeatureTPDU | FeatureAutoPPS),
			atr: atrT0, accept: T0,
			tweak: func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.SetParameters {
					return [][]byte{respond(m, pipe.Parameters, 0, 0, 1, 0x11, 0x10, 0, 0x4D, 0,
						0x20, 0)}
				}
				return nil
			}, err: ErrNoProtocol, sent: []string{off, on, "SetParameters 1100000A00"}},
		{name: "the reader reports the protocol that it has chosen",
			class: class(FeatureShortAPDU | FeatureAutoParameters), atr: atrBoth, accept: T0 | T1,
			tweak: func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.GetParameters {
					return [][]byte{respond(m, pipe.Parameters, 0, 0, 1, 0x96, 0x10, 0, 0x45, 0,
						0xFE, 0)}
				}
				return nil
			}, want: T1, sent: []string{off, on, "GetParameters"}},
		{name: "the reader has chosen another protocol and takes the caller's",
			class: class(FeatureShortAPDU | FeatureAutoParameters), atr: atrBoth, accept: T1,
			want: T1,
			sent: []string{off, on, "GetParameters", "SetParameters 010000 9610004500FE00"}},
		{name: "an answer without parameters leaves the card's protocol (QEMU's reader)",
			class: class(FeatureTPDU | FeatureAutoParameters | FeatureAutoIFSD),
			atr:   atrT1, accept: T0 | T1,
			tweak: func(m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.GetParameters {
					return [][]byte{append(respond(m, pipe.Parameters, 0, 0, 0), 0x11, 0, 0, 10, 0)}
				}
				return nil
			}, want: T1, sent: []string{off, on, "GetParameters"}},
		{name: "data rate and clock are set where the reader does not derive them",
			class: func() ClassDescriptor {
				c := class(FeatureTPDU | FeatureAutoPPS)
				c.Features &^= FeatureAutoBaud
				return c
			}(), atr: atrFast, accept: T0, want: T0,
			sent: []string{off, on, "SetParameters 9600000A00",
				"SetDataRateAndClockFrequency A00F000090D00300"}},
		{name: "clock stop as the card allows",
			class: class(FeatureShortAPDU | FeatureAutoPPS | FeatureClockStop),
			atr:   sealed(0x3B, 0x80, 0x80, 0x1F, 0xC3), accept: T0, want: T0,
			sent: []string{off, on, "SetParameters 1100000A03"}},
		{name: "CRC and IFSC of T=1", class: class(FeatureTPDU | FeatureAutoPPS | FeatureAutoIFSD),
			atr: atrT1CRC, accept: T1, want: T1,
			sent: []string{off, on, "SetParameters 010000 11110045002000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				healthy := ordinary(c.atr, c.xfr)
				f := newFake(c.class, nil)
				f.answer = func(f *fake, m []byte) [][]byte {
					if c.tweak != nil {
						if b := c.tweak(m); b != nil {
							return b
						}
					}
					return healthy(f, m)
				}
				f.control = func(_ *fake, s usb.Setup, data []byte) (int, error) {
					if s.Request != pipe.RequestGetDataRates || c.rates == nil {
						return 0, usb.ErrStall
					}
					for i, r := range c.rates {
						data[4*i], data[4*i+1], data[4*i+2] = byte(r), byte(r>>8), byte(r>>16)
					}
					return 4 * len(c.rates), nil
				}
				s := open(t, f, Options{})
				from := len(f.sent)
				p, err := s.Connect(context.Background(), c.accept, ColdReset)
				if p != c.want || !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Errorf("%v, %v; want %v, %v", p, err, c.want, c.err)
				}
				expectSent(t, f, from, c.sent...)
				if s.Protocol() != c.want {
					t.Errorf("protocol %v", s.Protocol())
				}
			})
		})
	}
}

// sealed1 is a T=1 block with its redundancy code.
func sealed1(b ...byte) []byte {
	var x byte
	for _, c := range b {
		x ^= c
	}
	return append(b, x)
}

func TestConnectAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureTPDU), ordinary(atrFast, func(_, p []byte) []byte { return p }))
		s := connected(t, f, Options{})
		ctx := context.Background()
		from := len(f.sent)
		if p, err := s.Connect(ctx, T0|T1, Leave); p != T0 || err != nil {
			t.Fatal(p, err)
		}
		expectSent(t, f, from, "GetSlotStatus") // no second PPS
		if _, err := s.Connect(ctx, T1, Leave); !errors.Is(err, ErrNoProtocol) {
			t.Fatal(err)
		}
		from = len(f.sent)
		if _, err := s.Connect(ctx, T0, WarmReset); err != nil {
			t.Fatal(err)
		}
		expectSent(t, f, from, "IccPowerOn", "XfrBlock FF109679", "SetParameters 9600000A00")
		for _, bad := range []struct {
			accept Protocol
			a      Action
		}{{0, Leave}, {Raw, ColdReset}, {T0, Unpower}, {T0, Eject}, {T0, 77}} {
			if _, err := s.Connect(ctx, bad.accept, bad.a); !errors.Is(err, ErrInvalid) {
				t.Errorf("%v, %d: %v", bad.accept, bad.a, err)
			}
		}
	})
}

func TestDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), ordinary(atrT0, nil))
		s := connected(t, f, Options{})
		ctx := context.Background()
		from := len(f.sent)
		for _, a := range []Action{Leave, Unpower} {
			if err := s.Disconnect(ctx, a); err != nil {
				t.Fatal(a, err)
			}
		}
		expectSent(t, f, from, "IccPowerOff")
		if s.LastState() != Inactive || s.ATR() != nil || s.Protocol() != Undefined {
			t.Fatal(s.LastState(), s.ATR(), s.Protocol())
		}
		var r [4]byte
		if _, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); !errors.Is(err, ErrNotPowered) ||
			errors.Is(err, ErrCardChanged) {
			t.Fatal(err)
		}
		if err := s.Disconnect(ctx, Eject); !errors.Is(err, ErrUnsupported) {
			t.Fatal(err)
		}
		if err := s.Disconnect(ctx, 9); !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	})
}
