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

// A Tap sees a device's traffic as a bus monitor would. Calls come in the order of the bus; data is not kept.
type Tap interface {
	// Control is a whole control transfer with its data, of either direction.
	Control(setup usb.Setup, data []byte, err error)
	// Transfer is a bulk or interrupt transfer. For an IN endpoint length is what the host asked for.
	Transfer(endpoint uint8, kind usb.TransferType, length int, data []byte, err error)
}

// maxEvents bounds unplugs and replugs that a peer has not been told of. policy
const maxEvents = 64

// Server gives one device to whoever connects, one connection at a time.
type Server struct {
	Device *reader.Device
	// Tap, when not nil, sees the traffic. It must be set before a connection is served.
	Tap Tap

	watch sync.Once
	mu    sync.Mutex
	conn  *conn // the one being served
}

// conn is one connection.
//
//	from the peer            | does
//	hello                    | interfaces, endpoints, connect (when the device is attached)
//	reset                    | bus reset; transfers under way end cancelled
//	configuration, setting   | answers, the former with interfaces and endpoints again
//	control                  | at once
//	bulk OUT, interrupt OUT  | at once
//	bulk IN                  | when the device has something, in the order asked
//	start interrupt          | reads the endpoint until stopped, each transfer a packet
//	cancel                   | the transfer ends cancelled
//	disconnect ack           | nothing
//	streams, iso, buffered   | status "invalid"
//	other                    | the connection ends
type conn struct {
	s      *Server
	d      *reader.Device
	rw     io.ReadWriteCloser
	ctx    context.Context
	events chan bool // attached or not, as it changed
	long   bool      // 64-bit ids
	caps   uint32    // of both

	mu        sync.Mutex // writes, and what is below
	out       []byte
	connected bool
	pending   map[uint64]*transfer
	streams   map[uint8]context.CancelFunc // interrupt endpoints being read
	order     map[uint8]chan struct{}      // bulk IN: closed when the transfer before is over
	unsent    map[uint8][][]byte           // interrupt transfers read when nobody listened
	wg        sync.WaitGroup
}

// A transfer is one that has not been answered. over is closed when it has.
type transfer struct {
	cancel context.CancelFunc
	over   chan struct{}
}

// Serve runs one connection until it ends or ctx does, and closes it. The result is nil when the peer closed it between packets.
func (s *Server) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	s.watch.Do(func() { s.Device.Watch(s.attachment) })
	ctx, cancel := context.WithCancel(ctx)
	c := &conn{
		s: s, d: s.Device, rw: rw, ctx: ctx, events: make(chan bool, maxEvents), pending: map[uint64]*transfer{},
		streams: map[uint8]context.CancelFunc{}, order: map[uint8]chan struct{}{}, unsent: map[uint8][][]byte{},
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
		return context.Cause(ctx) // nil unless it was the context that ended it
	}
	return err
}

// Listen serves whoever connects, one at a time, until ctx ends. A connection that breaks the protocol is closed.
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
		s.Serve(ctx, conn) // its end concerns this peer only
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// attachment passes an unplug or replug on to the connection. The device is locked, so nothing is written from here.
func (s *Server) attachment(attached bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		select {
		case s.conn.events <- attached:
		default: // a device that flutters faster than its peer listens
		}
	}
}

// follow tells the peer of each unplug and replug, in their order.
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
		body := make([]byte, h.length) // transfers outlive this turn of the loop
		if _, err := io.ReadFull(c.rw, body); err != nil {
			return err
		}
		if err := c.handle(h, body); err != nil {
			return err
		}
	}
}

// write sends a packet; c.mu is held.
func (c *conn) write(kind uint32, id uint64, parts ...[]byte) error {
	c.out = appendPacket(c.out[:0], kind, id, c.long && kind != typeHello, parts...)
	_, err := c.rw.Write(c.out)
	return err
}

// connect announces the device: its interfaces first, since a peer's filter wants them; c.mu is held.
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

// describe sends interface and endpoint information; c.mu is held.
func (c *conn) describe() {
	interfaces, _ := usb.Interfaces(c.d.Model().ConfigDescriptor()) // our own: sound
	n := min(len(interfaces), maxInterface)
	info := binary.LittleEndian.AppendUint32(nil, uint32(n))
	info = append(info, make([]byte, 4*maxInterface)...)
	kinds, intervals, numbers := make([]byte, endpointSlot), make([]byte, endpointSlot), make([]byte, endpointSlot)
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
