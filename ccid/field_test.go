package ccid

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/scard"
	"tamaccid/ccid/usb"
)

// Defects of other stacks, in the reports named here.

// CVE-2010-4530 (libccid) and similar defects: a length used as a signed number, in each type of
// response.
func TestFieldLengthsWithTheTopBitInEveryResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []uint32{0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFF6, 0xFFFFFFFF} {
			for _, at := range []pipe.MessageType{
				pipe.GetSlotStatus, pipe.IccPowerOn, pipe.IccPowerOff, pipe.SetParameters,
				pipe.GetParameters, pipe.XfrBlock, pipe.Secure, pipe.Escape,
				pipe.SetDataRateAndClockFrequency, pipe.Abort, pipe.Mechanical,
			} {
				c := class(FeatureShortAPDU)
				c.Features &^= FeatureAutoBaud
				c.PINSupport, c.Mechanical = 3, mechanicalEject
				if at == pipe.GetParameters {
					c.Features |= FeatureAutoParameters
				}
				struck, armed := 0, false
				healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
				f := newFake(c, func(f *fake, m []byte) [][]byte {
					if pipe.MessageType(m[0]) != at || !armed {
						return healthy(f, m)
					}
					struck++
					b := respond(m, at.Response(), 0, 0, 0, 1, 2)
					binary.LittleEndian.PutUint32(b[1:], n)
					return [][]byte{b}
				})
				f.control = func(*fake, usb.Setup, []byte) (int, error) { return 0, nil }
				s := open(t, f, Options{Escape: EscapeAlways})
				armed = true
				ctx := context.Background()
				var r [64]byte
				_, _ = s.Connect(ctx, T0, ColdReset)
				_, _ = s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:])
				_, _ = s.Control(ctx, ControlEscape, []byte{1})
				_, _ = s.Control(ctx, ControlVerifyPIN,
					append(make([]byte, 15), 4, 0, 0, 0, 0, 0x20, 0, 0))
				_, _ = s.State(ctx)
				_ = s.Disconnect(ctx, Eject)
				armed = false
				if struck == 0 && at != pipe.Abort {
					t.Errorf("%v was not sent", at)
				}
				if _, err := s.Connect(ctx, T0, ColdReset); err != nil {
					t.Errorf("%v with length %08X: %v", at, n, err)
				}
				if _, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); err != nil {
					t.Errorf("%v with length %08X: %v", at, n, err)
				}
			}
		}
	})
}

// libccid 346c3aa: an answer of two bytes to the negotiation of T=1, minus four.
func TestFieldShortAnswerToTheIFSDNegotiation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := range 4 {
			calls := 0
			f := newFake(class(FeatureTPDU|FeatureAutoPPS),
				ordinary(atrT1, func(_, p []byte) []byte {
					calls++
					switch {
					case calls <= 3:
						return make([]byte, n)
					case p[1] == 0xC0: // resynchronised
						return []byte{0, 0xE0, 0, 0xE0}
					}
					return sealed1(0, 0, 2, 0x90, 0)
				}))
			s := connected(t, f, Options{})
			var r [4]byte
			if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
}

// libccid 0ffad5a, edk2 UsbMass after PortReset, pcsc-lite CVE-2016-10109: the state is requested,
// and commands run, while the reader is closed.
func TestFieldUseDuringClose(t *testing.T) {
	for range 30 {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
			ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} }))
		f.notes <- []byte{0x50, 0x01} // what Open waits for
		s := open(t, f, Options{Notifications: true, Timing: &Timing{}})
		ctx := context.Background()
		if _, err := s.Connect(ctx, T0, ColdReset); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var uses atomic.Int32
		for _, use := range []func() error{
			func() error { _, err := s.State(ctx); return err }, func() error {
				var r [4]byte
				_, err := s.Transmit(ctx, []byte{0, 0, 0, 0},
					r[:])
				return err
			},
			func() error { _, err := s.GetAttrib(ctx, scard.AttrICCPresence); return err },
			func() error { _, err := s.WaitChange(ctx, s.Changes()); return err },
			func() error { s.Reader().Deliver([]byte{0x50, 0x01}); return s.Reader().lost() },
		} {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					err := use()
					uses.Add(1)
					runtime.Gosched() // goroutines are not preempted in firmware
					if errors.Is(err, ErrClosed) || errors.Is(err, ErrGone) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		for uses.Load() < 100 {
			runtime.Gosched()
		}
		if err := s.Reader().Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := s.Reader().Close(); err != nil {
			t.Fatal("closing twice:", err)
		}
	}
}

