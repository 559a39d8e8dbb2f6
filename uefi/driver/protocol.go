package driver

import (
	"context"
	"time"
	"unsafe"

	"tamaccid/ccid"
	"tamaccid/ccid/scard"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
	"tamaccid/uefi/smartcard"
)

// A connection to a reader (UEFI 2.11, 37.6.2, 37.6.3):
//
//	state         function                       result
//	free          SCardConnect(reader)           reader
//	free          SCardConnect(card), success    card
//	free          SCardConnect, failure          free
//	free          SCardDisconnect                free: EFI_SUCCESS, nothing is done to the card
//	free          SCardTransmit                  EFI_NOT_READY, EFI_NO_MEDIA without a card
//	reader, card  SCardConnect                   EFI_ACCESS_DENIED
//	reader, card  SCardDisconnect                free, except after an ejection that fails
//	reader        SCardTransmit                  as in state free
//	any           SCardStatus, SCardControl,
//	              SCardGetAttrib                 unchanged
//	any           reader removed                 gone: EFI_DEVICE_ERROR from then on
//
// The first function that is called opens a reader that Start has not opened, see postponed.go.

// How long a function may take at most (policy), or less by the load option wait, which is also the
// limit of SCardTransmit. The class driver's own waits are much shorter; these limits bound the sum
// of the waits that a hostile reader can cause.
const (
	connectLimit = 60 * time.Second
	controlLimit = 150 * time.Second // with PIN entry; other commands: the load option
	statusLimit  = 10 * time.Second
)

// Bounds of a caller's buffers: more than any APDU (ISO/IEC 7816-3:2006, 12.1.3), and the longest
// ATR (8.2.1).
const (
	maxAPDU = 65544
	maxATR  = 33
)

// slot is the part of a *ccid.Slot that the functions of the protocol use.
type slot interface {
	Name() string
	State(ctx context.Context) (ccid.State, error)
	ATR() []byte
	Protocol() ccid.Protocol
	Connect(ctx context.Context, accept ccid.Protocol, a ccid.Action) (ccid.Protocol, error)
	Disconnect(ctx context.Context, a ccid.Action) error
	Transmit(ctx context.Context, capdu, rapdu []byte) (int, error)
	Control(ctx context.Context, code uint32, in []byte) ([]byte, error)
	GetAttrib(ctx context.Context, tag scard.Attrib) ([]byte, error)
	Wipe()
}

// A reader is one slot as a protocol interface. table comes first: its address is This.
type reader struct {
	table             smartcard.Table
	slot              slot
	open              func() error // opens the reader, nil when it is open
	pollNotifications func()       // delivers notifications, nil where a goroutine does that
	name              []uint16     // with its NUL
	// former is the name before the reader was open: firmware may hold a pointer to it.
	former []uint16
	held   smartcard.AccessMode // how it is connected; 0: free
	gone   bool
}

// this finds the reader with the interface This, and delivers its notifications first. An address
// that is no interface is EFI_INVALID_PARAMETER.
func (d *Driver) this(a *gate.Args) (*reader, uefi.Status) {
	r := d.readers.at(a.At(0))
	switch {
	case r == nil:
		return nil, uefi.InvalidParameter
	case r.gone:
		return nil, uefi.DeviceError
	}
	if r.open != nil && r.open() != nil {
		return nil, uefi.DeviceError
	}
	if r.pollNotifications != nil {
		r.pollNotifications()
	}
	return r, uefi.Success
}

