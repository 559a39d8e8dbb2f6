//go:build !tamago

package driver

import (
	"bytes"
	"testing"

	"tamaccid/ccid"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// fakeName is the name of fakeReader's slot in CHAR16, with its NUL.
var fakeName = []byte("F\x00a\x00k\x00e\x00 \x000\x00\x00\x00")

func TestSCardStatusSizes(t *testing.T) {
	const none = -1 // no buffer
	name, atr := uintptr(len(fakeName)), uintptr(len(atrT1))
	for _, c := range []struct {
		name              string
		nameRoom, atrRoom int // of the buffers
		nameLen, atrLen   uintptr
		want              uefi.Status
	}{
		{name: "room for both", nameRoom: 200, atrRoom: 33, nameLen: 200, atrLen: 33},
		{name: "room to the byte", nameRoom: int(name), atrRoom: int(atr), nameLen: name,
			atrLen: atr},
		{name: "a byte short for the name", nameRoom: int(name) - 1, atrRoom: 33, nameLen: name - 1,
			atrLen: 33, want: uefi.BufferTooSmall},
		{name: "a byte short for the ATR", nameRoom: 200, atrRoom: int(atr) - 1, nameLen: 200,
			atrLen: atr - 1, want: uefi.BufferTooSmall},
		{name: "both too small: both lengths are returned", nameRoom: 1, atrRoom: 1, nameLen: 1,
			atrLen: 1, want: uefi.BufferTooSmall},
		{name: "lengths without buffers ask for the sizes", nameRoom: none, atrRoom: none,
			want: uefi.BufferTooSmall},
		{name: "buffers of no size", nameRoom: 0, atrRoom: 0, want: uefi.BufferTooSmall},
		// CVE-2010-0407 (pcsc-lite): the caller's lengths.
		{name: "lengths of half the address space", nameRoom: int(name), atrRoom: int(atr),
			nameLen: half, atrLen: half},
		{name: "lengths of the whole address space", nameRoom: int(name), atrRoom: int(atr),
			nameLen: whole, atrLen: whole},
		{name: "huge lengths without buffers", nameRoom: none, atrRoom: none, nameLen: whole,
			atrLen: whole},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, _ := fakeReader(t)
			var nameAt, atrAt uintptr
			nameBuf, atrBuf := newBuffer(t, max(c.nameRoom, 0)), newBuffer(t, max(c.atrRoom, 0))
			if c.nameRoom != none {
				nameAt = nameBuf.at()
			}
			if c.atrRoom != none {
				atrAt = atrBuf.at()
			}
			nameLen, atrLen := place(t, c.nameLen), place(t, c.atrLen)
			state, protocol := place(t, smartcard.State(77)), place(t, smartcard.Protocol(77))
			st := call(d.status, r.address(), nameAt, addr(nameLen), addr(state), addr(protocol),
				atrAt, addr(atrLen))
			if st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if *nameLen != name || *atrLen != atr {
				t.Errorf("lengths %d and %d, want %d and %d", *nameLen, *atrLen, name, atr)
			}
			if *state != smartcard.Active || *protocol != smartcard.T1 {
				t.Errorf("state %v, protocol %v", *state, *protocol)
			}
			fits := func(what string, b *buffer, room, length, need uintptr, want []byte) {
				switch {
				case length < need && !b.untouched():
					t.Errorf("%s was written to a buffer of %d", what, length)
				case length >= need && b.n > 0 && !bytes.Equal(b.bytes()[:need], want):
					t.Errorf("%s: % x", what, b.bytes())
				}
			}
			fits("the name", nameBuf, uintptr(c.nameRoom), c.nameLen, name, fakeName)
			fits("the ATR", atrBuf, uintptr(c.atrRoom), c.atrLen, atr, atrT1)
		})
	}
}

