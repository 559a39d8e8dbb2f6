//go:build !tamago

package driver

import (
	"bytes"
	"fmt"
	"testing"

	"tamaccid/ccid"
	"tamaccid/ccid/scard"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

var (
	command  = []byte{0x00, 0xA4, 0x04, 0x00}
	response = []byte("Hello world!\x90\x00")
)

// respond answers as a slot does.
func respond(_, rapdu []byte) (int, error) {
	if len(rapdu) < len(response) {
		return 0, fmt.Errorf("wrapped: %w", &ccid.ShortBufferError{Need: len(response)})
	}
	return copy(rapdu, response), nil
}

func TestTransmitLengths(t *testing.T) {
	need := uintptr(len(response))
	for _, c := range []struct {
		name   string
		room   int
		length uintptr
		want   uefi.Status
	}{
		{name: "room enough", room: 256, length: 256},
		{name: "room to the byte", room: int(need), length: need},
		{name: "a byte short", room: int(need) - 1, length: need - 1, want: uefi.BufferTooSmall},
		{name: "one byte", room: 1, length: 1, want: uefi.BufferTooSmall},
		{name: "no byte", room: 0, length: 0, want: uefi.BufferTooSmall},
		{name: "half the address space", room: int(need), length: half},
		{name: "the whole address space", room: int(need), length: whole},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			r.held = smartcard.AccessCard
			f.transmit = func(capdu, rapdu []byte) (int, error) {
				if !bytes.Equal(capdu, command) || uintptr(len(rapdu)) > c.length {
					t.Errorf("the slot was given % x and room for %d", capdu, len(rapdu))
				}
				return respond(capdu, rapdu)
			}
			in, out, length := newBuffer(t, len(command)), newBuffer(t, c.room), place(t, c.length)
			copy(in.bytes(), command)
			if st := call(d.transmit, r.address(), in.at(), uintptr(len(command)), out.at(),
				addr(length)); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if *length != need {
				t.Errorf("length %d, want %d", *length, need)
			}
			if c.want != uefi.Success && !out.untouched() || c.want == uefi.Success &&
				!bytes.Equal(out.bytes()[:need], response) {
				t.Errorf("response % x", out.bytes())
			}
			if !bytes.Equal(in.bytes(), command) {
				t.Error("the command was written to")
			}
		})
	}
}

func TestTransmitArguments(t *testing.T) {
	in, out := newBuffer(t, maxAPDU+1), newBuffer(t, 256)
	length := place(t, uintptr(256))
	for _, c := range []struct {
		name        string
		in, inLen   uintptr
		out, outLen uintptr
		want        uefi.Status
		asked       bool
	}{
		{name: "a command", in: in.at(), inLen: 4, out: out.at(), outLen: addr(length),
			asked: true},
		{name: "the longest command", in: in.at(), inLen: maxAPDU, out: out.at(),
			outLen: addr(length), asked: true},
		{name: "no command", inLen: 4, out: out.at(), outLen: addr(length),
			want: uefi.InvalidParameter},
		{name: "neither command nor length", out: out.at(), outLen: addr(length),
			want: uefi.InvalidParameter},
		{name: "a command of no length", in: in.at(), out: out.at(), outLen: addr(length),
			want: uefi.InvalidParameter},
		{name: "a command of one byte", in: in.at(), inLen: 1, out: out.at(), outLen: addr(length),
			asked: true},
		{name: "a command longer than any", in: in.at(), inLen: maxAPDU + 1, out: out.at(),
			outLen: addr(length), want: uefi.InvalidParameter},
		{name: "a command of half the address space", in: in.at(), inLen: half, out: out.at(),
			outLen: addr(length), want: uefi.InvalidParameter},
		{name: "a command of the whole address space", in: in.at(), inLen: whole, out: out.at(),
			outLen: addr(length), want: uefi.InvalidParameter},
		{name: "no response buffer", in: in.at(), inLen: 4, outLen: addr(length),
			want: uefi.InvalidParameter},
		{name: "no response length", in: in.at(), inLen: 4, out: out.at(),
			want: uefi.InvalidParameter},
		{name: "neither response buffer nor length", in: in.at(), inLen: 4,
			want: uefi.InvalidParameter},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			r.held = smartcard.AccessCard
			*length = 256
			f.transmit = func(capdu, rapdu []byte) (int, error) {
				if uintptr(len(capdu)) != c.inLen {
					t.Errorf("the slot was given %d bytes", len(capdu))
				}
				return respond(capdu, rapdu)
			}
			if st := call(d.transmit, r.address(), c.in, c.inLen, c.out, c.outLen); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if asked := f.log != nil; asked != c.asked {
				t.Errorf("the slot was asked %q", f.calls())
			}
			if c.want != uefi.Success && *length != 256 {
				t.Errorf("length %d", *length)
			}
		})
	}
}

