//go:build !tamago

package smartcard

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf16"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// producer is a driver of readers as firmware sees one. Its functions return what the test says and check nothing that the
// test does not ask for.
type producer struct {
	connect    func(mode, action, preferred uint32, active *uint32) uefi.Status
	disconnect func(action uint32) uefi.Status
	status     func(name *uint16, nameSize *uintptr, state, protocol *uint32, atr *byte, atrSize *uintptr) uefi.Status
	exchange   func(op string, code uint32, in, out []byte, size *uintptr) uefi.Status // Transmit, Control, GetAttrib

	table        *Table
	handle       uefi.Handle
	removed      bool
	disconnected []uint32
}

// Attributes (PC/SC part 3, 3.1.4).
const (
	attrATRString = 0x00090303
	attrMaxInput  = 0x0007A007
)

func (p *producer) LocateHandles(guid *uefi.GUID) ([]uefi.Handle, error) {
	if *guid != GUID {
		return nil, uefi.InvalidParameter
	}
	if p.removed {
		return nil, nil
	}
	return []uefi.Handle{p.handle}, nil
}

func (p *producer) HandleProtocol(h uefi.Handle, guid *uefi.GUID) (uintptr, error) {
	if p.removed || h != p.handle || *guid != GUID {
		return 0, uefi.Unsupported
	}
	return uintptr(unsafe.Pointer(p.table)), nil
}

// bytesAt is memory that a call of the reader's points at.
func bytesAt(addr, n uintptr) []byte { return unsafe.Slice(abi.At[byte](addr), n) }

// reader publishes p and returns the one reader that is found.
func (p *producer) reader(t *testing.T) *Reader {
	t.Helper()
	this := func(a []uintptr) {
		if a[0] != uintptr(unsafe.Pointer(p.table)) {
			t.Errorf("This is %#x, want the protocol's address", a[0])
		}
	}
	p.handle = 0x77
	p.table = &Table{
		Connect: abi.Fake(func(a []uintptr) uintptr {
			this(a)
			return uintptr(p.connect(uint32(a[1]), uint32(a[2]), uint32(a[3]), abi.At[uint32](a[4])))
		}),
		Disconnect: abi.Fake(func(a []uintptr) uintptr {
			this(a)
			p.disconnected = append(p.disconnected, uint32(a[1]))
			if p.disconnect == nil {
				return uintptr(uefi.Success)
			}
			return uintptr(p.disconnect(uint32(a[1])))
		}),
		Status: abi.Fake(func(a []uintptr) uintptr {
			this(a)
			return uintptr(p.status(abi.At[uint16](a[1]), abi.At[uintptr](a[2]), abi.At[uint32](a[3]), abi.At[uint32](a[4]), abi.At[byte](a[5]), abi.At[uintptr](a[6])))
		}),
		Transmit: abi.Fake(func(a []uintptr) uintptr {
			this(a)
			size := abi.At[uintptr](a[4])
			return uintptr(p.exchange("Transmit", 0, bytesAt(a[1], a[2]), bytesAt(a[3], *size), size))
		}),
		Control: abi.Fake(func(a []uintptr) uintptr {
			this(a)
			size := abi.At[uintptr](a[5])
			return uintptr(p.exchange("Control", uint32(a[1]), bytesAt(a[2], a[3]), bytesAt(a[4], *size), size))
		}),
		GetAttrib: abi.Fake(func(a []uintptr) uintptr {
			this(a)
			size := abi.At[uintptr](a[3])
			return uintptr(p.exchange("GetAttrib", uint32(a[1]), nil, bytesAt(a[2], *size), size))
		}),
	}
	all, err := readers(p)
	if err != nil || len(all) != 1 {
		t.Fatalf("readers: %v, %v", all, err)
	}
	return all[0]
}

