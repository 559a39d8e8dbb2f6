package ccid

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// Action is what happens to a card at Connect and Disconnect. The values are those of EFI_SMART_CARD_READER_PROTOCOL (UEFI 2.11,
// 37.6.2).
type Action uint32

// The actions.
const (
	Leave     Action = 0
	ColdReset Action = 1
	WarmReset Action = 2
	Unpower   Action = 3
	Eject     Action = 4
)

// Connect makes the card ready for Transmit: powered, with one of the protocols in accept agreed on. Action is Leave, ColdReset
// or WarmReset. Leave resets only a card that is not powered yet, and asks nothing of one that is agreed with already; it
// fails with ErrNoProtocol when that agreement is not in accept.
func (s *Slot) Connect(ctx context.Context, accept Protocol, a Action) (Protocol, error) {
	if a > WarmReset || accept&(T0|T1) == 0 {
		return Undefined, fmt.Errorf("%w: action %d, %v", ErrInvalid, a, accept)
	}
	if err := s.enter(ctx); err != nil {
		return Undefined, err
	}
	defer s.leave()
	if a == Leave {
		if state, err := s.refresh(ctx); err != nil || state == Absent {
			if err == nil {
				err = ErrNoCard
			}
			return Undefined, err
		}
		s.mu.Lock()
		powered, protocol := s.powered, s.protocol
		s.mu.Unlock()
		switch {
		case powered && protocol&accept != 0:
			return protocol, nil
		case powered && protocol != Undefined:
			return Undefined, fmt.Errorf("%w: the card talks %v", ErrNoProtocol, protocol)
		case powered:
			return s.negotiate(ctx, accept)
		}
		a = ColdReset
	}
	if err := s.activate(ctx, a == ColdReset); err != nil {
		return Undefined, s.noCard(err)
	}
	return s.negotiate(ctx, accept)
}

// noCard prefers the plain truth over the reader's reason when the slot is empty.
func (s *Slot) noCard(err error) error {
	var e *SlotError
	if errors.As(err, &e) && e.Status&iccStatusMask == iccAbsent && !errors.Is(err, ErrNoCard) {
		return fmt.Errorf("%w: %w", ErrNoCard, err)
	}
	return err
}

