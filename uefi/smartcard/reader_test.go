//go:build !tamago

package smartcard_test

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf16"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

// Attributes (PC/SC part 3, 3.1.4).
const (
	attrATRString = 0x00090303
	attrMaxInput  = 0x0007A007
)

// plug is firmware with a reader, and the one Reader that is found.
func plug(t *testing.T) (*uefitest.SmartCard, *smartcard.Reader) {
	t.Helper()
	p := uefitest.New(t).PlugSmartCard()
	all, err := smartcard.Readers()
	if err != nil || len(all) != 1 {
		t.Fatalf("readers: %v, %v", all, err)
	}
	return p, all[0]
}

// exchange makes SCardTransmit, SCardControl and SCardGetAttrib answer as f does.
func exchange(p *uefitest.SmartCard, f func(op string, code uint32, in, out []byte,
	size *uintptr) uefi.Status) {
	bytesAt := func(at, n uintptr) []byte { return unsafe.Slice(uefi.At[byte](at), n) }
	p.Set(&p.Table.Transmit, func(a []uintptr) uefi.Status {
		size := uefi.At[uintptr](a[4])
		return f("Transmit", 0, bytesAt(a[1], a[2]), bytesAt(a[3], *size), size)
	})
	p.Set(&p.Table.Control, func(a []uintptr) uefi.Status {
		size := uefi.At[uintptr](a[5])
		return f("Control", uint32(a[1]), bytesAt(a[2], a[3]), bytesAt(a[4], *size), size)
	})
	p.Set(&p.Table.GetAttrib, func(a []uintptr) uefi.Status {
		size := uefi.At[uintptr](a[3])
		return f("GetAttrib", uint32(a[1]), nil, bytesAt(a[2], *size), size)
	})
}

func TestConnect(t *testing.T) {
	for _, c := range []struct {
		name       string
		mode       smartcard.AccessMode
		preferred  smartcard.Protocol
		answer     uefi.Status
		active     uint32
		want       smartcard.Protocol
		err        error
		disconnect bool
	}{
		{name: "a card with T=1", mode: smartcard.AccessCard,
			preferred: smartcard.T0 | smartcard.T1, active: 2, want: smartcard.T1},
		{name: "a card with T=0", mode: smartcard.AccessCard,
			preferred: smartcard.T0 | smartcard.T1, active: 1, want: smartcard.T0},
		{name: "the reader alone", mode: smartcard.AccessReader, active: 0},
		{name: "the reader alone, and the driver writes a protocol", mode: smartcard.AccessReader,
			active: 2},
		{name: "no card", mode: smartcard.AccessCard, preferred: smartcard.T0 | smartcard.T1,
			answer: uefi.NoMedia, err: uefi.NoMedia},
		{name: "a warning is success", mode: smartcard.AccessCard, preferred: smartcard.T1,
			answer: uefi.WarnStaleData, active: 2, want: smartcard.T1},
		{name: "success without a protocol is a card without power", mode: smartcard.AccessCard,
			preferred: smartcard.T1, active: 0, err: uefi.NotReady, disconnect: true},
		{name: "two protocols at once", mode: smartcard.AccessCard,
			preferred: smartcard.T0 | smartcard.T1, active: 3, err: smartcard.ErrProducer,
			disconnect: true},
		{name: "a protocol that was not asked for", mode: smartcard.AccessCard,
			preferred: smartcard.T0, active: 2, err: smartcard.ErrProducer, disconnect: true},
		{name: "garbage for a protocol", mode: smartcard.AccessCard,
			preferred: smartcard.T0 | smartcard.T1, active: 0xffffffff, err: smartcard.ErrProducer,
			disconnect: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, r := plug(t)
			p.Set(&p.Table.Connect, func(a []uintptr) uefi.Status {
				if a[1] != uintptr(c.mode) || a[2] != uintptr(smartcard.ColdReset) ||
					a[3] != uintptr(c.preferred) {
					t.Errorf("SCardConnect(%d, %d, %d)", a[1], a[2], a[3])
				}
				*uefi.At[uint32](a[4]) = c.active
				return c.answer
			})
			got, err := r.Connect(c.mode, smartcard.ColdReset, c.preferred)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, c.want, c.err)
			}
			if (len(p.Log) == 1) != c.disconnect || c.disconnect && p.Log[0] != "disconnect 0" {
				t.Errorf("calls: %v", p.Log)
			}
		})
	}
}

// writeName stores text as a producer does.
func writeName(at *uint16, text string, nul bool) uintptr {
	wide := utf16.Encode([]rune(text))
	if nul {
		wide = append(wide, 0)
	}
	copy(unsafe.Slice(at, len(wide)), wide)
	return uintptr(2 * len(wide))
}

