//go:build !tamago

package vscard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/ifd"
)

// Level is what QEMU's guest is expected to send in an XfrBlock: QEMU passes it on unread.
type Level uint8

// The levels.
const (
	// TPDU: T=0 TPDUs to a card whose ATR starts with T=0, T=1 blocks to one that starts with T=1.
	TPDU Level = iota
	// APDU: whole APDUs, short or extended, whatever the ATR says.
	APDU
)

// apduCard is a card that can be asked past its protocol machines.
type apduCard interface {
	Exchange(apdu []byte) ([]byte, time.Duration)
}

// Slot is the slot of QEMU's reader. Cards may be inserted and removed at any time, connected or not; its methods are safe for
// concurrent use.
type Slot struct {
	// Level must not change once a connection is served.
	Level Level
	// Trace, when not nil, sees every payload: what the guest sent and what it got back.
	Trace func(sent, got []byte)

	mu    sync.Mutex
	line  ifd.Line
	atr   []byte
	t1    bool
	conn  io.Writer
	added bool
	acks  int // messages that QEMU has taken
	out   []byte
	resp  []byte
}

// NewSlot returns a slot with a card in it, or without when c is nil.
func NewSlot(c card.Card) *Slot {
	s := &Slot{}
	s.place(c)
	return s
}

// place powers a card up, once and for all: its reader will not tell.
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

// Insert puts a card into the slot, in place of the one that is there: QEMU is told of removal and insertion.
func (s *Slot) Insert(c card.Card) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.remove()
	s.place(c)
	return errors.Join(err, s.announce())
}

// Remove takes the card out.
func (s *Slot) Remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove()
}

func (s *Slot) remove() error {
	had := s.line.Card != nil
	s.place(nil)
	if !had || !s.added {
		return nil
	}
	return s.send(typeCardRemove, nil)
}

// announce sends the ATR of the card, if there is one and QEMU is ready for it.
func (s *Slot) announce() error {
	if s.line.Card == nil || !s.added || len(s.atr) == 0 || len(s.atr) > MaxATR {
		return nil
	}
	return s.send(typeATR, s.atr)
}

func (s *Slot) send(kind uint32, body []byte) error {
	if s.conn == nil {
		return nil
	}
	s.out = appendMessage(s.out[:0], kind, 0, body)
	_, err := s.conn.Write(s.out)
	return err
}

// Serve runs one connection until it ends or ctx does, and closes it. The result is nil when QEMU closed it between messages.
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

// hello starts the conversation: version and reader.
func (s *Slot) hello() error {
	init := appendWords(nil, magic, version, 0)
	if err := s.send(typeInit, init); err != nil {
		return err
	}
	s.out = appendMessage(s.out[:0], typeReaderAdd, undefinedReader, []byte("tamaccid\x00"))
	_, err := s.conn.Write(s.out)
	return err
}

func (s *Slot) handle(ctx context.Context, m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.kind {
	case typeInit:
		if len(m.body) < 8 || string(m.body[:4]) != "VSCD" {
			return fmt.Errorf("%w: no VSCD greeting", ErrFrame)
		}
	case typeError:
		// The first one answers ReaderAdd, later ones ATR and CardRemove.
		if len(m.body) < 4 {
			return fmt.Errorf("%w: error of %d bytes", ErrFrame, len(m.body))
		}
		if code := uint32(m.body[0])<<24 | uint32(m.body[1])<<16 | uint32(m.body[2])<<8 | uint32(m.body[3]); code != codeSuccess {
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
		// from a card's side only; harmless
	default:
		return fmt.Errorf("%w: type %d", ErrFrame, m.kind)
	}
	return nil
}

// apdu answers one payload. The lock is open while the card works, so that it can be removed meanwhile.
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
			return nil // gone, and its answer with it
		}
	}
	return s.send(typeAPDU, s.resp)
}

// exchange turns failures on the line into what the protocol can carry: a status word at T=0, nothing at T=1.
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

func appendWords(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = append(b, byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
	}
	return b
}
