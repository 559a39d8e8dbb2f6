package ccid

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/scard"
)

func TestVoltages(t *testing.T) {
	manual := func(supports byte) ClassDescriptor {
		c := class(FeatureShortAPDU | FeatureAutoParameters)
		c.Features &^= FeatureAutoVoltage
		c.VoltageSupport = supports
		return c
	}
	for _, c := range []struct {
		name  string
		class ClassDescriptor
		order []Voltage
		works byte // bPowerSelect at which the card answers, 0xFF for none
		code  byte // of the failure
		atr   []byte
		sent  []string
		err   error
	}{
		{name: "a reader that chooses is asked once",
			class: class(FeatureShortAPDU | FeatureAutoParameters), works: 0, atr: atrT0,
			sent: []string{"IccPowerOff", "IccPowerOn"}},
		{name: "5 V first", class: manual(7), works: 1, atr: atrT0,
			sent: []string{"IccPowerOff", "IccPowerOn 010000"}},
		{name: "then 1.8 V, then 3 V", class: manual(7), works: 2, code: pipe.CodeMute, atr: atrT0,
			sent: []string{"IccPowerOff", "IccPowerOn 010000", "IccPowerOff", "IccPowerOn 030000",
				"IccPowerOff", "IccPowerOn 020000"}},
		{name: "voltages that the reader does not have are left out", class: manual(3), works: 2,
			code: pipe.CodeOffsetPower, atr: atrT0,
			sent: []string{"IccPowerOff", "IccPowerOn 010000", "IccPowerOff", "IccPowerOn 020000"}},
		{name: "the caller's order", class: manual(7), order: []Voltage{Voltage3, Voltage5},
			works: 2, atr: atrT0,
			sent: []string{"IccPowerOff", "IccPowerOn 020000"}},
		{name: "a descriptor without voltages means 5 V", class: manual(0), works: 1, atr: atrT0,
			sent: []string{"IccPowerOff", "IccPowerOn 010000"}},
		{name: "a mute card is mute at every voltage", class: manual(3), works: 0xFF,
			code: pipe.CodeMute, err: ErrMute,
			sent: []string{"IccPowerOff", "IccPowerOn 010000", "IccPowerOff", "IccPowerOn 020000"}},
		{name: "a failure that is not the voltage's ends it", class: manual(7), works: 0xFF,
			code: pipe.CodeAborted, err: ErrAborted,
			// the abort is finished, see exec
			sent: []string{"IccPowerOff", "IccPowerOn 010000", "GetSlotStatus",
				"IccPowerOn 010000"}},
		{name: "the class indicator asks for 3 V", class: manual(7), works: 1, atr: atrClassB,
			sent: []string{"IccPowerOff", "IccPowerOn 010000", "IccPowerOff", "IccPowerOn 020000"}},
		{name: "the class indicator asks for what the reader does not have", class: manual(1),
			works: 1, atr: atrClassB,
			sent: []string{"IccPowerOff", "IccPowerOn 010000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				healthy := ordinary(c.atr, nil)
				f := newFake(c.class, func(f *fake, m []byte) [][]byte {
					if pipe.MessageType(m[0]) == pipe.IccPowerOn && m[7] != c.works &&
						(c.works == 0xFF || c.code != 0) {
						return [][]byte{respond(m, pipe.DataBlock,
							pipe.StatusFailed|pipe.ICCInactive, c.code, 0)}
					}
					return healthy(f, m)
				})
				s := open(t, f, Options{Voltages: c.order})
				from := len(f.sent)
				atr, err := s.PowerOn(context.Background())
				if !errors.Is(err, c.err) || c.err == nil &&
					(err != nil || !bytes.Equal(atr, c.atr)) {
					t.Errorf("% X, %v", atr, err)
				}
				expectSent(t, f, from, c.sent...)
			})
		})
	}
}