func TestStatus(t *testing.T) {
	atr := []byte{0x3b, 0x00}
	long := string(bytes.Repeat([]byte("reader "), 60))
	type call = func(name *uint16, nameSize *uintptr, state, protocol *uint32, a *byte,
		atrSize *uintptr) uefi.Status
	good := func(text string, nul bool, st, pr uint32) call {
		return func(name *uint16, nameSize *uintptr, state, protocol *uint32, a *byte,
			atrSize *uintptr) uefi.Status {
			if need := uintptr(2 * (len(text) + 1)); *nameSize < need {
				*nameSize, *atrSize = need, uintptr(len(atr))
				return uefi.BufferTooSmall
			}
			*nameSize = writeName(name, text, nul)
			*state, *protocol = st, pr
			*atrSize = uintptr(copy(unsafe.Slice(a, len(atr)), atr))
			return uefi.Success
		}
	}
	for _, c := range []struct {
		name string
		call call
		want smartcard.Status
		err  error
	}{
		{name: "an active card", call: good("Reader 0", true, 3, 2),
			want: smartcard.Status{Name: "Reader 0", State: smartcard.Active,
				Protocol: smartcard.T1, ATR: atr}},
		{name: "a name without its NUL", call: good("Reader 0", false, 3, 2),
			want: smartcard.Status{Name: "Reader 0", State: smartcard.Active,
				Protocol: smartcard.T1, ATR: atr}},
		{name: "a name longer than the first try", call: good(long, true, 3, 1),
			want: smartcard.Status{Name: long, State: smartcard.Active, Protocol: smartcard.T0,
				ATR: atr}},
		{name: "an empty reader has no ATR whatever the driver writes", call: good("R", true, 1, 0),
			want: smartcard.Status{Name: "R", State: smartcard.Absent,
				Protocol: smartcard.Undefined}},
		{name: "a state and a protocol that do not exist", call: good("R", true, 9, 0xffffffff),
			want: smartcard.Status{Name: "R", State: smartcard.Unknown,
				Protocol: smartcard.Undefined}},
		{name: "a driver that leaves the lengths alone",
			call: func(name *uint16, _ *uintptr, state, _ *uint32, _ *byte,
				_ *uintptr) uefi.Status {
				writeName(name, "R", true)
				*state = 2
				return uefi.Success
			}, want: smartcard.Status{Name: "R", State: smartcard.Inactive,
				Protocol: smartcard.Undefined}},
		{name: "a name length beyond the buffer",
			call: func(_ *uint16, nameSize *uintptr, _, _ *uint32, _ *byte,
				_ *uintptr) uefi.Status {
				*nameSize = 1 << 40
				return uefi.Success
			}, err: smartcard.ErrProducer},
		{name: "a name that is always longer than the buffer",
			call: func(_ *uint16, nameSize *uintptr, _, _ *uint32, _ *byte,
				_ *uintptr) uefi.Status {
				*nameSize += 2
				return uefi.BufferTooSmall
			}, err: uefi.BufferTooSmall},
		{name: "a name of an absurd length",
			call: func(_ *uint16, nameSize *uintptr, _, _ *uint32, _ *byte,
				_ *uintptr) uefi.Status {
				*nameSize = 1 << 40
				return uefi.BufferTooSmall
			}, err: uefi.BufferTooSmall},
		{name: "a buffer too small by no account",
			call: func(_ *uint16, _ *uintptr, _, _ *uint32, _ *byte, _ *uintptr) uefi.Status {
				return uefi.BufferTooSmall
			},
			err: uefi.BufferTooSmall},
		{name: "the reader does not answer",
			call: func(_ *uint16, _ *uintptr, _, _ *uint32, _ *byte, _ *uintptr) uefi.Status {
				return uefi.DeviceError
			},
			err: uefi.DeviceError},
	} {
		t.Run(c.name, func(t *testing.T) {
			const tries = 3 // policy of this package
			calls := 0
			p, r := plug(t)
			p.Set(&p.Table.Status, func(a []uintptr) uefi.Status {
				if calls++; calls > tries {
					t.Fatal("no end of calls")
				}
				return c.call(uefi.At[uint16](a[1]), uefi.At[uintptr](a[2]), uefi.At[uint32](a[3]),
					uefi.At[uint32](a[4]),
					uefi.At[byte](a[5]), uefi.At[uintptr](a[6]))
			})
			got, err := r.Status()
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got.Name != c.want.Name || got.State != c.want.State ||
				got.Protocol != c.want.Protocol || !bytes.Equal(got.ATR, c.want.ATR) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestExchange(t *testing.T) {
	answer := []byte("Hello world!\x90\x00")
	ok := func(_ string, _ uint32, _, out []byte, size *uintptr) uefi.Status {
		*size = uintptr(copy(out, answer))
		return uefi.Success
	}
	for _, c := range []struct {
		name   string
		answer func(op string, code uint32, in, out []byte, size *uintptr) uefi.Status
		room   int
		n      int
		err    error
	}{
		{name: "an answer", answer: ok, room: 256, n: len(answer)},
		{name: "an answer that just fits", answer: ok, room: len(answer), n: len(answer)},
		{name: "an answer longer than the caller's buffer", answer: ok, room: 3, n: len(answer),
			err: smartcard.ErrShortResponse},
		{name: "an empty answer", room: 4,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
				*size = 0
				return uefi.Success
			}},
		{name: "a length beyond the buffer", room: 256, err: smartcard.ErrProducer,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
				*size++
				return uefi.Success
			}},
		{name: "a length that is nearly the address space", room: 256, err: smartcard.ErrProducer,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
				*size = ^uintptr(0)
				return uefi.Success
			}},
		{name: "the card has gone", room: 256, err: uefi.NoMedia,
			answer: func(_ string, _ uint32, _, _ []byte, _ *uintptr) uefi.Status {
				return uefi.NoMedia
			}},
		{name: "the card has gone after an answer, without a length", room: 256, err: uefi.NoMedia,
			answer: func(_ string, _ uint32, _, out []byte, size *uintptr) uefi.Status {
				copy(out, "secret")
				*size = 0
				return uefi.NoMedia
			}},
		{name: "too small, with a length that is nearly the address space", room: 256,
			err: uefi.BufferTooSmall,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
				*size = ^uintptr(0)
				return uefi.BufferTooSmall
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, r := plug(t)
			exchange(p, func(op string, code uint32, in, out []byte, size *uintptr) uefi.Status {
				if len(out) < 65538 {
					t.Errorf("%s was given a buffer of %d", op, len(out))
				}
				if op == "Transmit" && string(in) != "\x00\xa4" || op == "Control" &&
					(string(in) != "in" || code != smartcard.GetFeatureRequest) ||
					op == "GetAttrib" && code != attrATRString {
					t.Errorf("%s: code %#x, input %q", op, code, in)
				}
				return c.answer(op, code, in, out, size)
			})
			expect := func(op string, n int, got []byte, err error) {
				t.Helper()
				if n != c.n || !errors.Is(err, c.err) {
					t.Errorf("%s: got %d, %v; want %d, %v", op, n, err, c.n, c.err)
				} else if err == nil && !bytes.Equal(got[:n], answer[:n]) {
					t.Errorf("%s: got %q", op, got[:n])
				}
				if r.Keeps() {
					t.Errorf("%s keeps the answer", op)
				}
			}
			buf := make([]byte, c.room)
			n, err := r.Transmit([]byte{0x00, 0xa4}, buf)
			expect("Transmit", n, buf, err)
			n, err = r.Control(smartcard.GetFeatureRequest, []byte("in"), buf)
			expect("Control", n, buf, err)
			if c.err != smartcard.ErrShortResponse {
				value, err := r.GetAttrib(attrATRString)
				expect("GetAttrib", len(value), value, err)
			}
		})
	}
}

