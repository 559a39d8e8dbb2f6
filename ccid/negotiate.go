package ccid

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// choices are the protocols to try, the best first: T=1 where both are possible, since it detects
// errors.
func (s *Slot) choices(accept Protocol) []Protocol {
	if s.info.Specific || s.r.quirk.NoPPS { // ISO/IEC 7816-3:2006, 6.3.1: no choice
		if p := protocolOf(s.info.First); p&accept != 0 {
			return []Protocol{p}
		}
		return nil
	}
	var list []Protocol
	for _, p := range [...]Protocol{T1, T0} {
		if p&accept != 0 && s.info.Offers(number(p)) && s.r.declares(p) {
			list = append(list, p)
		}
	}
	return list
}

// declares reports whether the reader declares a protocol. A descriptor with neither counts as one
// with both.
func (r *Reader) declares(p Protocol) bool {
	declared := Protocol(r.class.Protocols) & (T0 | T1)
	return declared == 0 || declared&p != 0
}

// negotiate agrees on a protocol with a card that was just reset. The caller holds the slot.
func (s *Slot) negotiate(ctx context.Context, accept Protocol) (Protocol, error) {
	var p Protocol
	var err error
	if s.r.class.Features.Has(FeatureAutoParameters) {
		p, err = s.adoptReaders(ctx, accept)
	} else {
		p, err = s.choose(ctx, accept)
	}
	if err != nil {
		return Undefined, s.noCard(err)
	}
	if err := s.startProtocol(ctx, p); err != nil {
		return Undefined, s.noCard(err)
	}
	s.update(func(c *cardState) {
		if !c.powered() {
			err = ErrCardChanged
			return
		}
		c.ready(p)
	})
	if err != nil {
		return Undefined, err
	}
	return p, nil
}

// choose is the host's negotiation: the best protocol first, the next after a reset when that
// fails. A card in specific mode whose rate the reader does not have gets a warm reset, to change
// to negotiable mode (ISO/IEC 7816-3:2006, 6.3.1).
func (s *Slot) choose(ctx context.Context, accept Protocol) (Protocol, error) {
	if i := &s.info; i.Specific && !i.Fixed && !i.Implicit && i.FiDi != atr.DefaultFiDi &&
		!s.runs(i.FiDi) {
		if err := s.activate(ctx, false); err != nil {
			return Undefined, err
		}
	}
	err := fmt.Errorf("%w: card offers %#x, %v asked for", ErrNoProtocol, s.info.Offered, accept)
	for i, p := range s.choices(accept) {
		if i > 0 {
			if err := s.activate(ctx, true); err != nil {
				return Undefined, err
			}
		}
		if err = s.setUp(ctx, p); err == nil {
			return p, nil
		}
		if s.fatal(err) {
			break
		}
	}
	return Undefined, err
}

// fatal reports that another protocol or speed cannot succeed either.
func (s *Slot) fatal(err error) bool {
	return errors.Is(err, ErrNoCard) || errors.Is(err, ErrGone) ||
		errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}

// setUp sets protocol and speed on both sides: PPS where the host does it, then the reader's
// parameters.
func (s *Slot) setUp(ctx context.Context, p Protocol) error {
	var err error
	for i, fidi := range s.speeds(p) {
		if i > 0 {
			if err := s.activate(ctx, true); err != nil {
				return err
			}
		}
		if err = s.setUpAt(ctx, p, fidi); err == nil || s.fatal(err) {
			return err
		}
	}
	return err
}

