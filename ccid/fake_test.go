package ccid

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

// fake is a reader as a function: each bulk OUT message gives the bulk IN transfers that answer it.
type fake struct {
	mu      sync.Mutex
	dev     *usb.Device
	answer  func(f *fake, m []byte) [][]byte
	control func(f *fake, s usb.Setup, data []byte) (int, error)
	queue   [][]byte // waiting bulk IN transfers; nil is a stall
	notes   chan []byte
	sent    [][]byte
	halts   []uint8
	aborts  int
	gone    bool
	closed  bool
	wake    chan struct{}
	packet  int
	outFail []error
}

const (
	fakeOut  = 0x01
	fakeIn   = 0x82
	fakeNote = 0x83
)

// classBytes builds a class descriptor.
func classBytes(c ClassDescriptor) []byte {
	le := binary.LittleEndian
	b := make([]byte, classDescriptorSize)
	b[0], b[1] = classDescriptorSize, typeFunctional
	le.PutUint16(b[2:], 0x0110)
	b[4], b[5] = c.MaxSlotIndex, c.VoltageSupport
	le.PutUint32(b[6:], c.Protocols)
	le.PutUint32(b[10:], c.DefaultClock)
	le.PutUint32(b[14:], c.MaximumClock)
	b[18] = c.ClocksSupported
	le.PutUint32(b[19:], c.DataRate)
	le.PutUint32(b[23:], c.MaxDataRate)
	b[27] = c.DataRates
	le.PutUint32(b[28:], c.MaxIFSD)
	le.PutUint32(b[36:], c.Mechanical)
	le.PutUint32(b[40:], uint32(c.Features))
	le.PutUint32(b[44:], c.MaxMessageLength)
	b[48], b[49] = 0xFF, 0xFF
	b[50], b[51] = c.LcdCharacters, c.LcdLines
	b[52], b[53] = c.PINSupport, c.MaxBusySlots
	return b
}

// class is a common reader at an exchange level.
func class(level Features) ClassDescriptor {
	return ClassDescriptor{
		VoltageSupport: 7, Protocols: 3, DefaultClock: 4000, MaximumClock: 4000, DataRate: 10752,
		MaxDataRate: 344086,
		MaxIFSD:     254, MaxMessageLength: 271, MaxBusySlots: 1,
		Features: level | FeatureAutoVoltage | FeatureAutoClock | FeatureAutoBaud,
	}
}

// configBytes builds a configuration descriptor with one interface.
func configBytes(ifClass, protocol byte, class []byte, endpoints ...[]byte) []byte {
	b := []byte{9, 2, 0, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, byte(len(endpoints)), ifClass, 0,
		protocol, 0}
	b = append(b, class...)
	for _, e := range endpoints {
		b = append(b, e...)
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func bulkEndpoints(packet byte) [][]byte {
	return [][]byte{{7, 5, fakeOut, 2, packet, 0, 0}, {7, 5, fakeIn, 2, packet, 0, 0},
		{7, 5, fakeNote, 3, 8, 0, 16}}
}

func deviceBytes(vendor, product, version uint16) []byte {
	b := []byte{18, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 1, 2, 3, 1}
	binary.LittleEndian.PutUint16(b[8:], vendor)
	binary.LittleEndian.PutUint16(b[10:], product)
	binary.LittleEndian.PutUint16(b[12:], version)
	return b
}

func newFake(c ClassDescriptor, answer func(f *fake, m []byte) [][]byte) *fake {
	return &fake{
		dev: &usb.Device{
			Descriptor:   deviceBytes(0x1234, 0x5678, 0x0100),
			Config:       configBytes(0x0B, 0, classBytes(c), bulkEndpoints(64)...),
			Manufacturer: "Maker", Product: "Reader", Serial: "0001",
		},
		answer: answer, notes: make(chan []byte, 16), wake: make(chan struct{}, 1), packet: 64,
	}
}

func (f *fake) Device() *usb.Device { return f.dev }
func (f *fake) MaxIn() int          { return 65536 }

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.gone = true, true
	close(f.wake)
	return nil
}

func (f *fake) ring() {
	if f.closed {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// push queues bulk IN transfers, as a reader that answers late does.
func (f *fake) push(transfers ...[]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, transfers...)
	f.ring()
}

func (f *fake) Control(_ context.Context, s usb.Setup, data []byte, _ time.Duration) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return 0, usb.ErrGone
	}
	if s.RequestType == 0x21 && s.Request == pipe.RequestAbort {
		f.aborts++
	}
	if f.control == nil {
		return 0, usb.ErrStall
	}
	return f.control(f, s, data)
}

func (f *fake) Out(_ context.Context, endpoint uint8, b []byte, _ time.Duration) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return 0, usb.ErrGone
	}
	if len(f.outFail) > 0 {
		err := f.outFail[0]
		f.outFail = f.outFail[1:]
		if err != nil {
			return 0, err
		}
	}
	m := append([]byte(nil), b...)
	f.sent = append(f.sent, m)
	f.queue = append(f.queue, f.answer(f, m)...)
	f.ring()
	return len(b), nil
}

