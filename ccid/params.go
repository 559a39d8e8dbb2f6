package ccid

import (
	"context"
	"encoding/binary"
	"fmt"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/internal/pipe"
)

// parameters is the protocol data structure of a slot (CCID 1.1, 6.1.7 and 6.2.3).
type parameters struct {
	known     bool
	protocol  Protocol
	fidi      uint8
	crc       bool
	inverse   bool
	guard     uint8
	wait      uint8 // T=0: WI; T=1: BWI and CWI
	clockStop uint8
	ifsc      uint8
	nad       uint8
}

// Lengths of the protocol data structures (CCID 1.1, 6.1.7).
const (
	paramsSizeT0 = 5
	paramsSizeT1 = 7
)

// Bits of bmTCCKST0 and bmTCCKST1 (CCID 1.1, 6.1.7).
const (
	tcckInverse = 0x02
	tcckT1      = 0x10
	tcckCRC     = 0x01
)

// append writes the structure.
func (p parameters) append(dst []byte) []byte {
	flags := byte(0)
	if p.inverse {
		flags |= tcckInverse
	}
	if p.protocol == T0 {
		return append(dst, p.fidi, flags, p.guard, p.wait, p.clockStop)
	}
	flags |= tcckT1
	if p.crc {
		flags |= tcckCRC
	}
	return append(dst, p.fidi, flags, p.guard, p.wait, p.clockStop, p.ifsc, p.nad)
}

// parseParameters reads the structure. The protocol number and the length must agree: some readers
// answer one protocol with the other's structure, and some with none.
func parseParameters(number uint8, b []byte) (parameters, bool) {
	p := parameters{known: true, protocol: protocolOf(number)}
	switch {
	case p.protocol == T0 && len(b) == paramsSizeT0:
	case p.protocol == T1 && len(b) == paramsSizeT1:
		p.crc = b[1]&tcckCRC != 0
		p.ifsc, p.nad = b[5], b[6]
	default:
		return parameters{}, false
	}
	p.fidi, p.inverse, p.guard, p.wait, p.clockStop = b[0], b[1]&tcckInverse != 0, b[2], b[3], b[4]
	return p, true
}

// wanted are the parameters of the card's answer to reset, at a speed.
func wanted(p Protocol, i atr.Info, fidi uint8, stop uint8) parameters {
	w := parameters{
		known: true, protocol: p, fidi: fidi, inverse: i.Inverse, guard: i.ExtraGuard, wait: i.WI,
		clockStop: stop,
	}
	if p == T1 {
		w.wait = i.BWI<<4 | i.CWI
		w.crc, w.ifsc = i.CRC, i.IFSC
	}
	return w
}

// adopt makes the slot's waits follow from parameters.
func (s *Slot) adopt(p parameters) {
	s.params = p
	s.line.FiDi, s.line.ExtraGuard = p.fidi, p.guard
	if p.protocol == T1 {
		s.line.BWI, s.line.CWI = p.wait>>4, p.wait&0x0F
	} else {
		s.line.WI = p.wait
	}
}

// getParameters reads the parameters in use (CCID 1.1, 6.1.5). ok is false where the reader has no
// valid ones.
func (s *Slot) getParameters(ctx context.Context) (parameters, bool, error) {
	a, err := s.command(ctx, pipe.Command{Type: pipe.GetParameters, Want: paramsSizeT1,
		Wait: s.r.timing.Answer, Repeat: true})
	if err != nil {
		if refusal(err) != nil {
			return parameters{}, false, s.gone(err)
		}
		return parameters{}, false, err
	}
	p, ok := parseParameters(a.Last, a.Data)
	return p, ok, nil
}

// unknownCommand is what setParameters returns for a reader that does not implement the command.
const unknownCommand = -1

// setParameters sets them (CCID 1.1, 6.1.7). The reader's answer has those in use. A reader that
// does not implement the command, or refuses a value, keeps its own, which is no error: refused is
// then unknownCommand, or the offset of the value.
func (s *Slot) setParameters(ctx context.Context, p parameters) (refused int, err error) {
	n := len(p.append(s.pipe.Payload()))
	a, err := s.command(ctx, pipe.Command{
		Type: pipe.SetParameters, P: [3]byte{number(p.protocol)}, N: n, Want: paramsSizeT1,
		Wait: s.r.timing.Power, Repeat: true,
	})
	if e := refusal(err); e != nil {
		if err := s.gone(err); err != nil {
			return 0, err
		}
		if e.Code == pipe.CodeCommandNotSupported {
			return unknownCommand, nil
		}
		if e.Code <= pipe.CodeOffsetLast {
			return int(e.Code), nil
		}
		return 0, e
	}
	if err != nil {
		return 0, err
	}
	s.adopt(p)
	if got, ok := parseParameters(a.Last, a.Data); ok {
		if got.protocol != p.protocol {
			return 0, fmt.Errorf("%w: reader stays with %v", ErrNoProtocol, got.protocol)
		}
		s.adopt(got)
	}
	return 0, nil
}

// gone returns err if it is a failure that shows an empty slot, and nil if the reader only refuses
// a command.
func (s *Slot) gone(err error) error {
	if e := refusal(err); e != nil && e.Status&pipe.ICCMask == pipe.ICCAbsent {
		return err
	}
	return nil
}

// rateClockSize is the length of the data of SetDataRateAndClockFrequency (CCID 1.1, 6.1.14).
const rateClockSize = 8

// setDataRate sets clock (kHz) and rate (bit/s) on a reader that does not derive them from the
// parameters (CCID 1.1, 6.1.14). A reader that does not implement the command derives them.
func (s *Slot) setDataRate(ctx context.Context, clock, rate uint32) error {
	b := binary.LittleEndian.AppendUint32(s.pipe.Payload(), clock)
	binary.LittleEndian.AppendUint32(b, rate)
	a, err := s.command(ctx, pipe.Command{
		Type: pipe.SetDataRateAndClockFrequency, N: rateClockSize, Want: rateClockSize,
		Wait: s.r.timing.Answer, Repeat: true,
	})
	if refusal(err) != nil {
		return s.gone(err)
	}
	if err != nil {
		return err
	}
	if len(a.Data) >= rateClockSize {
		if clock := binary.LittleEndian.Uint32(a.Data); clock != 0 {
			s.line.Clock = clock
		}
	}
	return nil
}
