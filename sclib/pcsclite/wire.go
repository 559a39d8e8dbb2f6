//go:build !tamago

package pcsclite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"tamaccid/sclib"
)

// The protocol between libpcsclite and pcscd has native-endian structures on a stream socket.
// Requests have a header with size and command, replies have none. Version 4.4 is accepted by
// daemons from 1.8.24 to 2.5 (pcsc-lite, winscard_msg.h).
const (
	versionMajor = 4
	versionMinor = 4
)

// Commands (pcsc-lite, winscard_msg.h, enum pcsc_msg_commands).
const (
	cmdEstablishContext = 0x01
	cmdConnect          = 0x04
	cmdReconnect        = 0x05
	cmdDisconnect       = 0x06
	cmdBeginTransaction = 0x07
	cmdEndTransaction   = 0x08
	cmdTransmit         = 0x09
	cmdControl          = 0x0A
	cmdGetAttrib        = 0x0F
	cmdVersion          = 0x11
	cmdReadersState     = 0x12
)

// Sizes (pcsc-lite, pcsclite.h and winscard_msg.h).
const (
	nameSize      = 128 // MAX_READERNAME, with its NUL
	maxReaders    = 16  // PCSCLITE_MAX_READERS_CONTEXTS of protocol 4.4
	attributeSize = 264 // MAX_BUFFER_SIZE
	headerSize    = 8
	// pciSize is sizeof(SCARD_IO_REQUEST) with 64-bit longs. Daemons do not use it.
	pciSize = 16
)

// Layout of a reader's state (pcsc-lite, eventhandler.h, struct pubReaderStatesList).
const (
	stateOfState     = nameSize + 4
	stateOfATR       = nameSize + 12
	stateOfATRLength = stateOfATR + 36 // 33 bytes and padding
	stateOfProtocol  = stateOfATRLength + 4
	stateSize        = stateOfProtocol + 4
)

// requestWait bounds a request that needs no card and is answered from the daemon's memory
// (policy).
const requestWait = 5 * time.Second

// byteOrder is the byte order of the machine.
var byteOrder = binary.NativeEndian

// A wire is one connection to the daemon. An error makes it unusable, since the position in the
// stream is not known any more.
type wire struct {
	conn   net.Conn
	broken bool // after an error, or close
}

// dial connects and negotiates the version.
func dial(ctx context.Context, path string) (*wire, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sclib.ErrNoService, err)
	}
	w := &wire{conn: conn}
	reply, err := w.request(ctx, cmdVersion, words(versionMajor, versionMinor, 0))
	if err == nil && byteOrder.Uint32(reply) != versionMajor {
		err = fmt.Errorf("%w: the daemon's protocol has version %d",
			sclib.ErrNoService, byteOrder.Uint32(reply))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
}

// close closes the connection.
func (w *wire) close() {
	w.broken = true
	w.conn.Close()
}

// words encodes a structure of 32-bit members.
func words(values ...uint32) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, value := range values {
		b = byteOrder.AppendUint32(b, value)
	}
	return b
}

// request sends a structure and reads the reply, the same structure with a return code in its last
// member. It returns the return code as an error.
func (w *wire) request(ctx context.Context, command uint32, structure []byte) ([]byte, error) {
	reply := make([]byte, len(structure))
	err := w.exchange(ctx, func() error {
		if err := w.send(command, structure, nil); err != nil {
			return err
		}
		_, err := io.ReadFull(w.conn, reply)
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply, codeError(byteOrder.Uint32(reply[len(reply)-4:]))
}

// send writes header, structure and payload.
func (w *wire) send(command uint32, structure, payload []byte) error {
	message := append(append(words(uint32(len(structure)), command), structure...), payload...)
	_, err := w.conn.Write(message)
	clear(message[headerSize:]) // it may hold secrets
	return err
}

// exchange runs f, which reads and writes, until ctx ends.
func (w *wire) exchange(ctx context.Context, f func() error) error {
	if w.broken {
		return sclib.ErrServiceStopped
	}
	if err := ctx.Err(); err != nil {
		return err // nothing was sent: the wire stays usable
	}
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() || err != nil {
		w.close()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", sclib.ErrServiceStopped, err)
}

// unsupportedFeature is SCARD_E_UNSUPPORTED_FEATURE of pcsc-lite. In winscard.h the value is
// SCARD_E_UNEXPECTED.
const unsupportedFeature = 0x8010001F

// codeError returns the error for a return code. It is nil for success.
func codeError(rv uint32) error {
	switch rv {
	case 0:
		return nil
	case unsupportedFeature:
		return sclib.ErrUnsupportedFeature
	}
	return sclib.Error(rv)
}

// errLength is the error for a length in a reply that is greater than the buffer.
var errLength = errors.New("the daemon returned a wrong length")
