//go:build !tamago

package usbredir

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// Sizes of packet headers (usbredir, "usb_redir_control_packet" and others).
const (
	controlHeader     = 10
	bulkHeader        = 8 // endpoint, status, length, stream
	bulkHeaderLong    = 10
	interruptHeader   = 4
	maxBulkIn         = 1 << 20
	maxPending        = 256 // transfers of one connection at a time (policy)
	interruptTransfer = 64  // largest packet of a full-speed interrupt endpoint (USB 2.0, 5.7.3)
)

// leastBody has the least length of the body of each packet from a peer. Other types are a
// violation of the protocol.
var leastBody = map[uint32]int{
	typeReset: 0, typeSetConfiguration: 1, typeGetConfiguration: 0, typeSetAltSetting: 2,
	typeGetAltSetting: 1,
	typeStartIso:      1, typeStopIso: 1, typeStartInterrupt: 1, typeStopInterrupt: 1,
	typeAllocStreams: 8, typeFreeStreams: 4,
	typeCancel: 0, typeFilterReject: 0, typeFilterFilter: 0, typeDisconnectAck: 0, typeStartBulk: 5,
	typeStopBulk: 5,
	typeControl:  controlHeader, typeBulk: bulkHeader, typeIso: 4, typeInterrupt: interruptHeader,
}

// handle handles one packet.
func (c *conn) handle(h header, body []byte) error {
	least, ok := leastBody[h.kind]
	if h.kind == typeBulk {
		least = c.bulkHeader()
	}
	if !ok || len(body) < least {
		return fmt.Errorf("%w: packet type %d with %d bytes", ErrPeer, h.kind, len(body))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch h.kind {
	case typeReset:
		c.endAll()
		c.mu.Unlock()
		c.d.BusReset()
		c.mu.Lock()
	case typeSetConfiguration:
		_, err := c.control(usb.Setup{Request: usb.RequestSetConfiguration, Value: uint16(body[0])},
			nil)
		c.describe()
		return c.write(typeConfiguration, h.id, []byte{status(err), body[0]})
	case typeGetConfiguration:
		var b [1]byte
		_, err := c.control(usb.Setup{RequestType: usb.DirIn, Request: usb.RequestGetConfiguration,
			Length: 1}, b[:])
		return c.write(typeConfiguration, h.id, []byte{status(err), b[0]})
	case typeSetAltSetting:
		_, err := c.control(usb.Setup{RequestType: usb.ToInterface,
			Request: usb.RequestSetInterface, Index: uint16(body[0]), Value: uint16(body[1])}, nil)
		c.describe()
		return c.write(typeAltSetting, h.id, []byte{status(err), body[0], body[1]})
	case typeGetAltSetting:
		var b [1]byte
		_, err := c.control(usb.Setup{RequestType: usb.DirIn | usb.ToInterface,
			Request: usb.RequestGetInterface, Index: uint16(body[0]), Length: 1}, b[:])
		return c.write(typeAltSetting, h.id, []byte{status(err), body[0], b[0]})
	case typeStartInterrupt:
		err := c.write(typeInterruptStatus, h.id, []byte{statusSuccess, body[0]})
		c.startInterrupt(body[0])
		return err
	case typeStopInterrupt:
		c.stopInterrupt(body[0])
		return c.write(typeInterruptStatus, h.id, []byte{statusSuccess, body[0]})
	case typeCancel:
		// The answer must precede that to the next packet, which may have the same id: QEMU 7.2
		// (hcd-uhci) uses addresses as ids.
		if t := c.pending[h.id]; t != nil {
			t.cancel()
			c.mu.Unlock()
			<-t.over
			c.mu.Lock()
		}
	case typeControl:
		return c.controlPacket(h.id, body)
	case typeBulk:
		return c.bulkPacket(h.id, body)
	case typeInterrupt:
		err := c.send(body[0], usb.InterruptTransfer, body[interruptHeader:])
		return c.write(typeInterrupt, h.id, []byte{body[0], status(err), body[2], body[3]})
	case typeAllocStreams, typeFreeStreams:
		return c.write(typeStreamsStatus, h.id,
			append(append([]byte(nil), body[:4]...), 0, 0, 0, 0, statusInvalid))
	case typeStartIso, typeStopIso:
		return c.write(typeIsoStatus, h.id, []byte{statusInvalid, body[0]})
	case typeStartBulk, typeStopBulk:
		return c.write(typeBulkStatus, h.id, body[:4], []byte{body[4], statusInvalid})
	}
	return nil // filters and acknowledgements
}

// status returns the protocol's status for an error of a transfer.
func status(err error) byte {
	switch {
	case err == nil:
		return statusSuccess
	case errors.Is(err, usb.ErrStall):
		return statusStall
	case errors.Is(err, usb.ErrBabble):
		return statusBabble
	case errors.Is(err, usb.ErrTimeout):
		return statusTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, usb.ErrGone):
		return statusCancelled
	}
	return statusIOError
}