func limited(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// connect is SCardConnect (UEFI 2.11, 37.6.2).
func (d *Driver) connect(a *gate.Args) uefi.Status {
	r, st := d.this(a)
	if st != uefi.Success {
		return st
	}
	mode, action := smartcard.AccessMode(uint32(a.At(1))), smartcard.Action(uint32(a.At(2)))
	protocols := smartcard.Protocol(uint32(a.At(3)))
	if !gate.Writable(a.At(4), unsafe.Sizeof(smartcard.Protocol(0))) {
		return uefi.InvalidParameter
	}
	active := uefi.At[smartcard.Protocol](a.At(4))
	const known = smartcard.T0 | smartcard.T1 | smartcard.Raw
	switch mode {
	case smartcard.AccessReader:
		if action != smartcard.NoReset || protocols != smartcard.Undefined {
			return uefi.InvalidParameter
		}
	case smartcard.AccessCard:
		if action > smartcard.WarmReset || protocols == smartcard.Undefined ||
			protocols&^known != 0 {
			return uefi.InvalidParameter
		}
	default:
		return uefi.InvalidParameter
	}
	if r.held != 0 {
		return uefi.AccessDenied
	}
	// The reader is connected when the caller has the result: after a panic before this point it is
	// free.
	if mode == smartcard.AccessReader {
		*active = smartcard.Undefined
		r.held = mode
		return uefi.Success
	}
	if protocols&(smartcard.T0|smartcard.T1) == 0 {
		return uefi.Unsupported // raw: no slot has it
	}
	ctx, cancel := limited(d.options.limit(connectLimit))
	defer cancel()
	p, err := r.slot.Connect(ctx, protocols, action)
	if err != nil {
		return connectStatus(err)
	}
	*active = p
	r.held = mode
	return uefi.Success
}

// disconnect is SCardDisconnect (UEFI 2.11, 37.6.3).
func (d *Driver) disconnect(a *gate.Args) uefi.Status {
	r, st := d.this(a)
	if st != uefi.Success {
		return st
	}
	action := smartcard.Action(uint32(a.At(1)))
	if action > smartcard.Eject {
		return uefi.InvalidParameter
	}
	if r.held == 0 {
		return uefi.Success
	}
	ctx, cancel := limited(d.options.limit(connectLimit))
	defer cancel()
	held := r.held
	r.held = 0 // after a panic too
	st = status(r.slot.Disconnect(ctx, action))
	if st == uefi.Unsupported && action == smartcard.Eject {
		r.held = held
		return st // not performed
	}
	if st == uefi.Success || st == uefi.NoMedia {
		return uefi.Success
	}
	return uefi.DeviceError
}

// status is SCardStatus (UEFI 2.11, 37.6.4). Lengths are in bytes.
func (d *Driver) status(a *gate.Args) uefi.Status {
	r, st := d.this(a)
	if st != uefi.Success {
		return st
	}
	wide := unsafe.Slice((*byte)(unsafe.Pointer(&r.name[0])), 2*len(r.name))
	name, nameLen := a.At(1), a.At(2)
	atr, atrLen := a.At(5), a.At(6)
	if !validOutput(name, nameLen, uintptr(len(wide))) || !validOutput(atr, atrLen, maxATR) ||
		a.At(3) != 0 && !gate.Writable(a.At(3), unsafe.Sizeof(smartcard.State(0))) ||
		a.At(4) != 0 && !gate.Writable(a.At(4), unsafe.Sizeof(smartcard.Protocol(0))) {
		return uefi.InvalidParameter
	}
	state, protocol := uefi.At[smartcard.State](a.At(3)), uefi.At[smartcard.Protocol](a.At(4))
	ctx, cancel := limited(d.options.limit(statusLimit))
	defer cancel()
	now, err := r.slot.State(ctx)
	if err != nil {
		return uefi.DeviceError
	}
	if state != nil {
		*state = now
	}
	if protocol != nil {
		*protocol = r.slot.Protocol()
	}
	st = writeOutput(name, uefi.At[uintptr](nameLen), wide)
	if s := writeOutput(atr, uefi.At[uintptr](atrLen), r.slot.ATR()); s != uefi.Success {
		st = s
	}
	return st
}

// shortResponse is the longest response to a short command APDU (ISO/IEC 7816-3:2006, 12.1.3). The
// rest of a longer buffer is not accessed before there is an answer of that length: some callers
// pass a larger length than their buffer has. If the answer is that long, the page fault is a
// panic, which costs the call.
const shortResponse = 258

// validOutput reports whether a caller's buffer at p and the number at length, which is its size,
// can be written. At most most bytes of the buffer are checked. A buffer without a length is
// invalid. A length without a buffer is valid: only the length is written.
func validOutput(p, length, most uintptr) bool {
	if length == 0 {
		return p == 0
	}
	if !gate.Writable(length, unsafe.Sizeof(length)) {
		return false
	}
	return p == 0 || gate.Writable(p, min(*uefi.At[uintptr](length), most))
}

// writeOutput copies b to the caller's buffer at p and sets its length, or returns
// EFI_BUFFER_TOO_SMALL and sets the length that is needed. Without a length nothing is written;
// with a length and no buffer only the length is.
func writeOutput(p uintptr, length *uintptr, b []byte) uefi.Status {
	if length == nil {
		return uefi.Success
	}
	room := *length
	*length = uintptr(len(b))
	switch {
	case room < uintptr(len(b)):
		return uefi.BufferTooSmall
	case p != 0 && len(b) > 0:
		copy(memory(p, uintptr(len(b))), b)
	}
	return uefi.Success
}

// memory is n bytes of the caller's memory.
func memory(p, n uintptr) []byte {
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice(uefi.At[byte](p), int(n))
}

// transmit is SCardTransmit (UEFI 2.11, 37.6.5).
func (d *Driver) transmit(a *gate.Args) uefi.Status {
	r, st := d.this(a)
	if st != uefi.Success {
		return st
	}
	capdu, capduLen := a.At(1), a.At(2)
	rapdu := a.At(3)
	if capduLen == 0 || capduLen > maxAPDU || !gate.Readable(capdu, capduLen) ||
		rapdu == 0 || !validOutput(rapdu, a.At(4), shortResponse) {
		return uefi.InvalidParameter
	}
	rapduLen := uefi.At[uintptr](a.At(4))
	ctx, cancel := limited(d.options.longest())
	defer cancel()
	if r.held != smartcard.AccessCard {
		switch now, err := r.slot.State(ctx); {
		case err != nil:
			return status(err)
		case now == ccid.Absent:
			return uefi.NoMedia
		}
		return uefi.NotReady
	}
	n, err := r.slot.Transmit(ctx, memory(capdu, capduLen), memory(rapdu, min(*rapduLen, maxAPDU)))
	if err != nil {
		if need, ok := needed(err); ok {
			*rapduLen = need
		}
		return status(err)
	}
	*rapduLen = uintptr(n)
	return uefi.Success
}

// control is SCardControl (UEFI 2.11, 37.6.6).
func (d *Driver) control(a *gate.Args) uefi.Status {
	r, st := d.this(a)
	if st != uefi.Success {
		return st
	}
	code, in, inLen := uint32(a.At(1)), a.At(2), a.At(3)
	out := a.At(4)
	if inLen > maxAPDU || !gate.Readable(in, inLen) || !validOutput(out, a.At(5), shortResponse) {
		return uefi.InvalidParameter
	}
	outLen := uefi.At[uintptr](a.At(5))
	ctx, cancel := limited(controlLimit)
	defer cancel()
	answer, err := r.perform(ctx, code, memory(in, inLen))
	defer clear(answer)
	if err != nil {
		if need, ok := needed(err); ok && outLen != nil {
			*outLen = need
		}
		return status(err)
	}
	if outLen == nil && len(answer) > 0 {
		return uefi.InvalidParameter
	}
	return writeOutput(out, outLen, answer)
}

// faultInjection makes the driver fail on request, in the build with the tag faultinjection.
var faultInjection func(ctx context.Context, code uint32) (answer []byte, err error, done bool)

func (r *reader) perform(ctx context.Context, code uint32, in []byte) ([]byte, error) {
	if faultInjection != nil {
		if answer, err, done := faultInjection(ctx, code); done {
			return answer, err
		}
	}
	return r.slot.Control(ctx, code, in)
}

// getAttrib is SCardGetAttrib (UEFI 2.11, 37.6.7).
func (d *Driver) getAttrib(a *gate.Args) uefi.Status {
	r, st := d.this(a)
	if st != uefi.Success {
		return st
	}
	tag, out := scard.Attrib(a.At(1)), a.At(2)
	if out == 0 || !validOutput(out, a.At(3), shortResponse) {
		return uefi.InvalidParameter
	}
	outLen := uefi.At[uintptr](a.At(3))
	if *outLen == 0 {
		return uefi.InvalidParameter
	}
	ctx, cancel := limited(d.options.limit(statusLimit))
	defer cancel()
	value, err := r.slot.GetAttrib(ctx, tag)
	if err != nil {
		return status(err)
	}
	return writeOutput(out, outLen, value)
}