func (f *fake) In(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (int,
	error) {
	if endpoint == fakeNote {
		return f.interrupt(ctx, buf, timeout)
	}
	var expired <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		expired = t.C
	}
	for {
		f.mu.Lock()
		if f.gone {
			f.mu.Unlock()
			return 0, usb.ErrGone
		}
		if len(f.queue) > 0 {
			head := f.queue[0]
			if head == nil {
				f.queue = f.queue[1:]
				f.mu.Unlock()
				return 0, usb.ErrStall
			}
			n := copy(buf, head)
			if n < len(head) {
				f.queue[0] = head[n:]
			} else {
				f.queue = f.queue[1:]
			}
			f.mu.Unlock()
			return n, nil
		}
		f.mu.Unlock()
		select {
		case <-f.wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-expired:
			return 0, usb.ErrTimeout
		}
	}
}

func (f *fake) interrupt(ctx context.Context, buf []byte, timeout time.Duration) (int, error) {
	var expired <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		expired = t.C
	}
	select {
	case b := <-f.notes:
		return copy(buf, b), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-expired:
		return 0, usb.ErrTimeout
	}
}

func (f *fake) ClearHalt(_ context.Context, endpoint uint8) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.halts = append(f.halts, endpoint)
	return nil
}

// unplug takes the reader away.
func (f *fake) unplug() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	f.ring()
}

// respond builds a response to the command m.
func respond(m []byte, t pipe.MessageType, status, code, last byte, data ...byte) []byte {
	b := make([]byte, pipe.HeaderSize, pipe.HeaderSize+len(data))
	pipe.PutHeader(b, t, len(data), m[5], m[6], [3]byte{status, code, last})
	return append(b, data...)
}

// ordinary answers everything but XfrBlock the way a healthy reader with a card does; xfr answers
// that.
func ordinary(atr []byte, xfr func(m, payload []byte) []byte) func(*fake, []byte) [][]byte {
	powered := false
	icc := func() byte {
		if powered {
			return pipe.ICCActive
		}
		return pipe.ICCInactive
	}
	return func(_ *fake, m []byte) [][]byte {
		switch pipe.MessageType(m[0]) {
		case pipe.IccPowerOn:
			powered = true
			return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, atr...)}
		case pipe.IccPowerOff:
			powered = false
			return [][]byte{respond(m, pipe.SlotStatus, icc(), 0, 0)}
		case pipe.SetParameters:
			return [][]byte{respond(m, pipe.Parameters, icc(), 0, m[7], m[pipe.HeaderSize:]...)}
		case pipe.XfrBlock:
			return [][]byte{respond(m, pipe.DataBlock, icc(), 0, 0, xfr(m, m[pipe.HeaderSize:])...)}
		case pipe.GetSlotStatus, pipe.Abort:
			return [][]byte{respond(m, pipe.SlotStatus, icc(), 0, 0)}
		}
		return [][]byte{respond(m, pipe.MessageType(m[0]).Response(), pipe.StatusFailed|icc(),
			pipe.CodeCommandNotSupported, 0)}
	}
}

var (
	atrT0 = []byte{0x3B, 0x00}
	atrT1 = []byte{0x3B, 0x80, 0x01, 0x81}
)

// quick are waits for tests.
var quick = &Timing{
	Write: 200 * time.Millisecond, Answer: 60 * time.Millisecond, Power: 100 * time.Millisecond,
	Abort: 50 * time.Millisecond,
	Halt:  50 * time.Millisecond, Limit: 300 * time.Millisecond, Busy: time.Millisecond,
	Poll:     5 * time.Millisecond,
	PollICCD: time.Millisecond, Escape: 100 * time.Millisecond, PIN: 100 * time.Millisecond,
	Long: 100 * time.Millisecond,
}

// open opens a fake and returns its first slot.
func open(t testing.TB, f *fake, o Options) *Slot {
	t.Helper()
	if o.Timing == nil {
		o.Timing = quick
	}
	r, err := Open(context.Background(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r.Slots()[0]
}

// connected opens a fake and connects to its card.
func connected(t testing.TB, f *fake, o Options) *Slot {
	t.Helper()
	s := open(t, f, o)
	if _, err := s.Connect(context.Background(), T0|T1, ColdReset); err != nil {
		t.Fatal(err)
	}
	return s
}

// strictFake refuses reads that no host controller takes.
type strictFake struct {
	*fake
	t      *testing.T
	packet int
}

func (f *strictFake) In(ctx context.Context, endpoint uint8, buf []byte,
	timeout time.Duration) (int, error) {
	if endpoint == fakeIn && (len(buf) == 0 || len(buf)%f.packet != 0 || len(buf) > f.MaxIn()) {
		f.t.Errorf("read of %d bytes with packets of %d", len(buf), f.packet)
	}
	return f.fake.In(ctx, endpoint, buf, timeout)
}
