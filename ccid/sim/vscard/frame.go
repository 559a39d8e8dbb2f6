//go:build !tamago

// Package vscard inserts virtual cards into QEMU's own reader, usb-ccid. It is the card's side of
// the VSCARD protocol of QEMU's ccid-card-passthru device.
//
//	qemu-system-x86_64 ... -device qemu-xhci -device usb-ccid \
//	    -chardev socket,id=card,path=/tmp/card,server=on,wait=off,nodelay=on \
//	    -device ccid-card-passthru,chardev=card
//
// The protocol has no specification. Its sources are libcacard's vscard_common.h and the behaviour
// of usb-ccid of QEMU 7.2. That reader loses answers of more than 374 bytes, caches the ATR, and
// does not pass power on and off to the card.
package vscard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// headerSize is the length of a message's header: three big-endian words with type, reader and
// length of the body.
const headerSize = 12

// maxBody is the length of the longest message of a peer: an extended command APDU (ISO 7816-3,
// 12.1.3).
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

// MaxATR is the length of the longest ATR that QEMU 7.2 accepts.
const MaxATR = 40

// ErrFrame means that the peer violates the protocol.
var ErrFrame = errors.New("vscard: malformed message")

// message is one message.
type message struct {
	kind, reader uint32
	body         []byte
}

// read reads one message. The body is in buf, which has maxBody bytes.
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
		return message{}, fmt.Errorf("%w: type %d is truncated: %w", ErrFrame, m.kind, err)
	}
	return m, nil
}

// appendMessage appends a message.
func appendMessage(b []byte, kind, reader uint32, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, reader)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}
