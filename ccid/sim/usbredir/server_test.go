//go:build !tamago

package usbredir

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// peer is QEMU's side of a connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	done chan error
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func connect(t *testing.T, d *reader.Device) *peer {
	t.Helper()
	a, b := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{t: t, conn: b, done: make(chan error, 1)}
	go func() { p.done <- (&Server{Device: d}).Serve(ctx, a) }()
	t.Cleanup(func() { b.Close(); cancel(); <-p.done })
	b.SetDeadline(time.Now().Add(5 * time.Second))
	return p
}

// send writes a packet with a 64-bit id.
func (p *peer) send(kind uint32, id uint64, body string) {
	p.t.Helper()
	if _, err := p.conn.Write(appendPacket(nil, kind, id, kind != typeHello,
		unhex(p.t, body))); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) receive() (header, []byte) {
	p.t.Helper()
	h, err := readHeader(p.conn, true)
	if err != nil {
		p.t.Fatal(err)
	}
	body := make([]byte, h.length)
	if _, err := io.ReadFull(p.conn, body); err != nil {
		p.t.Fatal(err)
	}
	return h, body
}

func (p *peer) expect(kind uint32, id uint64, body string) {
	p.t.Helper()
	h, got := p.receive()
	if want := unhex(p.t, body); h.kind != kind || h.id != id || !bytes.Equal(got, want) {
		p.t.Fatalf("got packet %d, id %d, % X\nexpected   %d, id %d, % X", h.kind, h.id, got, kind,
			id, want)
	}
}

func (p *peer) hello() {
	p.t.Helper()
	var b [helloHeader + versionSize + 4]byte
	if _, err := io.ReadFull(p.conn, b[:]); err != nil {
		p.t.Fatal(err)
	}
	if caps := binary.LittleEndian.Uint32(b[helloHeader+versionSize:]); caps != 0x7A {
		p.t.Fatalf("capabilities %X", caps)
	}
	hello := append([]byte("QEMU"), make([]byte, versionSize-4)...)
	p.conn.Write(appendPacket(nil, typeHello, 0, false, hello, []byte{0xFF, 0, 0, 0}))
}

// attach expects the three packets that announce a device.
func (p *peer) attach() {
	p.t.Helper()
	zeros := func(n int) string { return strings.Repeat("00", n) }
	p.expect(typeInterfaceInfo, 0, "01000000"+zeros(32)+"0B"+zeros(31)+zeros(64))
	// control, bulk 01, control, bulk 81, interrupt 82
	p.expect(typeEndpointInfo, 0,
		"00 02"+strings.Repeat("FF", 14)+"00 02 03"+strings.Repeat("FF", 13)+
			zeros(18)+"10"+zeros(13)+zeros(32)+zeros(2)+"4000"+zeros(30)+"4000 0800"+zeros(26))
	p.expect(typeDeviceConnect, 0, "01 000000 0912 0100 0001")
}