func TestSCardStatusEveryArgumentIsOptional(t *testing.T) {
	type args struct{ name, nameLen, state, protocol, atr, atrLen bool }
	for _, c := range []struct {
		name string
		args
		want uefi.Status
	}{
		{name: "nothing is asked for"},
		{name: "the state alone", args: args{state: true}},
		{name: "the protocol alone", args: args{protocol: true}},
		{name: "the name alone", args: args{name: true, nameLen: true}},
		{name: "the ATR alone", args: args{atr: true, atrLen: true}},
		{name: "everything but the ATR", args: args{name: true, nameLen: true, state: true,
			protocol: true}},
		{name: "a name without its length", args: args{name: true, state: true, protocol: true,
			atr: true, atrLen: true}, want: uefi.InvalidParameter},
		{name: "an ATR without its length", args: args{name: true, nameLen: true, state: true,
			protocol: true, atr: true}, want: uefi.InvalidParameter},
		{name: "name and ATR without lengths", args: args{name: true, atr: true},
			want: uefi.InvalidParameter},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			name, atr := newBuffer(t, 64), newBuffer(t, 33)
			nameLen, atrLen := place(t, uintptr(64)), place(t, uintptr(33))
			state, protocol := place(t, smartcard.State(77)), place(t, smartcard.Protocol(77))
			given := func(yes bool, at uintptr) uintptr {
				if yes {
					return at
				}
				return 0
			}
			st := call(d.status, r.address(), given(c.args.name, name.at()),
				given(c.nameLen, addr(nameLen)), given(c.state, addr(state)),
				given(c.protocol, addr(protocol)), given(c.atr, atr.at()),
				given(c.atrLen, addr(atrLen)))
			if st != c.want {
				t.Fatalf("status %v, want %v", st, c.want)
			}
			good := st == uefi.Success
			if !good && f.log != nil {
				t.Errorf("the slot was asked: %s", f.calls())
			}
			for what, written := range map[string]struct{ got, want bool }{
				"name":        {!name.untouched(), good && c.args.name},
				"name length": {*nameLen != 64, good && c.nameLen},
				"state":       {*state != 77, good && c.state},
				"protocol":    {*protocol != 77, good && c.protocol},
				"ATR":         {!atr.untouched(), good && c.atr},
				"ATR length":  {*atrLen != 33, good && c.atrLen},
			} {
				if written.got != written.want {
					t.Errorf("%s written: %v, want %v", what, written.got, written.want)
				}
			}
		})
	}
}

func TestSCardStatusOfASlot(t *testing.T) {
	for _, c := range []struct {
		name         string
		state        ccid.State
		protocol     ccid.Protocol
		atr          []byte
		err          error
		want         uefi.Status
		wantIs       smartcard.State
		wantProtocol smartcard.Protocol
	}{
		{name: "no card", state: ccid.Absent, wantIs: smartcard.Absent},
		{name: "a card without power", state: ccid.Inactive, wantIs: smartcard.Inactive},
		{name: "a card with power that no connection to", state: ccid.Active, atr: atrT1,
			wantIs: smartcard.Active},
		{name: "a card that the reader powered by itself, whose ATR is unknown", state: ccid.Active,
			wantIs: smartcard.Active},
		{name: "a card with T=0", state: ccid.Active, protocol: ccid.T0, atr: atrT1,
			wantIs: smartcard.Active, wantProtocol: smartcard.T0},
		{name: "a card with T=1", state: ccid.Active, protocol: ccid.T1, atr: atrT1,
			wantIs: smartcard.Active, wantProtocol: smartcard.T1},
		{name: "a reader without a state", state: ccid.Unknown, wantIs: smartcard.Unknown},
		{name: "a reader just unplugged", err: ccid.ErrGone, want: uefi.DeviceError},
		{name: "a reader that does not answer", err: ccid.ErrTimeout, want: uefi.DeviceError},
		{name: "a reader that breaks its protocol", err: ccid.ErrProtocol, want: uefi.DeviceError},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, held := range []smartcard.AccessMode{0, smartcard.AccessReader,
				smartcard.AccessCard} {
				d, r, f := fakeReader(t)
				r.held = held
				f.state, f.protocol, f.atr, f.stateErr = c.state, c.protocol, c.atr, c.err
				checkStatus(t, d, r, c.want, c.wantIs, c.wantProtocol, c.atr)
				if r.held != held {
					t.Error("the connection has changed")
				}
			}
		})
	}
}

func checkStatus(t *testing.T, d *Driver, r *reader, want uefi.Status, is smartcard.State,
	active smartcard.Protocol, reset []byte) {
	t.Helper()
	state, protocol := place(t, smartcard.State(77)), place(t, smartcard.Protocol(77))
	atr, atrLen := newBuffer(t, 33), place(t, uintptr(33))
	st := call(d.status, r.address(), 0, 0, addr(state), addr(protocol), atr.at(), addr(atrLen))
	if st != want {
		t.Fatalf("status %v, want %v", st, want)
	}
	if st != uefi.Success {
		return
	}
	if *state != is || *protocol != active || *atrLen != uintptr(len(reset)) ||
		!bytes.Equal(atr.bytes()[:*atrLen], reset) {
		t.Errorf("%v, %v, ATR % x; want %v, %v, % x", *state, *protocol, atr.bytes()[:*atrLen], is,
			active, reset)
	}
}