func TestConnect(t *testing.T) {
	for _, c := range []struct {
		name       string
		mode       AccessMode
		preferred  Protocol
		answer     uefi.Status
		active     uint32
		want       Protocol
		err        error
		disconnect bool
	}{
		{name: "a card with T=1", mode: AccessCard, preferred: T0 | T1, active: 2, want: T1},
		{name: "a card with T=0", mode: AccessCard, preferred: T0 | T1, active: 1, want: T0},
		{name: "the reader alone", mode: AccessReader, active: 0},
		{name: "the reader alone, and the driver writes a protocol", mode: AccessReader, active: 2},
		{name: "no card", mode: AccessCard, preferred: T0 | T1, answer: uefi.NoMedia, err: uefi.NoMedia},
		{name: "a warning is success", mode: AccessCard, preferred: T1, answer: uefi.WarnStaleData, active: 2, want: T1},
		{name: "success without a protocol is a card without power", mode: AccessCard, preferred: T1, active: 0, err: uefi.NotReady, disconnect: true},
		{name: "two protocols at once", mode: AccessCard, preferred: T0 | T1, active: 3, err: ErrProducer, disconnect: true},
		{name: "a protocol that nobody asked for", mode: AccessCard, preferred: T0, active: 2, err: ErrProducer, disconnect: true},
		{name: "garbage for a protocol", mode: AccessCard, preferred: T0 | T1, active: 0xffffffff, err: ErrProducer, disconnect: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &producer{connect: func(mode, action, preferred uint32, active *uint32) uefi.Status {
				if mode != uint32(c.mode) || action != uint32(ColdReset) || preferred != uint32(c.preferred) {
					t.Errorf("SCardConnect(%d, %d, %d)", mode, action, preferred)
				}
				*active = c.active
				return c.answer
			}}
			got, err := p.reader(t).Connect(c.mode, ColdReset, c.preferred)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, c.want, c.err)
			}
			if (len(p.disconnected) == 1) != c.disconnect {
				t.Errorf("disconnections: %v", p.disconnected)
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
	type call = func(name *uint16, nameSize *uintptr, state, protocol *uint32, a *byte, atrSize *uintptr) uefi.Status
	good := func(text string, nul bool, st, pr uint32) call {
		return func(name *uint16, nameSize *uintptr, state, protocol *uint32, a *byte, atrSize *uintptr) uefi.Status {
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
		want Status
		err  error
	}{
		{name: "an active card", call: good("Reader 0", true, 3, 2), want: Status{"Reader 0", Active, T1, atr}},
		{name: "a name without its NUL", call: good("Reader 0", false, 3, 2), want: Status{"Reader 0", Active, T1, atr}},
		{name: "a name longer than the first try", call: good(long, true, 3, 1), want: Status{long, Active, T0, atr}},
		{name: "an empty reader has no ATR whatever the driver writes", call: good("R", true, 1, 0), want: Status{"R", Absent, Undefined, nil}},
		{name: "a state and a protocol that do not exist", call: good("R", true, 9, 0xffffffff), want: Status{"R", Unknown, Undefined, nil}},
		{name: "a driver that leaves the lengths alone",
			call: func(name *uint16, _ *uintptr, state, _ *uint32, _ *byte, _ *uintptr) uefi.Status {
				writeName(name, "R", true)
				*state = 2
				return uefi.Success
			}, want: Status{"R", Inactive, Undefined, nil}},
		{name: "a name length beyond the buffer",
			call: func(_ *uint16, nameSize *uintptr, _, _ *uint32, _ *byte, _ *uintptr) uefi.Status {
				*nameSize = 1 << 40
				return uefi.Success
			}, err: ErrProducer},
		{name: "a name that is always longer than the buffer",
			call: func(_ *uint16, nameSize *uintptr, _, _ *uint32, _ *byte, _ *uintptr) uefi.Status {
				*nameSize += 2
				return uefi.BufferTooSmall
			}, err: uefi.BufferTooSmall},
		{name: "a name of an absurd length",
			call: func(_ *uint16, nameSize *uintptr, _, _ *uint32, _ *byte, _ *uintptr) uefi.Status {
				*nameSize = 1 << 40
				return uefi.BufferTooSmall
			}, err: uefi.BufferTooSmall},
		{name: "a buffer too small by no account",
			call: func(_ *uint16, _ *uintptr, _, _ *uint32, _ *byte, _ *uintptr) uefi.Status { return uefi.BufferTooSmall },
			err:  uefi.BufferTooSmall},
		{name: "the reader does not answer",
			call: func(_ *uint16, _ *uintptr, _, _ *uint32, _ *byte, _ *uintptr) uefi.Status { return uefi.DeviceError },
			err:  uefi.DeviceError},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			p := &producer{status: func(n *uint16, ns *uintptr, s, pr *uint32, a *byte, as *uintptr) uefi.Status {
				if calls++; calls > statusTries {
					t.Fatal("no end of calls")
				}
				return c.call(n, ns, s, pr, a, as)
			}}
			got, err := p.reader(t).Status()
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got.Name != c.want.Name || got.State != c.want.State || got.Protocol != c.want.Protocol || !bytes.Equal(got.ATR, c.want.ATR) {
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
		{name: "an answer longer than the caller's buffer", answer: ok, room: 3, n: len(answer), err: ErrShortResponse},
		{name: "an empty answer", room: 4,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status { *size = 0; return uefi.Success }},
		{name: "a length beyond the buffer", room: 256, err: ErrProducer,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status { *size++; return uefi.Success }},
		{name: "a length that is nearly the address space", room: 256, err: ErrProducer,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
				*size = ^uintptr(0)
				return uefi.Success
			}},
		{name: "the card has gone", room: 256, err: uefi.NoMedia,
			answer: func(_ string, _ uint32, _, _ []byte, _ *uintptr) uefi.Status { return uefi.NoMedia }},
		{name: "the card has gone after an answer, of which no length tells", room: 256, err: uefi.NoMedia,
			answer: func(_ string, _ uint32, _, out []byte, size *uintptr) uefi.Status {
				copy(out, "secret")
				*size = 0
				return uefi.NoMedia
			}},
		{name: "too small, with a length that is nearly the address space", room: 256, err: uefi.BufferTooSmall,
			answer: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
				*size = ^uintptr(0)
				return uefi.BufferTooSmall
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &producer{exchange: func(op string, code uint32, in, out []byte, size *uintptr) uefi.Status {
				if len(out) < 65538 {
					t.Errorf("%s was given a buffer of %d", op, len(out))
				}
				if op == "Transmit" && string(in) != "\x00\xa4" || op == "Control" && (string(in) != "in" || code != GetFeatureRequest) || op == "GetAttrib" && code != attrATRString {
					t.Errorf("%s: code %#x, input %q", op, code, in)
				}
				return c.answer(op, code, in, out, size)
			}}
			r := p.reader(t)
			expect := func(op string, n int, got []byte, err error) {
				t.Helper()
				if n != c.n || !errors.Is(err, c.err) {
					t.Errorf("%s: got %d, %v; want %d, %v", op, n, err, c.n, c.err)
				} else if err == nil && !bytes.Equal(got[:n], answer[:n]) {
					t.Errorf("%s: got %q", op, got[:n])
				}
				if *r.answer != [maxResponse]byte{} {
					t.Errorf("%s leaves the answer behind", op)
				}
			}
			buf := make([]byte, c.room)
			n, err := r.Transmit([]byte{0x00, 0xa4}, buf)
			expect("Transmit", n, buf, err)
			n, err = r.Control(GetFeatureRequest, []byte("in"), buf)
			expect("Control", n, buf, err)
			if c.err != ErrShortResponse {
				value, err := r.GetAttrib(attrATRString)
				expect("GetAttrib", len(value), value, err)
			}
		})
	}
}

func TestRemovedReaderIsNeverCalled(t *testing.T) {
	p := &producer{} // every function that is nil would panic
	r := p.reader(t)
	p.removed = true
	if all, err := readers(p); len(all) != 0 || err != nil {
		t.Errorf("readers: %v, %v", all, err)
	}
	_, connect := r.Connect(AccessCard, NoReset, T0)
	_, status := r.Status()
	_, transmit := r.Transmit([]byte{0}, nil)
	_, control := r.Control(0, nil, nil)
	_, attrib := r.GetAttrib(0)
	for i, err := range []error{connect, status, transmit, control, attrib, r.Disconnect(NoReset)} {
		if !errors.Is(err, ErrRemoved) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if len(p.disconnected) != 0 {
		t.Error("SCardDisconnect of a removed reader was called")
	}
}

func TestNullMemberIsUnsupported(t *testing.T) {
	p := &producer{}
	r := p.reader(t)
	p.table.Transmit = 0
	if _, err := r.Transmit([]byte{0}, nil); !errors.Is(err, uefi.Unsupported) {
		t.Error(err)
	}
}

func TestErrorsCarryTheStatusAndTheNeed(t *testing.T) {
	p := &producer{exchange: func(_ string, _ uint32, _, _ []byte, size *uintptr) uefi.Status {
		*size = 100000
		return uefi.BufferTooSmall
	}}
	_, err := p.reader(t).GetAttrib(attrMaxInput)
	var e *Error
	if !errors.As(err, &e) || e.Need != 100000 || e.Op != "GetAttrib" || err.Error() != "smartcard: GetAttrib: EFI_BUFFER_TOO_SMALL" {
		t.Errorf("%v, %+v", err, e)
	}
}

func TestLayout(t *testing.T) {
	// UEFI 2.11, 37.6.1: six function pointers in this order.
	var v Table
	for i, at := range []uintptr{unsafe.Offsetof(v.Connect), unsafe.Offsetof(v.Disconnect), unsafe.Offsetof(v.Status),
		unsafe.Offsetof(v.Transmit), unsafe.Offsetof(v.Control), unsafe.Offsetof(v.GetAttrib), unsafe.Sizeof(v)} {
		if at != uintptr(8*i) {
			t.Errorf("member %d at %d", i, at)
		}
	}
	if GUID.String() != "2a4d1adf-21dc-4b81-a42f-8b8ee2380060" || GetFeatureRequest != 0x42000d48 {
		t.Error("constants")
	}
}