func (s *Slot) setUpAt(ctx context.Context, p Protocol, fidi uint8) error {
	f := s.r.class.Features
	if s.hostPPS() && (fidi != atr.DefaultFiDi || number(p) != s.info.First) {
		agreed, err := s.pps(ctx, p, fidi)
		if err != nil {
			return err
		}
		fidi = agreed
	}
	want := wanted(p, s.info, fidi, s.clockStop())
	refused, err := s.setParameters(ctx, want)
	switch {
	case p == T1 && s.r.quirk.ResetForT1 && (err != nil && !s.fatal(err) || refused > 0):
		// Alcor Micro AU9540 sets T=1 up by itself after two resets
		for range 2 {
			if err := s.activate(ctx, true); err != nil {
				return err
			}
		}
		s.adopt(wanted(p, s.info, atr.DefaultFiDi, 0))
		return nil
	case err != nil:
		return err
	// byte 7 is bProtocolNum here
	case refused == pipe.CodeOffsetPower && number(p) != s.info.First:
		return fmt.Errorf("%w: reader refuses %v", ErrNoProtocol, p)
	case refused == pipe.HeaderSize && fidi != atr.DefaultFiDi:
		return fmt.Errorf("%w: reader refuses TA1 = %02X", ErrNoProtocol, fidi)
	case refused != 0:
		s.adopt(want)
	}
	if !f.Has(FeatureAutoBaud) {
		return s.setDataRate(ctx, s.line.Clock, atr.BitRate(fidi, s.line.Clock))
	}
	return nil
}

// hostPPS reports whether the host does PPS: at the levels where it runs the protocol (CCID 1.1,
// 3.2), when the reader does not do PPS itself, and the card is in negotiable mode.
func (s *Slot) hostPPS() bool {
	return s.r.level <= LevelTPDU && !s.r.class.Features.Has(FeatureAutoPPS) && !s.info.Specific &&
		!s.r.quirk.NoPPS
}

// clockStop is the value of bClockStop for card and reader (CCID 1.1, 6.1.7; the values are those
// of the ATR).
func (s *Slot) clockStop() uint8 {
	if !s.r.class.Features.Has(FeatureClockStop) {
		return atr.ClockStopNo
	}
	return s.info.ClockStop
}

// adoptReaders takes the protocol that the reader has negotiated by itself (dwFeatures 40h).
// GetParameters returns it; where the answer is empty it is the card's first. If that is not
// acceptable, SetParameters selects another.
func (s *Slot) adoptReaders(ctx context.Context, accept Protocol) (Protocol, error) {
	p := protocolOf(s.info.First)
	got, reported, err := s.getParameters(ctx)
	if err != nil {
		return Undefined, err
	}
	reported = reported && s.info.Offers(number(got.protocol))
	if reported {
		p = got.protocol
	}
	if p&accept != 0 {
		if reported {
			s.adopt(got)
		} else {
			s.adopt(wanted(p, s.info, atr.DefaultFiDi, 0))
		}
		return p, nil
	}
	for _, other := range s.choices(accept) {
		refused, err := s.setParameters(ctx, wanted(other, s.info, s.info.FiDi, s.clockStop()))
		if err != nil && s.fatal(err) {
			return Undefined, err
		}
		if err == nil && refused == 0 {
			return other, nil
		}
	}
	return Undefined, fmt.Errorf("%w: reader has chosen %v, %v asked for", ErrNoProtocol, p, accept)
}

// startProtocol starts the host's half of a protocol where there is one.
func (s *Slot) startProtocol(ctx context.Context, p Protocol) error {
	if s.r.level > LevelTPDU {
		return nil
	}
	if p == T0 {
		if s.t0 == nil {
			s.t0 = t0.New(linkT0{s})
		}
		return nil
	}
	overhead := 3 + 1 // prologue, LRC
	if s.info.CRC {
		overhead++
	}
	room := min(s.r.maxPayload-overhead, atr.MaxIFS)
	if room < atr.MinIFS {
		return fmt.Errorf("%w: messages of %d bytes have no room for a block", ErrUnsupported,
			s.r.maxPayload)
	}
	c := t1.Config{CRC: s.info.CRC, IFSC: s.info.IFSC, IFSD: atr.DefaultIFSC, MaxINF: uint8(room),
		Limit: s.r.timing.Limit}
	auto := s.r.class.Features.Has(FeatureAutoIFSD)
	if auto {
		c.IFSD = atr.MaxIFS
	}
	if s.t1 == nil {
		s.t1 = t1.New(linkT1{s}, c)
	} else {
		s.t1.Reset(c)
	}
	if auto || s.r.quirk.NoIFSD {
		return nil
	}
	ifsd := room
	if declared := s.r.class.MaxIFSD; declared >= atr.MinIFS && declared < uint32(ifsd) {
		ifsd = int(declared)
	}
	return s.protocolError(s.t1.NegotiateIFSD(ctx, uint8(ifsd)))
}