// control does a control transfer and passes it to the tap.
func (c *conn) control(setup usb.Setup, data []byte) (int, error) {
	n, err := c.d.Control(setup, data)
	if c.s.Tap != nil {
		c.s.Tap.Control(setup, data[:min(n, len(data))], err)
	}
	return n, err
}

// controlPacket handles a control transfer.
func (c *conn) controlPacket(id uint64, body []byte) error {
	le := binary.LittleEndian
	head := append([]byte(nil), body[:controlHeader]...)
	// endpoint, request, requesttype, status, value, index, length
	setup := usb.Setup{Request: body[1], RequestType: body[2], Value: le.Uint16(body[4:]),
		Index: le.Uint16(body[6:]), Length: le.Uint16(body[8:])}
	data := body[controlHeader:]
	if setup.In() {
		data = make([]byte, setup.Length)
	} else if len(data) < int(setup.Length) {
		return fmt.Errorf("%w: control transfer of %d bytes with %d", ErrPeer, setup.Length,
			len(data))
	}
	n, err := c.control(setup, data)
	if errors.Is(err, reader.ErrBlocked) {
		return nil // endless NAK: the peer's host ends the transfer
	}
	head[3] = status(err)
	le.PutUint16(head[8:], uint16(n))
	if !setup.In() || err != nil {
		data, n = nil, 0
	}
	return c.write(typeControl, id, head, data[:n])
}

// bulkHeader returns the length of a bulk packet's header.
func (c *conn) bulkHeader() int {
	if c.caps&cap32BitBulkLength != 0 {
		return bulkHeaderLong
	}
	return bulkHeader
}

// send does a transfer to an OUT endpoint and passes it to the tap.
func (c *conn) send(endpoint uint8, kind usb.TransferType, data []byte) error {
	err := c.d.Out(endpoint, data)
	if c.s.Tap != nil {
		c.s.Tap.Transfer(endpoint, kind, len(data), data, err)
	}
	return err
}

// bulkPacket handles a bulk transfer.
func (c *conn) bulkPacket(id uint64, body []byte) error {
	le := binary.LittleEndian
	// endpoint, status, length, stream, length_high
	head := append([]byte(nil), body[:c.bulkHeader()]...)
	endpoint, length := body[0], int(le.Uint16(body[2:]))
	if len(head) == bulkHeaderLong {
		length |= int(le.Uint16(body[8:])) << 16
	}
	if endpoint&usb.DirIn == 0 {
		data := body[len(head):]
		err := c.send(endpoint, usb.BulkTransfer, data[:min(len(data), length)])
		if errors.Is(err, reader.ErrBlocked) {
			c.hold(id, head) // NAK until the cancellation
			return nil
		}
		head[1] = status(err)
		return c.write(typeBulk, id, head)
	}
	if length > maxBulkIn || len(c.pending) >= maxPending {
		head[1] = statusInvalid
		c.length(head, 0)
		return c.write(typeBulk, id, head)
	}
	c.read(id, head, endpoint, length)
	return nil
}

// length sets the length in a bulk packet's header.
func (c *conn) length(head []byte, n int) {
	binary.LittleEndian.PutUint16(head[2:], uint16(n))
	if len(head) == bulkHeaderLong {
		binary.LittleEndian.PutUint16(head[8:], uint16(n>>16))
	}
}