// Disconnect ends the use of a card: Leave does nothing, the resets leave it powered and without protocol, Unpower switches
// it off, Eject throws it out where the reader can. A card that has gone is no error.
func (s *Slot) Disconnect(ctx context.Context, a Action) error {
	if a > Eject {
		return fmt.Errorf("%w: action %d", ErrInvalid, a)
	}
	if a == Eject && s.r.class.Mechanical&mechanicalEject == 0 {
		return fmt.Errorf("%w: eject", ErrUnsupported)
	}
	if a == Leave {
		return s.r.lost()
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	var err error
	switch a {
	case ColdReset, WarmReset:
		err = s.activate(ctx, a == ColdReset)
	case Unpower:
		err = s.deactivate(ctx)
	case Eject:
		if err = s.deactivate(ctx); err == nil {
			err = s.mechanical(ctx, MechanismEject)
		}
	}
	if errors.Is(s.noCard(err), ErrNoCard) {
		return nil
	}
	return err
}

// choices are the protocols to try, the best first: T=1 where both are possible, since it finds errors.
func (s *Slot) choices(accept Protocol) []Protocol {
	if s.info.Specific || s.r.quirk.NoPPS { // ISO/IEC 7816-3:2006, 6.3.1: no choice
		if p := protocolOf(s.info.First); p&accept != 0 {
			return []Protocol{p}
		}
		return nil
	}
	var list []Protocol
	for _, p := range [...]Protocol{T1, T0} {
		if p&accept != 0 && s.info.Offers(p.number()) && s.r.speaks(p) {
			list = append(list, p)
		}
	}
	return list
}

// speaks says whether the reader declares a protocol. A descriptor that declares neither is taken to mean both.
func (r *Reader) speaks(p Protocol) bool {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.powered {
		return Undefined, ErrCardChanged
	}
	s.protocol = p
	return p, nil
}

// choose is the host's negotiation: the best protocol first, the next after a reset when that fails.
func (s *Slot) choose(ctx context.Context, accept Protocol) (Protocol, error) {
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

// fatal says that no other protocol or speed is worth a try.
func (s *Slot) fatal(err error) bool {
	return errors.Is(err, ErrNoCard) || errors.Is(err, ErrGone) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}

// setUp sets protocol and speed on both sides: PPS where it is the host's to do, then the reader's parameters.
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
	if s.hostPPS() && (fidi != atr.DefaultFiDi || p.number() != s.info.First) {
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
		// the reader finds the way itself after two resets
		for range 2 {
			if err := s.activate(ctx, true); err != nil {
				return err
			}
		}
		s.adopt(wanted(p, s.info, atr.DefaultFiDi, 0))
		return nil
	case err != nil:
		return err
	case refused == errOffsetPower && p.number() != s.info.First: // byte 7 is bProtocolNum here
		return fmt.Errorf("%w: reader refuses %v", ErrNoProtocol, p)
	case refused == headerSize && fidi != atr.DefaultFiDi:
		return fmt.Errorf("%w: reader refuses TA1 = %02X", ErrNoProtocol, fidi)
	case refused != 0:
		s.adopt(want)
	}
	if !f.Has(FeatureAutoBaud) {
		return s.setDataRate(ctx, s.line.Clock, atr.BitRate(fidi, s.line.Clock))
	}
	return nil
}

// hostPPS says whether PPS is the host's to do: at the levels where it sees the line (CCID 1.1, 3.2), when the reader does not do
// it itself, and when the card is open to it.
func (s *Slot) hostPPS() bool {
	return s.r.level <= LevelTPDU && !s.r.class.Features.Has(FeatureAutoPPS) && !s.info.Specific && !s.r.quirk.NoPPS
}

// clockStop is the value of bClockStop that suits card and reader (CCID 1.1, 6.1.7; the values are those of the ATR).
func (s *Slot) clockStop() uint8 {
	if !s.r.class.Features.Has(FeatureClockStop) {
		return atr.ClockStopNo
	}
	return s.info.ClockStop
}

// speeds are the FiDi values to try, the fastest first and the default last. In specific mode there is one.
func (s *Slot) speeds(p Protocol) []uint8 {
	if s.info.Specific {
		if s.info.Implicit {
			return []uint8{atr.DefaultFiDi}
		}
		return []uint8{s.info.FiDi}
	}
	list := make([]uint8, 0, maxSpeeds)
	if !s.r.quirk.NoPPS {
		for fidi, more := s.info.FiDi, true; more && len(list) < maxSpeeds-1; fidi, more = atr.Slower(fidi) {
			if s.runs(fidi) && fidi != atr.DefaultFiDi {
				list = append(list, fidi)
			}
		}
	}
	return append(list, atr.DefaultFiDi)
}

// maxSpeeds bounds the proposals to one card: the best two, and the default (policy: every one that fails costs a reset).
const maxSpeeds = 3

// runs says whether the reader can talk to a card at FiDi: not above its highest rate, in its table when it has one, and faster
// than the default, which is what all this is for.
func (s *Slot) runs(fidi uint8) bool {
	clock, highest, table := s.r.class.DefaultClock, s.r.class.MaxDataRate, s.r.rates
	if limit := s.r.quirk.SecondaryMaxRate; limit != 0 && s.index > 0 {
		highest, table = min(highest, limit), nil
	}
	rate := atr.BitRate(fidi, clock)
	if rate == 0 || rate <= atr.BitRate(atr.DefaultFiDi, clock) || rate > highest && !near(rate, highest) {
		return false
	}
	for _, listed := range table {
		if near(rate, listed) {
			return true
		}
	}
	return len(table) == 0
}

// near compares rates that were rounded from clocks in kHz: one part in a thousand, and one.
func near(a, b uint32) bool {
	if a < b {
		a, b = b, a
	}
	return a-b <= 1+a/1000
}

// pps does the exchange (ISO/IEC 7816-3:2006, 9). A card that does not answer, or answers something else, must be reset.
func (s *Slot) pps(ctx context.Context, p Protocol, fidi uint8) (uint8, error) {
	var request, response [atr.MaxPPS]byte
	b := atr.AppendPPS(request[:0], p.number(), fidi)
	n := copy(s.out[headerSize:], b)
	got := 0
	if s.r.level == LevelCharacter { // PPSS and PPS0 first: the second says how many follow
		a, err := s.xfr(ctx, n, 0, ppsStart, ppsStart, s.r.timing.Answer)
		if err != nil {
			return 0, err
		}
		if got = copy(response[:], a.data); got != ppsStart {
			return 0, fmt.Errorf("%w: PPS response of %d characters", ErrProtocol, got)
		}
		rest := bits.OnesCount8(response[1]&ppsParameters) + 1
		if a, err = s.xfr(ctx, 0, 0, uint16(rest), rest, s.r.timing.Answer); err != nil {
			return 0, err
		}
		got += copy(response[got:], a.data)
	} else {
		a, err := s.xfr(ctx, n, 0, 0, atr.MaxPPS, s.r.timing.Answer)
		if err != nil {
			return 0, err
		}
		got = copy(response[:], a.data)
	}
	agreed, err := atr.CheckPPS(b, response[:got])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoProtocol, err)
	}
	return agreed, nil
}

// ppsStart is the length of PPSS and PPS0, ppsParameters the bits of PPS0 that announce PPS1 to PPS3 (ISO/IEC 7816-3:2006, 9.2).
const (
	ppsStart      = 2
	ppsParameters = 0x70
)

// adoptReaders takes the protocol that the reader has negotiated by itself (bit 6 of dwFeatures). The reader tells which, except
// those whose answer is empty; then it is the card's first. Where that is not acceptable the reader is asked for another.
func (s *Slot) adoptReaders(ctx context.Context, accept Protocol) (Protocol, error) {
	p := protocolOf(s.info.First)
	got, told, err := s.getParameters(ctx)
	if err != nil {
		return Undefined, err
	}
	told = told && s.info.Offers(got.protocol.number())
	if told {
		p = got.protocol
	}
	if p&accept != 0 {
		if told {
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
		return fmt.Errorf("%w: messages of %d bytes have no room for a block", ErrUnsupported, s.r.maxPayload)
	}
	c := t1.Config{CRC: s.info.CRC, IFSC: s.info.IFSC, IFSD: atr.DefaultIFSC, MaxINF: uint8(room), Limit: s.r.timing.Limit}
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