func TestTransmitNeedsAConnectionToTheCard(t *testing.T) {
	for _, c := range []struct {
		name  string
		held  smartcard.AccessMode
		state ccid.State
		err   error
		want  uefi.Status
	}{
		{name: "no connection, a card", state: ccid.Active, want: uefi.NotReady},
		{name: "no connection, a card without power", state: ccid.Inactive, want: uefi.NotReady},
		{name: "no connection, no card", state: ccid.Absent, want: uefi.NoMedia},
		{name: "the reader connected, a card", held: smartcard.AccessReader, state: ccid.Active,
			want: uefi.NotReady},
		{name: "the reader connected, no card", held: smartcard.AccessReader, state: ccid.Absent,
			want: uefi.NoMedia},
		{name: "no connection, a reader just unplugged", err: ccid.ErrGone, want: uefi.DeviceError},
		{name: "no connection, a reader that does not answer", err: ccid.ErrTimeout,
			want: uefi.Timeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			r.held, f.state, f.stateErr = c.held, c.state, c.err
			in, out, length := newBuffer(t, 4), newBuffer(t, 256), place(t, uintptr(256))
			if st := call(d.transmit, r.address(), in.at(), 4, out.at(),
				addr(length)); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if !out.untouched() || *length != 256 || f.calls() != "state" {
				t.Errorf("length %d, the slot was asked %q", *length, f.calls())
			}
		})
	}
}

// transferErrors are what SCardTransmit and SCardControl answer for a failure (UEFI 2.11, 37.6.5,
// 37.6.6).
var transferErrors = []struct {
	name string
	err  error
	want uefi.Status
}{
	{name: "the card was removed", err: ccid.ErrNoCard, want: uefi.NoMedia},
	{name: "the card has no power", err: ccid.ErrNotPowered, want: uefi.NotReady},
	{name: "the card was swapped", err: ccid.ErrCardChanged, want: uefi.NotReady},
	{name: "the card broke its protocol", err: ccid.ErrProtocol, want: uefi.ProtocolError},
	{name: "the card's characters are damaged", err: ccid.ErrParity, want: uefi.ProtocolError},
	{name: "the card does not answer", err: ccid.ErrMute, want: uefi.Timeout},
	{name: "the reader does not answer", err: ccid.ErrTimeout, want: uefi.Timeout},
	{name: "the slot is busy", err: ccid.ErrBusy, want: uefi.AccessDenied},
	{name: "the reader was unplugged", err: ccid.ErrGone, want: uefi.DeviceError},
	{name: "the USB transfer failed", err: ccid.ErrTransport, want: uefi.DeviceError},
}

func TestTransmitFailures(t *testing.T) {
	for _, c := range transferErrors {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			r.held = smartcard.AccessCard
			f.transmit = func(_, _ []byte) (int, error) {
				return 0, fmt.Errorf("wrapped: %w", c.err)
			}
			in, out, length := newBuffer(t, 4), newBuffer(t, 256), place(t, uintptr(256))
			if st := call(d.transmit, r.address(), in.at(), 4, out.at(),
				addr(length)); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if *length != 256 || r.held != smartcard.AccessCard {
				t.Errorf("length %d, held by %d", *length, r.held)
			}
		})
	}
}

func TestControlFailures(t *testing.T) {
	for _, c := range append(transferErrors[:len(transferErrors):len(transferErrors)], []struct {
		name string
		err  error
		want uefi.Status
	}{
		{name: "the control code is unknown", err: ccid.ErrUnsupported, want: uefi.Unsupported},
		{name: "the escape command is not allowed", err: ccid.ErrDenied, want: uefi.Unsupported},
		{name: "the input is too short", err: ccid.ErrInvalid, want: uefi.InvalidParameter},
		{name: "no PIN was typed", err: ccid.ErrPINTimeout, want: uefi.Timeout},
		{name: "the user gave up", err: ccid.ErrPINCancelled, want: uefi.Aborted},
	}...) {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			f.control = func(uint32, []byte) ([]byte, error) {
				return nil, fmt.Errorf("wrapped: %w", c.err)
			}
			out, length := newBuffer(t, 16), place(t, uintptr(16))
			if st := call(d.control, r.address(), 1, 0, 0, out.at(), addr(length)); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if !out.untouched() || *length != 16 {
				t.Errorf("length %d, output % x", *length, out.bytes())
			}
		})
	}
}

