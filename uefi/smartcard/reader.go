package smartcard

import (
	"errors"
	"sync"
	"unicode/utf16"
	"unsafe"

	"tamaccid/ccid/scard"
	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// Sizes of buffers.
const (
	// maxResponse is the longest response: 65,536 bytes of data and two status bytes (ISO/IEC
	// 7816-3:2006, 12.1.1), and room for producers that write a few bytes more than the buffer has.
	maxResponse = 65536 + 2 + 62

	// maxATR is the length of an ATR (ISO/IEC 7816-3:2006, 8.2.1: TS and at most 32 characters).
	maxATR = 33

	// atrRoom is larger than any ATR: a length above maxATR was not written by the producer.
	atrRoom = 64

	// maxName bounds the reader's name, in CHAR16 (policy).
	maxName = 4096

	// firstName is room for most names, in CHAR16 (policy).
	firstName = 256

	// statusTries bounds how often a name may be longer than the call before reported (policy).
	statusTries = 3
)

// Reader is a smart card reader of some driver. Its methods may be called by several goroutines;
// calls do not overlap.
//
// Producers deviate from the specification. Reader passes every buffer that the specification calls
// optional and makes it large enough for any answer, because some producers fail or write beyond
// the end of a shorter one, and it checks every length that they return.
type Reader struct {
	handle uefi.Handle
	addr   uintptr
	table  *Table

	mu  sync.Mutex
	out struct { // what the firmware's functions write
		nameSize, atrSize, size uintptr
		state, protocol         uint32
		atr                     [atrRoom]byte
	}
	answer *[maxResponse]byte // made by the first call that needs it
}

// Readers are the readers of the machine, in firmware's order. None is no error. A reader that is
// plugged in again is a new Reader; one that stayed has the same Handle as before.
func Readers() ([]*Reader, error) {
	all, err := uefi.Boot().LocateHandles(&GUID)
	if err != nil {
		return nil, &Error{Op: "Readers", Status: statusOf(err)}
	}
	var out []*Reader
	for _, h := range all {
		if r, err := Open(h); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// Open is the reader on one handle.
func Open(h uefi.Handle) (*Reader, error) {
	addr, err := uefi.Boot().HandleProtocol(h, &GUID)
	if err != nil {
		return nil, &Error{Op: "Open", Status: statusOf(err)}
	}
	if addr == 0 {
		return nil, ErrProducer
	}
	return &Reader{handle: h, addr: addr, table: uefi.At[Table](addr)}, nil
}

func statusOf(err error) uefi.Status {
	st := uefi.DeviceError
	errors.As(err, &st)
	return st
}

// Handle is the handle with the protocol.
func (r *Reader) Handle() uefi.Handle { return r.handle }

// check is ErrRemoved unless the reader is still the one that was opened: the memory of a reader
// that has gone must not be accessed. The caller holds r.mu.
func (r *Reader) check() error {
	addr, err := uefi.Boot().HandleProtocol(r.handle, &GUID)
	if err != nil || addr != r.addr {
		return ErrRemoved
	}
	return nil
}

// failed turns an error status into an Error, success and warnings into nil.
func failed(op string, status uintptr, need uintptr) error {
	s := uefi.Status(status)
	if !s.IsError() {
		return nil
	}
	e := &Error{Op: op, Status: s}
	if s == uefi.BufferTooSmall && need <= maxNeed {
		e.Need = int(need)
	}
	return e
}

// maxNeed bounds the length in an Error (policy).
const maxNeed = 1 << 30

// Connect connects to the card, or with AccessReader to the reader alone (UEFI 2.11, 37.6.2).
// preferred is a mask; with AccessReader it is Undefined, and action is NoReset. active is the one
// protocol in use. Connect may take seconds.
//
// Statuses: uefi.NoMedia without a card, uefi.NotReady for a card without an ATR, uefi.Unsupported
// without an acceptable protocol, uefi.AccessDenied while there is a connection.
func (r *Reader) Connect(
	mode AccessMode, action Action, preferred Protocol,
) (active Protocol, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check(); err != nil {
		return Undefined, err
	}
	r.out.protocol = 0
	status := abi.Call(r.table.Connect, r.addr, uintptr(mode), uintptr(action), uintptr(preferred),
		uintptr(unsafe.Pointer(&r.out.protocol)))
	if err := failed("Connect", status, 0); err != nil {
		return Undefined, err
	}
	if mode != AccessCard {
		return Undefined, nil
	}
	switch active = Protocol(r.out.protocol); {
	case active == Undefined:
		// A success without a protocol: a card that the driver could not power.
		r.disconnect(NoReset)
		return Undefined, &Error{Op: "Connect", Status: uefi.NotReady}
	case active != T0 && active != T1 && active != Raw, active&preferred == 0:
		r.disconnect(NoReset)
		return Undefined, ErrProducer
	}
	return active, nil
}

// Disconnect ends the connection (UEFI 2.11, 37.6.3). It succeeds without one, and when the card
// has gone.
func (r *Reader) Disconnect(action Action) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check(); err != nil {
		return err
	}
	return r.disconnect(action)
}

func (r *Reader) disconnect(action Action) error {
	return failed("Disconnect", abi.Call(r.table.Disconnect, r.addr, uintptr(action)), 0)
}

// Name is the reader's name, for people.
func (r *Reader) Name() (string, error) {
	s, err := r.Status()
	return s.Name, err
}

// Status is the result of SCardStatus.
type Status struct {
	Name     string
	State    State
	Protocol Protocol // of the connection; some drivers report another one than Connect
	ATR      []byte   // nil without a card
}

// Status returns the reader's name, the card's state and its ATR (UEFI 2.11, 37.6.4).
func (r *Reader) Status() (Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check(); err != nil {
		return Status{}, err
	}
	room := uintptr(firstName)
	for try := 1; ; try++ {
		name := make([]uint16, room)
		r.out.nameSize, r.out.atrSize = 2*room, atrRoom
		r.out.state, r.out.protocol = uint32(Unknown), uint32(Undefined)
		status := abi.Call(r.table.Status, r.addr, uintptr(unsafe.Pointer(unsafe.SliceData(name))),
			uintptr(unsafe.Pointer(&r.out.nameSize)),
			uintptr(unsafe.Pointer(&r.out.state)), uintptr(unsafe.Pointer(&r.out.protocol)),
			uintptr(unsafe.Pointer(&r.out.atr)), uintptr(unsafe.Pointer(&r.out.atrSize)))
		if uefi.Status(status) == uefi.BufferTooSmall && try < statusTries {
			if need := (r.out.nameSize + 1) / 2; need > room && need <= maxName {
				room = need
				continue
			}
		}
		if err := failed("Status", status, r.out.nameSize); err != nil {
			return Status{}, err
		}
		if r.out.nameSize > 2*room {
			return Status{}, ErrProducer
		}
		return r.status(name[:r.out.nameSize/2]), nil
	}
}

// status interprets what SCardStatus wrote.
func (r *Reader) status(name []uint16) Status {
	s := Status{Name: textOf(name), State: State(r.out.state), Protocol: Protocol(r.out.protocol)}
	if s.State > Active {
		s.State = Unknown
	}
	if s.Protocol != T0 && s.Protocol != T1 && s.Protocol != Raw {
		s.Protocol = Undefined
	}
	if n := r.out.atrSize; n > 0 && n <= maxATR && (s.State == Inactive || s.State == Active) {
		s.ATR = append([]byte(nil), r.out.atr[:n]...)
	}
	return s
}

// textOf is the text of c up to its NUL, which some producers do not write.
func textOf(c []uint16) string {
	for i, v := range c {
		if v == 0 {
			c = c[:i]
			break
		}
	}
	return string(utf16.Decode(c))
}

// Transmit sends a command to the card and copies its response to response (UEFI 2.11, 37.6.5). n
// is its length in bytes. With ErrShortResponse n is the length that the response had, and the
// response is lost. The Reader keeps neither command nor response.
//
// Statuses: uefi.NoMedia without a card, uefi.NotReady without power, uefi.Timeout,
// uefi.ProtocolError, uefi.AccessDenied while another call is in progress.
func (r *Reader) Transmit(command, response []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check(); err != nil {
		return 0, err
	}
	r.expect()
	status := abi.Call(r.table.Transmit, r.addr, uintptr(unsafe.Pointer(unsafe.SliceData(command))),
		uintptr(len(command)),
		uintptr(unsafe.Pointer(r.answer)), uintptr(unsafe.Pointer(&r.out.size)))
	return r.take("Transmit", status, response)
}

// Control sends a control code to the reader's driver and copies the answer, which may be empty, to
// out (UEFI 2.11, 37.6.6). in may be nil for codes without input. Errors are those of Transmit.
func (r *Reader) Control(code uint32, in, out []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check(); err != nil {
		return 0, err
	}
	r.expect()
	status := abi.Call(r.table.Control, r.addr, uintptr(code),
		uintptr(unsafe.Pointer(unsafe.SliceData(in))), uintptr(len(in)),
		uintptr(unsafe.Pointer(r.answer)), uintptr(unsafe.Pointer(&r.out.size)))
	return r.take("Control", status, out)
}

// GetAttrib is the value of an attribute (UEFI 2.11, 37.6.7) with a number of PC/SC part 3, 3.1.2.
// The slice belongs to the caller. uefi.Unsupported reports an attribute that the driver does not
// support.
func (r *Reader) GetAttrib(id scard.Attrib) (value []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check(); err != nil {
		return nil, err
	}
	r.expect()
	status := abi.Call(r.table.GetAttrib, r.addr, uintptr(id), uintptr(unsafe.Pointer(r.answer)),
		uintptr(unsafe.Pointer(&r.out.size)))
	if size := r.out.size; !uefi.Status(status).IsError() && size <= maxResponse {
		value = make([]byte, size)
	}
	n, err := r.take("GetAttrib", status, value)
	return value[:n:n], err
}

// expect prepares the buffer for an answer of any length.
func (r *Reader) expect() {
	if r.answer == nil {
		r.answer = new([maxResponse]byte)
	}
	r.out.size = maxResponse
}

// take copies an answer to the caller and wipes it here, because it may hold secrets. After an
// error the whole buffer is wiped: the size may be less than what the producer has written.
func (r *Reader) take(op string, status uintptr, to []byte) (n int, err error) {
	size := r.out.size
	if err := failed(op, status, size); err != nil {
		clear(r.answer[:])
		return 0, err
	}
	if size > maxResponse {
		clear(r.answer[:])
		return 0, ErrProducer
	}
	defer clear(r.answer[:size])
	if int(size) > len(to) {
		return int(size), ErrShortResponse
	}
	return copy(to, r.answer[:size]), nil
}