func TestRemovedReaderIsNeverCalled(t *testing.T) {
	p, r := plug(t)
	called := func([]uintptr) uefi.Status {
		t.Error("a removed reader was called")
		return uefi.DeviceError
	}
	for _, member := range []*uintptr{&p.Table.Connect, &p.Table.Disconnect, &p.Table.Status,
		&p.Table.Transmit, &p.Table.Control, &p.Table.GetAttrib} {
		p.Set(member, called)
	}
	p.Unplug()
	if all, err := smartcard.Readers(); len(all) != 0 || err != nil {
		t.Errorf("readers: %v, %v", all, err)
	}
	_, connect := r.Connect(smartcard.AccessCard, smartcard.NoReset, smartcard.T0)
	_, status := r.Status()
	_, transmit := r.Transmit([]byte{0}, nil)
	_, control := r.Control(0, nil, nil)
	_, attrib := r.GetAttrib(0)
	for i, err := range []error{connect, status, transmit, control, attrib,
		r.Disconnect(smartcard.NoReset)} {
		if !errors.Is(err, smartcard.ErrRemoved) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestNullMemberIsUnsupported(t *testing.T) {
	p, r := plug(t)
	p.Table.Transmit = 0
	if _, err := r.Transmit([]byte{0}, nil); !errors.Is(err, uefi.Unsupported) {
		t.Error(err)
	}
}

func TestErrorsCarryTheStatusAndTheNeed(t *testing.T) {
	p, r := plug(t)
	exchange(p, func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
		*size = 100000
		return uefi.BufferTooSmall
	})
	_, err := r.GetAttrib(attrMaxInput)
	var e *smartcard.Error
	if !errors.As(err, &e) || e.Need != 100000 || e.Op != "GetAttrib" ||
		err.Error() != "smartcard: GetAttrib: EFI_BUFFER_TOO_SMALL" {
		t.Errorf("%v, %+v", err, e)
	}
}

func TestLayout(t *testing.T) {
	// UEFI 2.11, 37.6.1: six function pointers in this order.
	var v smartcard.Table
	for i, at := range []uintptr{unsafe.Offsetof(v.Connect), unsafe.Offsetof(v.Disconnect),
		unsafe.Offsetof(v.Status),
		unsafe.Offsetof(v.Transmit), unsafe.Offsetof(v.Control), unsafe.Offsetof(v.GetAttrib),
		unsafe.Sizeof(v)} {
		if at != uintptr(8*i) {
			t.Errorf("member %d at %d", i, at)
		}
	}
	if smartcard.GUID.String() != "2a4d1adf-21dc-4b81-a42f-8b8ee2380060" ||
		smartcard.GetFeatureRequest != 0x42000d48 {
		t.Error("constants")
	}
}