// OpenSC issue 393: a waiting time extension that adds up to days. libccid issue on endless
// extensions.
func TestFieldWaitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureTPDU|FeatureAutoPPS|FeatureAutoIFSD), ordinary(atrT1, nil))
		s := connected(t, f, Options{Timing: &Timing{}})
		for _, l := range []atr.Line{
			{FiDi: 0x11, Clock: 1, BWI: 9, CWI: 15, WI: 255, ExtraGuard: 254},
			{FiDi: 0x60, Clock: 0, BWI: 255, CWI: 255, WI: 255, ExtraGuard: 255},
			{FiDi: 0x11, Clock: 4000, BWI: 4, CWI: 13, WI: 10},
		} {
			s.line = l
			for _, wait := range []time.Duration{s.blockWait(255), s.blockWait(0),
				s.tpduWait(65536), s.apduWait(T0, 65536)} {
				if wait < policy.Answer || wait > policy.Limit {
					t.Errorf("%+v: %v", l, wait)
				}
			}
		}
	})
}

// libccid issue 84: the AU9540 fails at the rate of TA1 = 97.
func TestFieldAU9540KeepsBelowItsRealRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureTPDU), ordinary([]byte{0x3B, 0x10, 0x97},
			func(_, p []byte) []byte { return p }))
		f.dev.Descriptor = deviceBytes(0x058F, 0x9540, 0x0120)
		s := open(t, f, Options{})
		from := len(f.sent)
		if _, err := s.Connect(context.Background(), T0, ColdReset); err != nil {
			t.Fatal(err)
		}
		expectSent(t, f, from, "IccPowerOff", "IccPowerOn", "XfrBlock FF109976",
			"SetParameters 9900000A00")
		if rate := atr.BitRate(s.line.FiDi, 4000); rate > 200000 {
			t.Error(rate)
		}
	})
}

// VeraCrypt-DCS, libccid L-01: the answer to a command that timed out is taken for the next one's.
// QEMU's reader after a reply of 64 bytes: the zero-length packet left behind shifts all answers by
// one.
func TestFieldOneAnswerBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy := ordinary(atrT0,
			func(_, p []byte) []byte { return append(bytes.Repeat(p[3:4], 52), 0x90, 0) })
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
		f.answer = func(f *fake, m []byte) [][]byte {
			good := healthy(f, m)
			if len(good[0])%64 == 0 {
				good = append(good, []byte{})
			}
			return good
		}
		s := connected(t, f, Options{})
		var r [258]byte
		for i := range byte(20) {
			if n, err := s.Transmit(context.Background(), []byte{0, 0, 0, i}, r[:]); err != nil ||
				n != 54 || r[0] != i {
				t.Fatalf("exchange %d: % .4X, %v", i, r[:n], err)
			}
		}
	})
}

// ebfe/scard, UEFI-SmartCardReader U-12 to U-22: nothing is written beyond the caller's buffer,
// whatever the length is.
func TestFieldEveryBufferLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, level := range []Features{0, FeatureTPDU, FeatureShortAPDU, FeatureExtendedAPDU} {
			f := newFake(class(level|FeatureAutoParameters),
				ordinary(atrT0, func(m, p []byte) []byte {
					if level == 0 { // one status byte at a time
						if len(p) > 0 {
							return []byte{0x90}
						}
						return []byte{0}
					}
					return []byte{1, 2, 3, 4, 5, 6, 0x90, 0}
				}))
			s := connected(t, f, Options{})
			for n := range 12 {
				b := bytes.Repeat([]byte{0xEE}, 16)
				got, err := s.Transmit(context.Background(), []byte{0, 0xB0, 0, 0, 6}, b[:n])
				var short *ShortBufferError
				if err != nil && (!errors.As(err, &short) || short.Need <= n) ||
					!bytes.Equal(b[max(n, 0):], bytes.Repeat([]byte{0xEE}, 16-n)) {
					t.Errorf("%v, %d bytes: %d, %v, % X", level.Level(), n, got, err, b)
				}
			}
		}
	})
}

// A transport that violates its contract causes errors only.
func TestFieldTransportThatLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{-1, 1 << 20} {
			f := &lyingTransport{fake: newFake(class(FeatureShortAPDU), ordinary(atrT0, nil)), n: n}
			_, err := Open(context.Background(), f, Options{Timing: quick})
			if err == nil {
				t.Errorf("%d bytes taken", n)
			}
		}
		f := &lyingTransport{fake: newFake(class(FeatureShortAPDU), ordinary(atrT0, nil)),
			small: true}
		if _, err := Open(context.Background(), f, Options{Timing: quick}); !errors.Is(err,
			ErrDescriptor) {
			t.Error(err)
		}
	})
}

type lyingTransport struct {
	*fake
	n     int
	small bool
}

func (l *lyingTransport) In(context.Context, uint8, []byte, time.Duration) (int, error) {
	return l.n, nil
}

func (l *lyingTransport) MaxIn() int {
	if l.small {
		return 63
	}
	return 65536
}

func TestErrorsSayWhatHappened(t *testing.T) {
	err := fmt.Errorf("x: %w", &SlotError{0x42, 0xFE})
	var e *SlotError
	if !errors.As(err, &e) || !errors.Is(err, ErrNoCard) ||
		e.Error() != "ccid: reader reports status 42 error FE (ccid: no card)" {
		t.Error(err)
	}
	if !errors.Is(ErrCardChanged, ErrNotPowered) || !errors.Is(ErrClosed, ErrGone) {
		t.Error("hierarchy")
	}
}