func TestControlBuffers(t *testing.T) {
	features := []byte{6, 4, 0x06, 0, 0x33, 0x42}
	need := uintptr(len(features))
	in, out, length := newBuffer(t, maxAPDU+1), newBuffer(t, len(features)), place(t, uintptr(0))
	const keep = uintptr(123456) // for a length that must stay
	for _, c := range []struct {
		name       string
		in, inLen  uintptr
		out        uintptr
		outLen     uintptr
		room       uintptr
		answer     []byte
		want       uefi.Status
		wantLen    uintptr
		unasked    bool
		wantOutput bool
	}{
		{name: "output alone", out: out.at(), outLen: addr(length), room: need, answer: features,
			wantLen: need, wantOutput: true},
		{name: "input and output", in: in.at(), inLen: 3, out: out.at(), outLen: addr(length),
			room: need, answer: features, wantLen: need, wantOutput: true},
		{name: "no buffer at all, and no answer", room: keep, wantLen: keep},
		{name: "input alone, and no answer", in: in.at(), inLen: 3, room: keep, wantLen: keep},
		{name: "an empty answer into a buffer", out: out.at(), outLen: addr(length), room: need,
			wantLen: 0},
		{name: "an input buffer of no length", in: in.at(), out: out.at(), outLen: addr(length),
			room: need, answer: features, wantLen: need, wantOutput: true},
		{name: "an answer that does not fit", out: out.at(), outLen: addr(length), room: need - 1,
			answer: features, want: uefi.BufferTooSmall, wantLen: need},
		{name: "an answer and a buffer of no size", out: out.at(), outLen: addr(length),
			answer: features, want: uefi.BufferTooSmall, wantLen: need},
		{name: "a length without buffer asks for the size", outLen: addr(length), answer: features,
			want: uefi.BufferTooSmall, wantLen: need},
		{name: "an answer without a buffer", room: keep, answer: features,
			want: uefi.InvalidParameter, wantLen: keep},
		{name: "an output length of half the address space", out: out.at(), outLen: addr(length),
			room: half, answer: features, wantLen: need, wantOutput: true},
		{name: "an output length of the whole address space", out: out.at(), outLen: addr(length),
			room: whole, answer: features, wantLen: need, wantOutput: true},
		{name: "an output buffer without length", out: out.at(), room: keep,
			want: uefi.InvalidParameter, wantLen: keep, unasked: true},
		{name: "an input length without buffer", inLen: 3, out: out.at(), outLen: addr(length),
			room: keep, want: uefi.InvalidParameter, wantLen: keep, unasked: true},
		{name: "the longest input", in: in.at(), inLen: maxAPDU, room: keep, wantLen: keep},
		{name: "an input longer than any", in: in.at(), inLen: maxAPDU + 1, room: keep,
			want: uefi.InvalidParameter, wantLen: keep, unasked: true},
		{name: "an input of half the address space", in: in.at(), inLen: half, room: keep,
			want: uefi.InvalidParameter, wantLen: keep, unasked: true},
		{name: "an input of the whole address space", in: in.at(), inLen: whole, room: keep,
			want: uefi.InvalidParameter, wantLen: keep, unasked: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			*length = c.room
			clear(out.bytes())
			copy(in.bytes(), "in!")
			answer := append([]byte(nil), c.answer...)
			f.control = func(code uint32, input []byte) ([]byte, error) {
				if code != 0x42330006 || uintptr(len(input)) != c.inLen || len(input) >= 3 &&
					string(input[:3]) != "in!" {
					t.Errorf("code %#x, input %.10q of %d bytes", code, input, len(input))
				}
				return answer, nil
			}
			const dirt = uintptr(1) << 40 // in the upper half of the code's register
			if st := call(d.control, r.address(), dirt|0x42330006, c.in, c.inLen, c.out,
				c.outLen); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			if *length != c.wantLen {
				t.Errorf("length %d, want %d", *length, c.wantLen)
			}
			want := make([]byte, len(features))
			if c.wantOutput {
				want = features
			}
			if !bytes.Equal(out.bytes(), want) {
				t.Errorf("output % x", out.bytes())
			}
			if (f.log == nil) != c.unasked {
				t.Errorf("the slot was asked %q", f.calls())
			}
			if !c.unasked && len(bytes.Trim(answer, "\x00")) != 0 {
				t.Error("the answer stays in the driver's memory")
			}
		})
	}
}

func TestControlReturnsTheSizeThatTheSlotRequires(t *testing.T) {
	d, r, f := fakeReader(t)
	f.control = func(uint32, []byte) ([]byte, error) {
		return nil, &ccid.ShortBufferError{Need: 300}
	}
	out, length := newBuffer(t, 4), place(t, uintptr(4))
	if st := call(d.control, r.address(), 1, 0, 0, out.at(),
		addr(length)); st != uefi.BufferTooSmall || *length != 300 {
		t.Errorf("%v, length %d", st, *length)
	}
	if st := call(d.control, r.address(), 1, 0, 0, 0, 0); st != uefi.BufferTooSmall {
		t.Errorf("without a length: %v", st)
	}
}

