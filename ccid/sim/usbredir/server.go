//go:build !tamago

package usbredir

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// A Tap receives a device's traffic, as a bus monitor does. The calls are in the order of the bus.
// A Tap must not keep data.
type Tap interface {
	// Control receives a control transfer with its data.
	Control(setup usb.Setup, data []byte, err error)
	// Transfer receives a bulk or interrupt transfer. length is the requested number of bytes.
	Transfer(endpoint uint8, kind usb.TransferType, length int, data []byte, err error)
}

// maxEvents bounds the unplugs and replugs that were not sent to a peer yet (policy).
const maxEvents = 64

// Server serves one device to its peers, one connection at a time.
type Server struct {
	// Device is the device. It must not be changed after the first connection.
	Device *reader.Device
	// Tap, if set, receives the traffic. It must be set before the first connection.
	Tap Tap

	watch sync.Once
	mu    sync.Mutex
	conn  *conn // the present connection
}

// conn is one connection.
//
//	from the peer            | action
//	hello                    | send interfaces, endpoints and, if the device is attached, connect
//	reset                    | bus reset; cancel all transfers
//	configuration, setting   | answer; after a configuration send interfaces and endpoints again
//	control                  | answer at once
//	bulk OUT, interrupt OUT  | answer at once
//	bulk IN                  | answer when the device has data, in the order of the requests
//	start interrupt          | read the endpoint until it is stopped, one packet for each transfer
//	cancel                   | cancel the transfer
//	disconnect ack           | none
//	streams, iso, buffered   | answer with status "invalid"
//	other                    | end the connection
type conn struct {
	s      *Server
	d      *reader.Device
	rw     io.ReadWriteCloser
	ctx    context.Context
	events chan bool // unplugs (false) and replugs (true)
	long   bool      // 64-bit ids
	caps   uint32    // common capabilities

	mu        sync.Mutex // guards writes and the fields below
	out       []byte
	connected bool
	pending   map[uint64]*transfer
	streams   map[uint8]context.CancelFunc // interrupt endpoints in use
	order     map[uint8]chan struct{}      // bulk IN: closed at the end of the last transfer
	unsent    map[uint8][][]byte           // interrupt transfers that were read after a stop
	wg        sync.WaitGroup
}

// A transfer is a transfer without an answer yet. over is closed after the answer.
type transfer struct {
	cancel context.CancelFunc
	over   chan struct{}
}

// Serve serves one connection until it or ctx ends, and closes it. The result is nil if the peer
// closed it between packets, ErrPeer after a violation of the protocol.
func (s *Server) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	s.watch.Do(func() { s.Device.Watch(s.attachment) })
	ctx, cancel := context.WithCancel(ctx)
	c := &conn{
		s: s, d: s.Device, rw: rw, ctx: ctx, events: make(chan bool, maxEvents),
		pending: map[uint64]*transfer{},
		streams: map[uint8]context.CancelFunc{}, order: map[uint8]chan struct{}{},
		unsent: map[uint8][][]byte{},
	}
	s.mu.Lock()
	if s.conn != nil {
		s.mu.Unlock()
		cancel()
		return errors.Join(errors.New("usbredir: device is connected already"), rw.Close())
	}
	s.conn = c
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { rw.Close() })
	defer func() {
		s.mu.Lock()
		s.conn = nil
		s.mu.Unlock()
		stop()
		cancel()
		rw.Close()
		c.wg.Wait()
	}()
	err := c.run()
	switch {
	case err == nil, errors.Is(err, ErrPeer):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return context.Cause(ctx) // nil unless ctx has ended
	}
	return err
}

// Listen serves the connections to l, one at a time, until ctx ends. It closes a connection that
// violates the protocol.
func (s *Server) Listen(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		s.Serve(ctx, conn) // an error concerns this peer only
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// attachment passes an unplug or replug to the connection. It does not write, since the device is
// locked.
func (s *Server) attachment(attached bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		select {
		case s.conn.events <- attached:
		default: // more events than the peer reads
		}
	}
}

// follow sends each unplug and replug to the peer, in their order.
func (c *conn) follow() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case attached := <-c.events:
			c.mu.Lock()
			switch {
			case attached && !c.connected:
				c.connect()
			case !attached && c.connected:
				c.connected = false
				c.endAll()
				c.write(typeDeviceDisconnect, 0)
			}
			c.mu.Unlock()
		}
	}
}