func TestExchangeWithQEMU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := reader.NewDevice(reader.New(reader.TPDU))
		d.Reader(0).Insert(0, card.T0())
		p := connect(t, d)
		p.hello()
		p.attach()
		// device descriptor
		p.send(typeControl, 1, "80 06 80 00 0001 0000 1200")
		p.expect(typeControl, 1,
			"80 06 80 00 0001 0000 1200"+hex.EncodeToString(d.Model().DeviceDescriptor()))
		// a request that a full-speed device stalls: device qualifier
		p.send(typeControl, 2, "80 06 80 00 0006 0000 0A00")
		p.expect(typeControl, 2, "80 06 80 04 0006 0000 0000")
		p.send(typeSetConfiguration, 3, "01")
		if h, _ := p.receive(); h.kind != typeInterfaceInfo {
			t.Fatalf("packet %d", h.kind)
		}
		if h, _ := p.receive(); h.kind != typeEndpointInfo {
			t.Fatalf("packet %d", h.kind)
		}
		p.expect(typeConfiguration, 3, "00 01")
		// slot change; then power on, with the IN request first, which has no answer (NAK)
		p.send(typeStartInterrupt, 4, "82")
		p.expect(typeInterruptStatus, 4, "00 82")
		p.expect(typeInterrupt, 0, "82 00 0200 5003")
		p.send(typeBulk, 5, "81 00 0002 00000000 0000")
		p.send(typeBulk, 6, "01 00 0A00 00000000 0000 62 00000000 00 01 00 0000")
		got := map[uint64][]byte{} // in either order
		for range 2 {
			h, body := p.receive()
			got[h.id] = body
		}
		if want := unhex(t, "01 00 0A00 00000000 0000"); !bytes.Equal(got[6], want) {
			t.Errorf("OUT answered % X", got[6])
		}
		if want := unhex(t,
			"81 00 1400 00000000 0000 80 0A000000 00 01 00 00 00 3B08 74616D6163636964"); !bytes.Equal(
			got[5], want) {
			t.Errorf("IN answered % X", got[5])
		}
		// a cancelled request; a later one gets the data
		p.send(typeBulk, 7, "81 00 4000 00000000 0000")
		p.send(typeCancel, 7, "")
		p.expect(typeBulk, 7, "81 01 0000 00000000 0000")
		// unplug and replug on the same connection
		for range 3 {
			d.Unplug()
			d.Replug()
		}
		for range 3 {
			h, _ := p.receive()
			for h.kind == typeInterrupt { // one more interrupt transfer may precede the disconnect
				h, _ = p.receive()
			}
			if h.kind != typeDeviceDisconnect {
				t.Fatalf("packet %d", h.kind)
			}
			p.attach()
		}
	})
}

func TestHostilePeers(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind uint32
		body string
	}{
		{"a truncated control packet", typeControl, "80 06 80 00"},
		{"missing control data", typeControl, "00 09 21 00 0000 0000 0800 00"},
		{"a bulk packet without a header", typeBulk, "81 00 0002"},
		{"a packet of the device's side", typeDeviceConnect, "01 000000 0912 0100 0001"},
		{"an unknown type", 77, ""},
		{"a configuration without a number", typeSetConfiguration, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := connect(t, reader.NewDevice(reader.New(reader.TPDU)))
				p.hello()
				p.attach()
				p.send(tt.kind, 1, tt.body)
				if err := <-p.done; !errors.Is(err, ErrPeer) {
					t.Errorf("Serve ended with %v", err)
				}
				p.done <- nil
			})
		})
	}
	t.Run("a length of 4 GB", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := connect(t, reader.NewDevice(reader.New(reader.TPDU)))
			p.hello()
			p.attach()
			p.conn.Write(unhex(t, "65000000 FFFFFFFF 0000000000000000"))
			if err := <-p.done; !errors.Is(err, ErrPeer) {
				t.Errorf("Serve ended with %v", err)
			}
			p.done <- nil
		})
	})
	t.Run("no hello", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := connect(t, reader.NewDevice(reader.New(reader.TPDU)))
			var b [helloHeader + versionSize + 4]byte
			io.ReadFull(p.conn, b[:])
			p.conn.Write([]byte("GET / HTTP/1.1\r\n"))
			if err := <-p.done; !errors.Is(err, ErrPeer) {
				t.Errorf("Serve ended with %v", err)
			}
			p.done <- nil
		})
	})
}

// QEMU's UHCI uses the same id for a transfer and its successor, and usb-redir takes the first
// answer with the id of a cancelled transfer as the end of that transfer.
func TestACancelledTransferEndsBeforeTheNextIsAnswered(t *testing.T) {
	d := reader.NewDevice(reader.New(reader.TPDU))
	p := connect(t, d)
	p.hello()
	p.attach()
	const id = 7
	cancel := appendPacket(nil, typeCancel, id, true)
	getStatus := appendPacket(nil, typeControl, id, true, unhex(t, "80 00 80 00 0000 0000 0200"))
	both := append(cancel, getStatus...)
	for range 300 {
		p.send(typeBulk, id, "81 00 4000 00000000 0000")
		written := make(chan error, 1)
		go func() {
			_, err := p.conn.Write(both)
			written <- err
		}()
		p.expect(typeBulk, id, "81 01 0000 00000000 0000")
		p.expect(typeControl, id, "80 00 80 00 0000 0000 0200 0000")
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
}
