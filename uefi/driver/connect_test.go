//go:build !tamago

package driver

import (
	"errors"
	"fmt"
	"testing"

	"tamaccid/ccid"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

func TestConnect(t *testing.T) {
	const untouched = smartcard.Protocol(77)
	const reader, card = smartcard.AccessReader, smartcard.AccessCard
	const both = smartcard.T0 | smartcard.T1
	for _, c := range []struct {
		name      string
		mode      smartcard.AccessMode
		action    smartcard.Action
		protocols smartcard.Protocol
		answer    ccid.Protocol // of the card
		err       error         // of the card
		want      uefi.Status
		active    smartcard.Protocol
		asked     string
	}{
		{name: "a card with T=1", mode: card, action: smartcard.ColdReset, protocols: both,
			answer: ccid.T1, active: smartcard.T1, asked: "connect"},
		{name: "a card with T=0", mode: card, action: smartcard.WarmReset, protocols: both,
			answer: ccid.T0, active: smartcard.T0, asked: "connect"},
		{name: "a card without a reset", mode: card, action: smartcard.NoReset,
			protocols: smartcard.T1, answer: ccid.T1, active: smartcard.T1, asked: "connect"},
		{name: "a card, raw or T=0", mode: card, protocols: smartcard.Raw | smartcard.T0,
			answer: ccid.T0, active: smartcard.T0, asked: "connect"},
		{name: "the reader, no card is touched", mode: reader, active: smartcard.Undefined},

		{name: "no access mode", mode: 0, want: uefi.InvalidParameter, active: untouched},
		{name: "an access mode that does not exist", mode: 3, want: uefi.InvalidParameter,
			active: untouched},
		{name: "the reader with a cold reset", mode: reader, action: smartcard.ColdReset,
			want: uefi.InvalidParameter, active: untouched},
		{name: "the reader with a warm reset", mode: reader, action: smartcard.WarmReset,
			want: uefi.InvalidParameter, active: untouched},
		{name: "the reader with a protocol", mode: reader, protocols: smartcard.T0,
			want: uefi.InvalidParameter, active: untouched},
		{name: "a card without a protocol", mode: card, action: smartcard.ColdReset,
			want: uefi.InvalidParameter, active: untouched},
		{name: "a card with an unknown protocol", mode: card, protocols: 8 | both,
			want: uefi.InvalidParameter, active: untouched},
		{name: "a card with all protocols there could be", mode: card, protocols: 0xffffffff,
			want: uefi.InvalidParameter, active: untouched},
		{name: "a card with the action unpower", mode: card, action: smartcard.Unpower,
			protocols: both, want: uefi.InvalidParameter, active: untouched},
		{name: "a card with the action eject", mode: card, action: smartcard.Eject, protocols: both,
			want: uefi.InvalidParameter, active: untouched},
		{name: "a card with an unknown action", mode: card, action: 0xffffffff, protocols: both,
			want: uefi.InvalidParameter, active: untouched},

		{name: "raw alone", mode: card, protocols: smartcard.Raw, want: uefi.Unsupported,
			active: untouched},
		{name: "no common protocol", mode: card, protocols: smartcard.T0, err: ccid.ErrNoProtocol,
			want: uefi.Unsupported, active: untouched, asked: "connect"},
		{name: "no card", mode: card, protocols: both, err: ccid.ErrNoCard, want: uefi.NoMedia,
			active: untouched, asked: "connect"},
		{name: "a card that does not answer the reset", mode: card, protocols: both,
			err: ccid.ErrMute, want: uefi.NotReady, active: untouched, asked: "connect"},
		{name: "a card that answers the reset with garbage", mode: card, protocols: both,
			err: ccid.ErrBadATR, want: uefi.NotReady, active: untouched, asked: "connect"},
		{name: "a card swapped during the reset", mode: card, protocols: both,
			err: ccid.ErrCardChanged, want: uefi.NotReady, active: untouched, asked: "connect"},
		{name: "parity errors", mode: card, protocols: both, err: ccid.ErrParity,
			want: uefi.DeviceError, active: untouched, asked: "connect"},
		{name: "a reader that breaks its protocol", mode: card, protocols: both,
			err: ccid.ErrProtocol, want: uefi.DeviceError, active: untouched, asked: "connect"},
		{name: "a reader that does not answer", mode: card, protocols: both, err: ccid.ErrTimeout,
			want: uefi.DeviceError, active: untouched, asked: "connect"},
		{name: "a reader just unplugged", mode: card, protocols: both, err: ccid.ErrGone,
			want: uefi.DeviceError, active: untouched, asked: "connect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			f.connect = func(accept ccid.Protocol, a ccid.Action) (ccid.Protocol, error) {
				if uint32(accept) != uint32(c.protocols) || uint32(a) != uint32(c.action) {
					t.Errorf("the slot was asked for %v with action %d", accept, a)
				}
				if c.err != nil {
					return 0, fmt.Errorf("wrapped: %w", c.err)
				}
				return c.answer, nil
			}
			active := place(t, untouched)
			if st := call(d.connect, r.address(), uintptr(c.mode), uintptr(c.action),
				uintptr(c.protocols), addr(active)); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if *active != c.active || f.calls() != c.asked {
				t.Errorf("active protocol %v, want %v; the slot was asked %q, want %q", *active,
					c.active, f.calls(), c.asked)
			}
			// A failure leaves the reader free, success locks it.
			again := uefi.AccessDenied
			if c.want != uefi.Success {
				again = uefi.Success
			}
			if st := call(d.connect, r.address(), uintptr(reader), 0, 0,
				addr(active)); st != again {
				t.Errorf("the next connection: %v, want %v", st, again)
			}
		})
	}
}