// begin records a transfer that is not answered at once. c.mu is held.
func (c *conn) begin(id uint64, cancel context.CancelFunc) *transfer {
	t := &transfer{cancel: cancel, over: make(chan struct{})}
	c.pending[id] = t
	return t
}

// hold keeps a transfer that the device does not accept, until it is cancelled.
func (c *conn) hold(id uint64, head []byte) {
	ctx, cancel := context.WithCancel(c.ctx)
	t := c.begin(id, cancel)
	c.wg.Go(func() {
		defer close(t.over)
		<-ctx.Done()
		c.finish(id, head, nil, ctx.Err())
	})
}

// read starts a bulk IN transfer after the earlier ones of its endpoint.
func (c *conn) read(id uint64, head []byte, endpoint uint8, length int) {
	ctx, cancel := context.WithCancel(c.ctx)
	t := c.begin(id, cancel)
	before := c.order[endpoint]
	c.order[endpoint] = t.over
	c.wg.Go(func() {
		defer close(t.over)
		if before != nil {
			select {
			case <-before:
			case <-ctx.Done():
			}
		}
		buf := make([]byte, length)
		n, err := c.d.In(ctx, endpoint, buf)
		c.finish(id, head, buf[:n], err)
		cancel()
	})
}

// finish answers a transfer, unless the connection or the device has gone.
func (c *conn) finish(id uint64, head, data []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
	if c.ctx.Err() != nil || errors.Is(err, usb.ErrGone) {
		return // there is no peer, or it does not expect an answer
	}
	if c.s.Tap != nil && head[0]&usb.DirIn != 0 {
		length := int(binary.LittleEndian.Uint16(head[2:]))
		if len(head) == bulkHeaderLong {
			length |= int(binary.LittleEndian.Uint16(head[8:])) << 16
		}
		c.s.Tap.Transfer(head[0], usb.BulkTransfer, length, data, err)
	}
	head[1] = status(err)
	c.length(head, len(data))
	c.write(typeBulk, id, head, data)
}

// startInterrupt reads an interrupt endpoint until it is stopped. The peer buffers the data.
func (c *conn) startInterrupt(endpoint uint8) {
	if c.streams[endpoint] != nil || endpoint&usb.DirIn == 0 {
		return
	}
	for _, b := range c.unsent[endpoint] {
		c.write(typeInterrupt, 0, []byte{endpoint, statusSuccess, byte(len(b)), byte(len(b) >> 8)},
			b)
	}
	delete(c.unsent, endpoint)
	ctx, cancel := context.WithCancel(c.ctx)
	c.streams[endpoint] = cancel
	c.wg.Go(func() {
		for {
			buf := make([]byte, interruptTransfer)
			n, err := c.d.In(ctx, endpoint, buf)
			if err != nil && ctx.Err() != nil || errors.Is(err, usb.ErrGone) {
				return
			}
			c.mu.Lock()
			if ctx.Err() != nil { // stopped after a transfer, which is kept for the next start
				c.unsent[endpoint] = append(c.unsent[endpoint], buf[:n])
				c.mu.Unlock()
				return
			}
			if c.s.Tap != nil {
				c.s.Tap.Transfer(endpoint, usb.InterruptTransfer, len(buf), buf[:n], err)
			}
			c.write(typeInterrupt, 0, []byte{endpoint, status(err), byte(n), byte(n >> 8)}, buf[:n])
			if err != nil { // halted: the peer starts again after it has cleared the halt
				delete(c.streams, endpoint)
			}
			c.mu.Unlock()
			if err != nil {
				cancel()
				return
			}
		}
	})
}

// stopInterrupt ends startInterrupt.
func (c *conn) stopInterrupt(endpoint uint8) {
	if cancel := c.streams[endpoint]; cancel != nil {
		cancel()
		delete(c.streams, endpoint)
	}
}

// endAll cancels all transfers.
func (c *conn) endAll() {
	for _, t := range c.pending {
		t.cancel()
	}
	for e := range c.streams {
		c.stopInterrupt(e)
	}
}
