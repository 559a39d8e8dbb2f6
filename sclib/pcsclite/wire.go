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

// The protocol between libpcsclite and pcscd: native-endian structures over a stream socket, requests with a header of size and
// command, replies without. Version 4.4 is what daemons from 1.8.24 to 2.5 accept (pcsc-lite, winscard_msg.h).
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
	// pciSize is sizeof(SCARD_IO_REQUEST) with 64-bit longs; daemons pass it on and use nothing of it.
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

// requestWait bounds a request that needs no card: the daemon answers these from memory (policy).
const requestWait = 5 * time.Second

// byteOrder is that of the machine, which both sides share.
var byteOrder = binary.NativeEndian

// A wire is one connection to the daemon. After an error nothing is known of what comes next, so it is broken for good.
type wire struct {
	conn   net.Conn
	broken bool
}

// dial connects and agrees on the version.
func dial(ctx context.Context, path string) (*wire, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sclib.ErrNoService, err)
	}
	w := &wire{conn: conn}
	reply, err := w.request(ctx, cmdVersion, words(versionMajor, versionMinor, 0))
	if err == nil && byteOrder.Uint32(reply) != versionMajor {
		err = fmt.Errorf("%w: the daemon speaks version %d", sclib.ErrNoService, byteOrder.Uint32(reply))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
}

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

// request sends a structure and reads the reply, the same structure with its last member, the return code, filled in. The
// error is the return code's.
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

// send writes header, structure and what follows it.
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
		return err // nothing was sent, the wire is whole
	}
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Unix(1, 0)) }) // the past: now
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

// unsupportedFeature is pcsc-lite's number for SCARD_E_UNSUPPORTED_FEATURE, which winscard.h calls SCARD_E_UNEXPECTED.
const unsupportedFeature = 0x8010001F

// codeError makes an error of a return code.
func codeError(rv uint32) error {
	switch rv {
	case 0:
		return nil
	case unsupportedFeature:
		return sclib.ErrUnsupportedFeature
	}
	return sclib.Error(rv)
}

// errLength says that the daemon gave a length that there is no room for.
var errLength = errors.New("the daemon gave a wrong length")
