package reader

import (
	"context"
	"errors"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// Device is a virtual USB device. Its methods are safe for concurrent use. A class driver in the
// same program uses Open; a bus uses Control, Out, In and ClearHalt.
type Device struct {
	mu      sync.Mutex
	model   Model
	readers []*Reader // by function; nil for another class
	in      map[uint8]*queue
	out     map[uint8]*pipe
	script  []*Fault
	gone    chan struct{} // closed by Unplug
	present bool
	config  uint8
	// settings are the alternate settings of the functions.
	settings []uint8
	watch    []func(attached bool)
}

// pipe is an OUT endpoint. It joins transfers into messages by dwLength, since a host controller
// may split a message at each packet.
type pipe struct {
	function int
	reader   *Reader
	message  []byte
	skip     bool // discard data until a short packet: the message was refused
	halted   bool
}

// NewDevice returns a device that is attached and has no cards.
func NewDevice(m Model) *Device {
	d := &Device{model: m, in: map[uint8]*queue{}, out: map[uint8]*pipe{},
		gone: make(chan struct{}), present: true, config: 1}
	d.readers, d.settings = make([]*Reader, len(m.Functions)), make([]uint8, len(m.Functions))
	for i := range m.Functions {
		e := m.endpoints(i)
		if m.Functions[i].CCID != nil {
			d.readers[i] = newReader(d, i)
		}
		if e.out != 0 {
			d.out[e.out] = &pipe{function: i, reader: d.readers[i]}
			d.in[e.in] = newQueue(i, int(m.packetSize()), m.ZLP == OmitZLP)
		}
		if e.interrupt != 0 {
			d.in[e.interrupt] = newQueue(i, interruptPacket, false)
		}
	}
	d.Inject(m.Faults...)
	d.powerOn()
	return d
}

// Model returns the device's description. It must not be changed.
func (d *Device) Model() *Model { return &d.model }

// Reader returns the n-th reader of the device, from 0, without functions of other classes. It is
// nil if the device has fewer.
func (d *Device) Reader(n int) *Reader {
	for _, r := range d.readers {
		if r == nil {
			continue
		}
		if n == 0 {
			return r
		}
		n--
	}
	return nil
}

// Unplug detaches the device: transfers in progress and later ones end with usb.ErrGone. Cards stay
// in their slots, without power.
func (d *Device) Unplug() {
	d.mu.Lock()
	d.unplug()
	d.mu.Unlock()
}

// unplug is Unplug with d.mu held.
func (d *Device) unplug() {
	if !d.present {
		return
	}
	d.present = false
	close(d.gone)
	for _, w := range d.watch {
		w(false)
	}
}

// Replug attaches the device again, in the state after power-on.
func (d *Device) Replug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.present {
		return
	}
	d.present, d.gone = true, make(chan struct{})
	d.powerOn()
	for _, w := range d.watch {
		w(true)
	}
}

// Attached reports whether the device is attached.
func (d *Device) Attached() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.present
}

// Watch makes each Unplug and Replug call f. The device is locked: f must not call its methods.
func (d *Device) Watch(f func(attached bool)) {
	d.mu.Lock()
	d.watch = append(d.watch, f)
	d.mu.Unlock()
}

// powerOn sets the state after attachment or a bus reset.
func (d *Device) powerOn() {
	clear(d.settings)
	for _, q := range d.in {
		q.reset()
	}
	for _, p := range d.out {
		p.message, p.skip, p.halted = p.message[:0], false, false
	}
	for _, r := range d.readers {
		if r != nil {
			r.powerOn()
		}
	}
}

// BusReset resets the device, as a hub port does.
func (d *Device) BusReset() {
	d.mu.Lock()
	d.powerOn()
	d.mu.Unlock()
}

// ErrBlocked means that an endpoint answers NAK without end. The bus decides when the transfer
// ends.
var ErrBlocked = errors.New("reader: endpoint answers NAK for ever")

// Out does one transfer to an OUT endpoint. The error is ErrBlocked if the device answers NAK
// without end.
func (d *Device) Out(endpoint uint8, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pipe(endpoint)
	switch {
	case !d.present:
		return usb.ErrGone
	case p == nil:
		return usb.ErrTransfer
	case p.halted:
		return usb.ErrStall
	}
	if len(d.script) > 0 {
		e := Event{Moment: AtOut, Device: d, Reader: p.reader, Endpoint: endpoint, Message: data}
		d.faults(&e)
		switch {
		case !d.present:
			return usb.ErrGone
		case e.Err != nil:
			p.halted = e.Err == usb.ErrStall
			return e.Err
		case e.Blocked:
			return ErrBlocked
		case e.Swallow:
			return nil
		}
		data = e.Message
	}
	p.write(data, int(d.model.packetSize()), d.model.Strict)
	if p.halted {
		return usb.ErrStall
	}
	if !d.present {
		return usb.ErrGone
	}
	return nil
}

// write adds a transfer to the present message, and executes a complete one.
func (p *pipe) write(data []byte, packet int, strict bool) {
	short := len(data)%packet != 0 || len(data) == 0
	if p.skip {
		p.skip = !short
		return
	}
	if len(data) == 0 && len(p.message) == 0 {
		p.halted = strict
		return
	}
	p.message = append(p.message, data...)
	if len(p.message) < headerSize {
		if short { // no complete header: the reader cannot answer
			p.message = p.message[:0]
			p.halted = true
		}
		return
	}
	length := messageLength(p.message)
	switch {
	case length > p.reader.maxMessage():
		p.reader.refuse(p.message, badLength)
		p.skip = !short
	case len(p.message) >= length:
		p.reader.receive(p.message[:length], len(p.message) == length)
	case short:
		p.reader.refuse(p.message, badLength)
	default:
		return
	}
	p.message = p.message[:0]
}

// In reads one transfer from an IN endpoint into buf. The transfer ends with a short packet, a
// zero-length packet, or when buf is full. With an error too, n bytes were read.
func (d *Device) In(ctx context.Context, endpoint uint8, buf []byte) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queue(endpoint)
	if q == nil {
		return 0, usb.ErrTransfer
	}
	t := transport{d: d, gone: d.gone}
	return t.read(ctx, q, buf, 0)
}

// pause waits for wake, gone, the time wait if it is not negative, or the end of ctx.
func pause(ctx context.Context, wake, gone <-chan struct{}, wait time.Duration) {
	var due <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-wake:
	case <-gone:
	case <-due:
	case <-ctx.Done():
	}
}

// ClearHalt ends the halt of an endpoint.
func (d *Device) ClearHalt(endpoint uint8) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.present {
		return usb.ErrGone
	}
	return d.clearHalt(endpoint)
}

// clearHalt is ClearHalt with d.mu held.
func (d *Device) clearHalt(endpoint uint8) error {
	if q := d.queue(endpoint); q != nil {
		q.halted = false
		q.signal()
		return nil
	}
	if p := d.pipe(endpoint); p != nil {
		p.halted = false
		p.message, p.skip = p.message[:0], false
		return nil
	}
	return usb.ErrStall
}