func TestConnectReadsOnly32BitsOfItsArguments(t *testing.T) {
	const dirt = uintptr(0xdeadbeef) << 32 // a C compiler leaves the upper half undefined
	d, r, f := fakeReader(t)
	f.connect = func(accept ccid.Protocol, a ccid.Action) (ccid.Protocol, error) {
		if accept != ccid.T1 || a != ccid.ColdReset {
			t.Errorf("the slot was asked for %v with action %d", accept, a)
		}
		return ccid.T1, nil
	}
	f.disconnect = func(a ccid.Action) error { return nil }
	active := place(t, smartcard.Protocol(0))
	check(t, call(d.connect, r.address(), dirt|2, dirt|1, dirt|2,
		addr(active)))
	if st := call(d.disconnect, r.address(), dirt|3); st != uefi.Success || r.held != 0 {
		t.Error(st)
	}
}

func TestConnectWithoutAPlaceForTheProtocol(t *testing.T) {
	for _, mode := range []smartcard.AccessMode{smartcard.AccessReader, smartcard.AccessCard} {
		d, r, f := fakeReader(t)
		protocols := uintptr(0)
		if mode == smartcard.AccessCard {
			protocols = uintptr(smartcard.T1)
		}
		if st := call(d.connect, r.address(), uintptr(mode), 0, protocols,
			0); st != uefi.InvalidParameter || r.held != 0 || f.log != nil {
			t.Errorf("mode %d: %v, held by %d, asked %q", mode, st, r.held, f.calls())
		}
	}
}

func TestLock(t *testing.T) {
	for _, first := range []smartcard.AccessMode{smartcard.AccessReader, smartcard.AccessCard} {
		for _, second := range []smartcard.AccessMode{smartcard.AccessReader,
			smartcard.AccessCard} {
			t.Run(fmt.Sprintf("mode %d is refused while mode %d is connected", second, first),
				func(t *testing.T) {
					d, r, f := fakeReader(t)
					f.connect = func(ccid.Protocol, ccid.Action) (ccid.Protocol, error) {
						return ccid.T1, nil
					}
					f.disconnect = func(ccid.Action) error { return nil }
					active := place(t, smartcard.Protocol(0))
					connect := func(mode smartcard.AccessMode) uefi.Status {
						protocols := smartcard.Undefined
						if mode == smartcard.AccessCard {
							protocols = smartcard.T1
						}
						return call(d.connect, r.address(), uintptr(mode), 0, uintptr(protocols),
							addr(active))
					}
					must(t, connect(first))
					*active, f.log = 77, nil
					if st := connect(second); st != uefi.AccessDenied || *active != 77 ||
						f.log != nil {
						t.Errorf("%v, protocol %v, the slot was asked %q", st, *active, f.calls())
					}
					check(t, call(d.disconnect, r.address(), 0))
					check(t, connect(second))
				})
		}
	}
}

