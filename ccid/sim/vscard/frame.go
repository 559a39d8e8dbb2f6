//go:build !tamago

// Package vscard puts virtual cards into the reader that QEMU emulates: it is the card's side of the VSCARD protocol which
// QEMU's ccid-card-passthru device speaks over a character device.
//
//	qemu-system-x86_64 ... -device qemu-xhci -device usb-ccid \
//	    -chardev socket,id=card,path=/tmp/card,server=on,wait=off,nodelay=on -device ccid-card-passthru,chardev=card
//
// Source of the protocol: libcacard's vscard_common.h and the public behaviour of QEMU 7.2's usb-ccid; there is no other
// specification. QEMU's reader loses answers of more than 374 bytes, caches the ATR, and tells the card
// nothing of power on and off.
package vscard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A message starts with three big-endian words: type, reader, length of what follows.
const headerSize = 12

// maxBody bounds what is read from the peer: an APDU of 65,544 bytes is the largest there is (ISO 7816-3, 12.1.3).
const maxBody = 65544

// Message types.
const (
	typeInit          = 1
	typeError         = 2
	typeReaderAdd     = 3
	typeReaderRemove  = 4
	typeATR           = 5
	typeCardRemove    = 6
	typeAPDU          = 7
	typeFlush         = 8
	typeFlushComplete = 9
)

// Values in messages.
const (
	magic           = 0x56534344 // "VSCD"
	version         = 0x00000002 // 0.0.2
	undefinedReader = 0xFFFFFFFF
	codeSuccess     = 0
	codeGeneral     = 1
)

// MaxATR is the longest ATR that QEMU takes.
const MaxATR = 40

// ErrFrame is a peer that does not speak the protocol.
var ErrFrame = errors.New("vscard: malformed message")

type message struct {
	kind, reader uint32
	body         []byte
}

// read takes one message, its body into buf, which holds maxBody bytes.
func read(r io.Reader, buf []byte) (message, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return message{}, err
	}
	m := message{kind: binary.BigEndian.Uint32(h[:]), reader: binary.BigEndian.Uint32(h[4:])}
	n := binary.BigEndian.Uint32(h[8:])
	if n > uint32(len(buf)) {
		return message{}, fmt.Errorf("%w: type %d with %d bytes", ErrFrame, m.kind, n)
	}
	m.body = buf[:n]
	if _, err := io.ReadFull(r, m.body); err != nil {
		return message{}, fmt.Errorf("%w: type %d cut short: %w", ErrFrame, m.kind, err)
	}
	return m, nil
}

// appendMessage appends a message whose body is body.
func appendMessage(b []byte, kind, reader uint32, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, reader)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}