func TestControlAndGetAttribWorkWhoeverIsConnected(t *testing.T) {
	for _, by := range []smartcard.AccessMode{0, smartcard.AccessReader, smartcard.AccessCard} {
		d, r, f := fakeReader(t)
		r.held = by
		f.control = func(uint32, []byte) ([]byte, error) { return []byte{1}, nil }
		f.attrib = func(scard.Attrib) ([]byte, error) { return []byte{1}, nil }
		out, length := newBuffer(t, 1), place(t, uintptr(1))
		if st := call(d.control, r.address(), 1, 0, 0, out.at(),
			addr(length)); st != uefi.Success || r.held != by {
			t.Errorf("SCardControl, connected in mode %d: %v", by, st)
		}
		if st := call(d.getAttrib, r.address(), 1, out.at(), addr(length)); st != uefi.Success ||
			r.held != by {
			t.Errorf("SCardGetAttrib, connected in mode %d: %v", by, st)
		}
	}
}

func TestGetAttrib(t *testing.T) {
	need := uintptr(len(atrT1))
	out, length := newBuffer(t, len(atrT1)), place(t, uintptr(0))
	for _, c := range []struct {
		name    string
		out     uintptr
		outLen  uintptr
		room    uintptr
		value   []byte
		err     error
		want    uefi.Status
		wantLen uintptr
		unasked bool
	}{
		{name: "a value", out: out.at(), outLen: addr(length), room: need, value: atrT1,
			wantLen: need},
		{name: "an empty value", out: out.at(), outLen: addr(length), room: need, wantLen: 0},
		{name: "a length of half the address space", out: out.at(), outLen: addr(length),
			room: half, value: atrT1, wantLen: need},
		{name: "a length of the whole address space", out: out.at(), outLen: addr(length),
			room: whole, value: atrT1, wantLen: need},
		{name: "a byte short", out: out.at(), outLen: addr(length), room: need - 1, value: atrT1,
			want: uefi.BufferTooSmall, wantLen: need},
		{name: "one byte", out: out.at(), outLen: addr(length), room: 1, value: atrT1,
			want: uefi.BufferTooSmall, wantLen: need},
		{name: "no buffer", outLen: addr(length), room: need, want: uefi.InvalidParameter,
			wantLen: need, unasked: true},
		{name: "no length", out: out.at(), room: need, want: uefi.InvalidParameter, wantLen: need,
			unasked: true},
		{name: "neither buffer nor length", room: need, want: uefi.InvalidParameter, wantLen: need,
			unasked: true},
		{name: "a buffer of no length", out: out.at(), outLen: addr(length),
			want: uefi.InvalidParameter, unasked: true},
		{name: "an unknown attribute", out: out.at(), outLen: addr(length), room: 9,
			err: ccid.ErrUnsupported, want: uefi.Unsupported, wantLen: 9},
		{name: "an attribute of a card that is not there", out: out.at(), outLen: addr(length),
			room: 9, err: ccid.ErrNoCard, want: uefi.NoMedia, wantLen: 9},
		{name: "an attribute of a card without power", out: out.at(), outLen: addr(length), room: 9,
			err: ccid.ErrNotPowered, want: uefi.NotReady, wantLen: 9},
		{name: "a reader that breaks its protocol", out: out.at(), outLen: addr(length), room: 9,
			err: ccid.ErrProtocol, want: uefi.ProtocolError, wantLen: 9},
		{name: "a reader that does not answer", out: out.at(), outLen: addr(length), room: 9,
			err: ccid.ErrTimeout, want: uefi.Timeout, wantLen: 9},
		{name: "a reader just unplugged", out: out.at(), outLen: addr(length), room: 9,
			err: ccid.ErrGone, want: uefi.DeviceError, wantLen: 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			*length = c.room
			clear(out.bytes())
			f.attrib = func(tag scard.Attrib) ([]byte, error) {
				if tag != scard.AttrATRString {
					t.Errorf("attribute %#x", tag)
				}
				return append([]byte(nil), c.value...), c.err
			}
			if st := call(d.getAttrib, r.address(), uintptr(scard.AttrATRString)|1<<40, c.out,
				c.outLen); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			want := make([]byte, len(atrT1))
			if c.want == uefi.Success {
				copy(want, c.value)
			}
			if *length != c.wantLen || !bytes.Equal(out.bytes(), want) {
				t.Errorf("length %d, want %d; output % x", *length, c.wantLen, out.bytes())
			}
			if (f.log == nil) != c.unasked {
				t.Errorf("the slot was asked %q", f.calls())
			}
		})
	}
}