func TestAnswersToReset(t *testing.T) {
	damaged := append([]byte(nil), atrT1...)
	damaged[3] ^= 1
	for _, c := range []struct {
		name    string
		answers [][]byte // one for each IccPowerOn, the last for ever
		want    []byte
		err     error
	}{
		{"a damaged one is asked for again", [][]byte{damaged, atrT1}, atrT1, nil},
		{"a wrong check character that comes twice is the card's own", [][]byte{damaged}, damaged,
			nil},
		{"two different damaged ones are refused", [][]byte{damaged, {0x3B, 0x80, 0x01, 0x77}}, nil,
			ErrBadATR},
		{"historical bytes that are missing twice are the card's own", [][]byte{{0x3B, 0x03, 0x41}},
			[]byte{0x3B, 0x03, 0x41}, nil},
		{"another TS is refused", [][]byte{{0x3A, 0x00}}, nil, ErrBadATR},
		{"none at all", [][]byte{{}}, nil, ErrBadATR},
		{"one byte", [][]byte{{0x3B}}, nil, ErrBadATR},
		// libccid 1c3957a, ba4775a: an answer to reset longer than the room for it.
		{"34 bytes", [][]byte{append([]byte{0x3B, 0x0F}, make([]byte, 32)...)}, nil, ErrBadATR},
		{"250 bytes", [][]byte{make([]byte, 250)}, nil, ErrBadATR},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				healthy := ordinary(nil, nil)
				f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
					func(f *fake, m []byte) [][]byte {
						if pipe.MessageType(m[0]) == pipe.IccPowerOn {
							b := c.answers[min(n, len(c.answers)-1)]
							n++
							return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, b...)}
						}
						return healthy(f, m)
					})
				s := open(t, f, Options{})
				got, err := s.PowerOn(context.Background())
				if !errors.Is(err, c.err) || c.err == nil && err != nil ||
					!bytes.Equal(got, c.want) {
					t.Fatalf("% X, %v", got, err)
				}
				if c.err != nil && s.ATR() != nil {
					t.Fatalf("keeps % X", s.ATR())
				}
			})
		})
	}
}

func TestEmptySlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
			func(_ *fake, m []byte) [][]byte {
				switch pipe.MessageType(m[0]) {
				case pipe.GetSlotStatus, pipe.IccPowerOff, pipe.Abort:
					return [][]byte{respond(m, pipe.SlotStatus, pipe.ICCAbsent, 0, 0)}
				}
				return [][]byte{respond(m, pipe.MessageType(m[0]).Response(),
					pipe.StatusFailed|pipe.ICCAbsent, pipe.CodeMute, 0)}
			})
		s := open(t, f, Options{})
		ctx := context.Background()
		if state, err := s.State(ctx); state != Absent || err != nil {
			t.Fatal(state, err)
		}
		for _, a := range []Action{Leave, ColdReset, WarmReset} {
			if _, err := s.Connect(ctx, T0, a); !errors.Is(err, ErrNoCard) {
				t.Errorf("connect %d: %v", a, err)
			}
			if err := s.Disconnect(ctx, a); err != nil {
				t.Errorf("disconnect %d: %v", a, err)
			}
		}
		if err := s.Disconnect(ctx, Unpower); err != nil {
			t.Error(err)
		}
		var r [4]byte
		if _, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); !errors.Is(err, ErrNoCard) {
			t.Error(err)
		}
		if _, err := s.GetAttrib(ctx, scard.AttrATRString); !errors.Is(err, ErrNoCard) {
			t.Error(err)
		}
	})
}

func TestISOMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		switched := false
		healthy := ordinary(atrT0, nil)
		f := newFake(class(FeatureTPDU|FeatureAutoParameters), func(f *fake, m []byte) [][]byte {
			switch {
			case pipe.MessageType(m[0]) == pipe.Escape &&
				bytes.Equal(m[pipe.HeaderSize:], []byte{0x1F, 0x01}):
				switched = true
				return [][]byte{respond(m, pipe.EscapeResponse, pipe.ICCInactive, 0, 0)}
			case pipe.MessageType(m[0]) == pipe.IccPowerOn && !switched:
				return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed|pipe.ICCInactive,
					errWrongMode, 0)}
			}
			return healthy(f, m)
		})
		f.dev.Descriptor = deviceBytes(0x08E6, 0x4433, 0x0100)
		s := open(t, f, Options{})
		from := len(f.sent)
		if _, err := s.PowerOn(context.Background()); err != nil {
			t.Fatal(err)
		}
		expectSent(t, f, from, "IccPowerOff", "IccPowerOn", "Escape 1F01", "IccPowerOn")
	})
}
