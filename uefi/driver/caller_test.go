//go:build !tamago

package driver

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"tamaccid/ccid"
	"tamaccid/ccid/scard"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
	"tamaccid/uefi/smartcard"
)

// call calls a member as firmware would. Pointers are converted in the call expression.
//
//go:uintptrescapes
func call(f func(*gate.Args) uefi.Status, args ...uintptr) uefi.Status {
	return f(gate.NewArgs(args...))
}

// place is a value in memory that stays in place for as long as the test runs.
func place[T any](t *testing.T, v T) *T {
	p := new(T)
	*p = v
	t.Cleanup(func() { runtime.KeepAlive(p) })
	return p
}

// addr is what a caller in C passes for p.
func addr[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// Lengths that no buffer has.
const (
	half  = uintptr(1) << 63
	whole = ^uintptr(0)
)

// Guards lie around each buffer. The one behind is longer than what a member ever takes a caller's
// word for.
const (
	guardSize = 64
	guardRear = maxAPDU + guardSize
	guardByte = 0xA5
)

// A buffer is a caller's memory between two guards.
type buffer struct {
	t   *testing.T
	mem []byte
	n   int
}

func newBuffer(t *testing.T, n int) *buffer {
	b := &buffer{t: t, mem: bytes.Repeat([]byte{guardByte}, guardSize+n+guardRear), n: n}
	t.Cleanup(b.check)
	return b
}

func (b *buffer) at() uintptr   { return uintptr(unsafe.Pointer(&b.mem[guardSize])) }
func (b *buffer) bytes() []byte { return b.mem[guardSize : guardSize+b.n] }

// untouched reports whether nothing at all was written.
func (b *buffer) untouched() bool {
	return len(bytes.Trim(b.mem, string([]byte{guardByte}))) == 0
}

// check finds what was written outside of the buffer.
func (b *buffer) check() {
	b.t.Helper()
	for i, v := range b.mem {
		if v != guardByte && (i < guardSize || i >= guardSize+b.n) {
			b.t.Errorf("byte %d of a buffer of %d bytes was written", i-guardSize, b.n)
			return
		}
	}
}

// fakeSlot is a slot whose results a test sets, and which logs its calls. A function that is nil
// must not be called.
type fakeSlot struct {
	t        *testing.T
	name     string
	state    ccid.State
	stateErr error
	atr      []byte
	protocol ccid.Protocol

	connect    func(accept ccid.Protocol, a ccid.Action) (ccid.Protocol, error)
	disconnect func(a ccid.Action) error
	transmit   func(capdu, rapdu []byte) (int, error)
	control    func(code uint32, in []byte) ([]byte, error)
	attrib     func(tag scard.Attrib) ([]byte, error)

	log   []string
	wiped int
}

// enter writes a call down. Every call of a slot must have an end.
func (f *fakeSlot) enter(ctx context.Context, op string, set bool) {
	f.log = append(f.log, op)
	if _, ok := ctx.Deadline(); !ok {
		f.t.Errorf("%s without a deadline", op)
	}
	if !set {
		f.t.Errorf("%s must not be called", op)
	}
}

func (f *fakeSlot) Name() string            { return f.name }
func (f *fakeSlot) ATR() []byte             { return f.atr }
func (f *fakeSlot) Protocol() ccid.Protocol { return f.protocol }

// Wipe counts its calls.
func (f *fakeSlot) Wipe() { f.wiped++ }

func (f *fakeSlot) State(ctx context.Context) (ccid.State, error) {
	f.enter(ctx, "state", true)
	return f.state, f.stateErr
}

func (f *fakeSlot) Connect(
	ctx context.Context, accept ccid.Protocol, a ccid.Action,
) (ccid.Protocol, error) {
	f.enter(ctx, "connect", f.connect != nil)
	if f.connect == nil {
		return 0, ccid.ErrHardware
	}
	return f.connect(accept, a)
}

func (f *fakeSlot) Disconnect(ctx context.Context, a ccid.Action) error {
	f.enter(ctx, "disconnect", f.disconnect != nil)
	if f.disconnect == nil {
		return ccid.ErrHardware
	}
	return f.disconnect(a)
}

func (f *fakeSlot) Transmit(ctx context.Context, capdu, rapdu []byte) (int, error) {
	f.enter(ctx, "transmit", f.transmit != nil)
	if f.transmit == nil {
		return 0, ccid.ErrHardware
	}
	return f.transmit(capdu, rapdu)
}

func (f *fakeSlot) Control(ctx context.Context, code uint32, in []byte) ([]byte, error) {
	f.enter(ctx, "control", f.control != nil)
	if f.control == nil {
		return nil, ccid.ErrHardware
	}
	return f.control(code, in)
}

func (f *fakeSlot) GetAttrib(ctx context.Context, tag scard.Attrib) ([]byte, error) {
	f.enter(ctx, "attrib", f.attrib != nil)
	if f.attrib == nil {
		return nil, ccid.ErrHardware
	}
	return f.attrib(tag)
}

// calls is the log as text.
func (f *fakeSlot) calls() string { return strings.Join(f.log, " ") }

// atrT1 is an answer to reset (ISO/IEC 7816-3:2006, 8.2).
var atrT1 = []byte{0x3B, 0x80, 0x81, 0x01, 0x01}

// fakeReader is a driver with one reader, whose slot holds a card.
func fakeReader(t *testing.T) (*Driver, *reader, *fakeSlot) {
	f := &fakeSlot{t: t, name: "Fake 0", state: ccid.Active, atr: atrT1, protocol: ccid.T1}
	d := &Driver{bound: map[uefi.Handle]*controller{}}
	return d, d.readers.new(f.name, f, smartcard.Table{}), f
}

// members are the six functions, each with arguments that are right but for This.
func members(t *testing.T, d *Driver) map[string]func(this uintptr) uefi.Status {
	active, size := place(t, smartcard.Protocol(77)), place(t, uintptr(8))
	in, out := newBuffer(t, 8), newBuffer(t, 8)
	return map[string]func(this uintptr) uefi.Status{
		"SCardConnect": func(this uintptr) uefi.Status {
			return call(d.connect, this, uintptr(smartcard.AccessReader), 0, 0, addr(active))
		},
		"SCardDisconnect": func(this uintptr) uefi.Status { return call(d.disconnect, this, 0) },
		"SCardStatus":     func(this uintptr) uefi.Status { return call(d.status, this) },
		"SCardTransmit": func(this uintptr) uefi.Status {
			return call(d.transmit, this, in.at(), 8, out.at(), addr(size))
		},
		"SCardControl": func(this uintptr) uefi.Status {
			return call(d.control, this, uintptr(smartcard.GetFeatureRequest), 0, 0, out.at(),
				addr(size))
		},
		"SCardGetAttrib": func(this uintptr) uefi.Status {
			return call(d.getAttrib, this, uintptr(scard.AttrATRString), out.at(), addr(size))
		},
	}
}

func TestThisThatIsNoReaderIsAnInvalidParameter(t *testing.T) {
	d, r, f := fakeReader(t)
	for name, member := range members(t, d) {
		for what, this := range map[string]uintptr{
			"NULL":                         0,
			"an address beyond all memory": whole,
			"a pointer into the interface": r.address() + 8,
			"a pointer to other data":      addr(place(t, smartcard.Table{})),
		} {
			if st := member(this); st != uefi.InvalidParameter {
				t.Errorf("%s with %s: %v", name, what, st)
			}
		}
	}
	if f.log != nil {
		t.Errorf("the slot was asked: %s", f.calls())
	}
}

func TestUnpluggedReaderAnswersDeviceErrorForEver(t *testing.T) {
	d, r, f := fakeReader(t)
	this := r.address()
	r.held = smartcard.AccessCard
	d.readers.retire(r)
	for range 2 {
		for name, member := range members(t, d) {
			if st := member(this); st != uefi.DeviceError {
				t.Errorf("%s: %v", name, st)
			}
		}
	}
	if f.log != nil {
		t.Errorf("the slot was asked: %s", f.calls())
	}
}