// run exchanges hello and handles packets until the connection ends.
func (c *conn) run() error {
	hello := make([]byte, versionSize, versionSize+4)
	copy(hello, "tamaccid")
	hello = binary.LittleEndian.AppendUint32(hello, ours)
	c.mu.Lock()
	err := c.write(typeHello, 0, hello)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	h, err := readHeader(c.rw, false)
	if err != nil {
		return err
	}
	if h.kind != typeHello || h.length < versionSize {
		return fmt.Errorf("%w: no hello", ErrPeer)
	}
	body := make([]byte, h.length)
	if _, err := io.ReadFull(c.rw, body); err != nil {
		return err
	}
	if len(body) >= versionSize+4 {
		c.caps = binary.LittleEndian.Uint32(body[versionSize:]) & ours
	}
	c.long = c.caps&cap64BitIDs != 0
	c.mu.Lock()
	if c.d.Attached() {
		c.connect()
	}
	c.mu.Unlock()
	c.wg.Go(c.follow)
	for {
		h, err := readHeader(c.rw, c.long)
		if err != nil {
			return err
		}
		body := make([]byte, h.length) // a transfer may keep it
		if _, err := io.ReadFull(c.rw, body); err != nil {
			return err
		}
		if err := c.handle(h, body); err != nil {
			return err
		}
	}
}

// write sends a packet. c.mu is held.
func (c *conn) write(kind uint32, id uint64, parts ...[]byte) error {
	c.out = appendPacket(c.out[:0], kind, id, c.long && kind != typeHello, parts...)
	_, err := c.rw.Write(c.out)
	return err
}

// connect announces the device. Its interfaces are first, for the filter of a peer. c.mu is held.
func (c *conn) connect() {
	c.connected = true
	c.describe()
	p, err := usb.ParseDevice(c.d.Model().DeviceDescriptor())
	if err != nil {
		return
	}
	b := []byte{byte(speed(c.d.Model().Speed)), p.Class, p.SubClass, p.Protocol}
	le := binary.LittleEndian
	b = le.AppendUint16(b, p.Vendor)
	b = le.AppendUint16(b, p.Product)
	if c.caps&capConnectVersion != 0 {
		b = le.AppendUint16(b, p.Version)
	}
	c.write(typeDeviceConnect, 0, b)
}

// speed returns a speed of the protocol.
func speed(s usb.Speed) int {
	switch s {
	case usb.SpeedLow:
		return speedLow
	case usb.SpeedHigh:
		return speedHigh
	case usb.SpeedSuper:
		return speedSuper
	}
	return speedFull
}

// describe sends interface and endpoint information. c.mu is held.
func (c *conn) describe() {
	interfaces := c.d.Interfaces()
	n := min(len(interfaces), maxInterface)
	info := binary.LittleEndian.AppendUint32(nil, uint32(n))
	info = append(info, make([]byte, 4*maxInterface)...)
	kinds, intervals, numbers := make([]byte, endpointSlot), make([]byte, endpointSlot),
		make([]byte, endpointSlot)
	sizes := make([]byte, 2*endpointSlot)
	for i := range kinds {
		kinds[i] = unusedType
	}
	kinds[0], kinds[endpointSlot/2] = byte(usb.ControlTransfer), byte(usb.ControlTransfer)
	for i, f := range interfaces[:n] {
		for field, v := range []byte{f.Number, f.Class, f.SubClass, f.Protocol} {
			info[4+field*maxInterface+i] = v
		}
		for _, e := range f.Endpoints {
			slot := int(e.Address & 0x0F)
			if e.In() {
				slot += endpointSlot / 2
			}
			kinds[slot], intervals[slot], numbers[slot] = byte(e.Type), e.Interval, f.Number
			binary.LittleEndian.PutUint16(sizes[2*slot:], e.MaxPacketSize)
		}
	}
	c.write(typeInterfaceInfo, 0, info)
	if c.caps&capMaxPacketSize == 0 {
		sizes = nil
	}
	c.write(typeEndpointInfo, 0, kinds, intervals, numbers, sizes)
}