func TestLockOfOneReaderIsNotThatOfAnother(t *testing.T) {
	d, a, _ := fakeReader(t)
	b := d.readers.new("", &fakeSlot{t: t}, smartcard.Table{})
	active := place(t, smartcard.Protocol(0))
	for _, r := range []*reader{a, b} {
		check(t, call(d.connect, r.address(), uintptr(smartcard.AccessReader), 0, 0,
			addr(active)))
	}
}

func TestDisconnect(t *testing.T) {
	const free, reader, card = smartcard.AccessMode(0), smartcard.AccessReader, smartcard.AccessCard
	for _, c := range []struct {
		name   string
		held   smartcard.AccessMode
		action smartcard.Action
		err    error
		want   uefi.Status
		after  smartcard.AccessMode
		asked  string
	}{
		{name: "a card, left as it is", held: card, action: smartcard.NoReset, asked: "disconnect"},
		{name: "a card, with a cold reset", held: card, action: smartcard.ColdReset,
			asked: "disconnect"},
		{name: "a card, with a warm reset", held: card, action: smartcard.WarmReset,
			asked: "disconnect"},
		{name: "a card, without power", held: card, action: smartcard.Unpower, asked: "disconnect"},
		{name: "a card, ejected", held: card, action: smartcard.Eject, asked: "disconnect"},
		{name: "the reader", held: reader, action: smartcard.NoReset, asked: "disconnect"},
		{name: "no connection", held: free, action: smartcard.NoReset},
		{name: "no connection: the card stays powered", held: free, action: smartcard.Unpower},
		{name: "no connection: nothing is ejected", held: free, action: smartcard.Eject},
		{name: "the card has gone", held: card, action: smartcard.Unpower, err: ccid.ErrNoCard,
			asked: "disconnect"},
		{name: "an action that does not exist", held: card, action: 5, want: uefi.InvalidParameter,
			after: card},
		{name: "an action that does not exist, no connection", held: free, action: 0xffffffff,
			want: uefi.InvalidParameter},
		{name: "a reader that cannot eject: the connection stays", held: card,
			action: smartcard.Eject, err: ccid.ErrUnsupported, want: uefi.Unsupported, after: card,
			asked: "disconnect"},
		{name: "a reader that cannot power off: the connection ends", held: card,
			action: smartcard.Unpower, err: ccid.ErrUnsupported, want: uefi.DeviceError,
			asked: "disconnect"},
		{name: "a card that has no protocol after its reset: the connection ends", held: card,
			action: smartcard.ColdReset, err: ccid.ErrNoProtocol, want: uefi.DeviceError,
			asked: "disconnect"},
		{name: "a card mute after its reset: the connection ends", held: card,
			action: smartcard.WarmReset, err: ccid.ErrMute, want: uefi.DeviceError,
			asked: "disconnect"},
		{name: "a reader that does not answer: the connection ends", held: card,
			action: smartcard.Unpower, err: ccid.ErrTimeout, want: uefi.DeviceError,
			asked: "disconnect"},
		{name: "a reader just unplugged: the connection ends", held: reader,
			action: smartcard.NoReset, err: ccid.ErrGone, want: uefi.DeviceError,
			asked: "disconnect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			r.held = c.held
			f.disconnect = func(a ccid.Action) error {
				if uint32(a) != uint32(c.action) {
					t.Errorf("the slot was asked for action %d", a)
				}
				return c.err
			}
			if st := call(d.disconnect, r.address(), uintptr(c.action)); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if r.held != c.after || f.calls() != c.asked {
				t.Errorf("held by %d, want %d; the slot was asked %q, want %q", r.held, c.after,
					f.calls(), c.asked)
			}
		})
	}
}

func TestDisconnectTwice(t *testing.T) {
	d, r, f := fakeReader(t)
	r.held = smartcard.AccessCard
	f.disconnect = func(ccid.Action) error {
		if len(f.log) > 1 {
			return errors.New("asked twice")
		}
		return nil
	}
	for range 2 {
		check(t, call(d.disconnect, r.address(), uintptr(smartcard.Unpower)))
	}
}
