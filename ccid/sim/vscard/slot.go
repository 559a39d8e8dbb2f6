//go:build !tamago

package vscard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/ifd"
)

// Level is the content of the guest's XfrBlock messages. QEMU does not interpret it.
type Level uint8

// The levels.
const (
	// TPDU means T=0 TPDUs or T=1 blocks, by the first protocol of the ATR.
	TPDU Level = iota
	// APDU means short and extended APDUs with each protocol.
	APDU
)

// apduCard is a card that executes APDUs without transmission protocols, as card.Chip does.
type apduCard interface {
	Exchange(apdu []byte) ([]byte, time.Duration)
}

// Slot is the slot of QEMU's reader. Cards may be inserted and removed at any time, also without a
// connection. Its methods are safe for concurrent use.
type Slot struct {
	// Level must not change after the first connection.
	Level Level
	// Trace, if set, is called with the payload of each exchange: that of the guest, and the
	// answer.
	Trace func(sent, got []byte)

	mu    sync.Mutex
	line  ifd.Line
	atr   []byte
	t1    bool
	conn  io.Writer
	added bool
	acks  int // messages that QEMU has acknowledged
	out   []byte
	resp  []byte
}

// NewSlot returns a slot with a card, or an empty slot if c is nil.
func NewSlot(c card.Card) *Slot {
	s := &Slot{}
	s.place(c)
	return s
}

// place inserts a card and activates it, since QEMU does not pass power on to the card.
func (s *Slot) place(c card.Card) {
	s.line, s.atr, s.t1 = ifd.Line{Card: c, Rate: card.DefaultRate}, nil, false
	if c == nil {
		return
	}
	s.atr = c.Reset(true, card.AnyClass)
	if info, err := card.ParseATR(s.atr); err == nil {
		s.t1, s.line.CRC = info.First() == 1, info.CRC
		s.line.Rate = info.Rate()
	}
}

// Insert inserts a card. It replaces a card that is present: QEMU gets a removal and an insertion.
func (s *Slot) Insert(c card.Card) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.remove()
	s.place(c)
	return errors.Join(err, s.announce())
}

// Remove removes the card.
func (s *Slot) Remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove()
}

// remove is Remove with s.mu held.
func (s *Slot) remove() error {
	had := s.line.Card != nil
	s.place(nil)
	if !had || !s.added {
		return nil
	}
	return s.send(typeCardRemove, nil)
}

// announce sends the ATR of the card, if there is a card and QEMU has added the reader.
func (s *Slot) announce() error {
	if s.line.Card == nil || !s.added || len(s.atr) == 0 || len(s.atr) > MaxATR {
		return nil
	}
	return s.send(typeATR, s.atr)
}

// send sends a message.
func (s *Slot) send(kind uint32, body []byte) error {
	if s.conn == nil {
		return nil
	}
	s.out = appendMessage(s.out[:0], kind, 0, body)
	_, err := s.conn.Write(s.out)
	return err
}

// Serve serves one connection until it or ctx ends, and closes it. The result is nil if QEMU closed
// it between messages, ErrFrame after a violation of the protocol.
func (s *Slot) Serve(ctx context.Context, conn io.ReadWriteCloser) error {
	s.mu.Lock()
	if s.conn != nil {
		s.mu.Unlock()
		return errors.Join(errors.New("vscard: slot is connected already"), conn.Close())
	}
	s.conn, s.added = conn, false
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := s.hello()
	s.mu.Unlock()
	defer func() {
		stop()
		conn.Close()
		s.mu.Lock()
		s.conn, s.added = nil, false
		s.mu.Unlock()
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	buf := make([]byte, maxBody)
	for {
		m, err := read(conn, buf)
		if err == nil {
			err = s.handle(ctx, m)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF) && !errors.Is(err, ErrFrame), errors.Is(err, net.ErrClosed):
			return nil
		default:
			return err
		}
	}
}

// hello sends version and reader.
func (s *Slot) hello() error {
	init := appendWords(nil, magic, version, 0)
	if err := s.send(typeInit, init); err != nil {
		return err
	}
	s.out = appendMessage(s.out[:0], typeReaderAdd, undefinedReader, []byte("tamaccid\x00"))
	_, err := s.conn.Write(s.out)
	return err
}

// handle handles one message.
func (s *Slot) handle(ctx context.Context, m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.kind {
	case typeInit:
		if len(m.body) < 8 || string(m.body[:4]) != "VSCD" {
			return fmt.Errorf("%w: init without VSCD", ErrFrame)
		}
	case typeError:
		// The first one answers ReaderAdd, the others ATR and CardRemove.
		if len(m.body) < 4 {
			return fmt.Errorf("%w: error of %d bytes", ErrFrame, len(m.body))
		}
		if code := binary.BigEndian.Uint32(m.body); code != codeSuccess {
			return fmt.Errorf("vscard: the reader reports error %d", code)
		}
		s.acks++
		if !s.added {
			s.added = true
			return s.announce()
		}
	case typeAPDU:
		return s.apdu(ctx, m.body)
	case typeFlush:
		return s.send(typeFlushComplete, nil)
	case typeReaderAdd, typeReaderRemove, typeATR, typeCardRemove, typeFlushComplete:
		// messages of the card's side; ignored
	default:
		return fmt.Errorf("%w: type %d", ErrFrame, m.kind)
	}
	return nil
}

// apdu answers one payload. s.mu is not held during the card's processing time, so that the card
// can be removed.
func (s *Slot) apdu(ctx context.Context, payload []byte) error {
	c := s.line.Card
	if c == nil {
		return s.send(typeError, appendWords(nil, codeGeneral))
	}
	s.line.Start()
	s.resp = s.exchange(payload, s.resp[:0])
	if s.Trace != nil {
		s.Trace(payload, s.resp)
	}
	if wait := s.line.Spent; wait > 0 {
		s.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		s.mu.Lock()
		if s.line.Card != c {
			return nil // removed: there is no answer
		}
	}
	return s.send(typeAPDU, s.resp)
}

// exchange appends the answer to one payload. The answer to a failed exchange is a status word at
// T=0, and empty at T=1.
func (s *Slot) exchange(payload, out []byte) []byte {
	if a, ok := s.line.Card.(apduCard); ok && s.Level == APDU {
		resp, work := a.Exchange(payload)
		s.line.Spent += work
		return append(out, resp...)
	}
	if len(payload) > 0 && payload[0] == 0xFF {
		if resp, err := s.line.PPS(payload, out); err == nil {
			return resp
		}
		return out
	}
	if s.t1 {
		resp, err := s.line.Block(payload, out)
		if err != nil {
			return out
		}
		return resp
	}
	resp, err := s.line.T0(payload, out)
	switch {
	case errors.Is(err, ifd.ErrLength):
		return append(out, 0x67, 0x00) // wrong length (ISO 7816-4, 5.6)
	case err != nil:
		return append(out, 0x6F, 0x00) // no precise diagnosis
	}
	return resp
}

// appendWords appends big-endian words.
func appendWords(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}
