package reader

import (
	"encoding/binary"

	"tamaccid/ccid/sim/card"
)

// Sizes of abProtocolDataStructure (CCID 1.1, 6.1.7).
const (
	t0Parameters = 5
	t1Parameters = 7
)

// Offsets and values in abProtocolDataStructure.
const (
	parFiDi   = 0
	parTCCKS  = 1
	parGuard  = 2
	parWait   = 3 // bWaitingIntegerT0, bmWaitingIntegersT1
	parClock  = 4
	parIFSC   = 5
	parNAD    = 6
	tccksT1   = 0x10
	tccksCRC  = 0x01
	tccksInv  = 0x02
	defaultWI = 10   // ISO 7816-3, 10.2
	defaultBW = 0x4D // BWI 4, CWI 13 (ISO 7816-3, 11.4.3)
)

// defaults sets the parameters after a reset: those of the ATR if the reader parses it, or those of
// a card without interface characters.
func (s *slot) defaults(atr []byte) {
	s.info, _ = card.ParseATR(atr)
	info := s.info
	if !s.automatic() {
		info = card.Info{Offered: []byte{0}, TA1: card.DefaultRate, IFSC: 32}
	}
	s.set(info.First(), info.Rate(), &info)
	c := s.r.class()
	if c.Features&AutoNegotiation != 0 || c.Level() >= ShortAPDU && c.Features&AutoPPS == 0 {
		s.negotiate(s.choose(), s.fastest())
	}
}

// set sets protocol and rate, and the other parameters from an ATR.
func (s *slot) set(protocol, fidi byte, info *card.Info) {
	s.protocol = protocol
	s.params = [t1Parameters]byte{parFiDi: fidi, parGuard: 0, parWait: defaultWI}
	s.line.CRC = false
	if protocol == 1 {
		s.params[parTCCKS], s.params[parWait], s.params[parIFSC] = tccksT1, defaultBW, info.IFSC
		if info.CRC {
			s.params[parTCCKS] |= tccksCRC
			s.line.CRC = true
		}
	}
	s.line.Rate = fidi
	s.t1.Reset(int(s.params[parIFSC]))
}

// choose returns the protocol for a reader with automatic negotiation: the first that it supports.
func (s *slot) choose() byte {
	for _, p := range s.info.Offered {
		if p < 2 && s.r.class().Protocols&(1<<p) != 0 {
			return p
		}
	}
	return s.info.First()
}

// fastest returns the card's rate if the reader supports it, or the default rate.
func (s *slot) fastest() byte {
	if s.managesRate(s.info.TA1) {
		return s.info.TA1
	}
	return card.DefaultRate
}

// managesRate reports whether the reader's descriptor allows a rate.
func (s *slot) managesRate(fidi byte) bool {
	if fidi == card.DefaultRate {
		return true
	}
	f, d := card.FiDi(fidi)
	if f == 0 || d == 0 {
		return false
	}
	c := s.r.class()
	rate := uint64(c.DefaultClock) * 1000 * uint64(d) / uint64(f)
	if rate > uint64(c.MaxDataRate)+uint64(c.MaxDataRate)/100 { // 1 % for rounding
		return false
	}
	if rates := s.r.function().Rates; len(rates) > 0 {
		for _, r := range rates {
			if diff := int64(r) - int64(rate); diff >= -1-int64(rate)/100 &&
				diff <= 1+int64(rate)/100 {
				return true
			}
		}
		return false
	}
	return true
}

// negotiate does a PPS unless the card has the protocol and the rate already. It sets the new
// parameters, and reports whether the card has them.
func (s *slot) negotiate(protocol, fidi byte) bool {
	if protocol == s.info.First() && fidi == s.info.Rate() || s.info.Specific {
		s.set(s.info.First(), s.info.Rate(), &s.info)
		return s.info.First() == protocol
	}
	if !s.fresh {
		return false
	}
	s.fresh = false
	request := []byte{0xFF, 0x10 | protocol, fidi}
	s.line.Rate = card.DefaultRate
	answer, err := s.line.PPS(append(request, card.LRC(request)), nil)
	if err != nil || card.LRC(answer) != 0 || answer[0] != 0xFF || answer[1]&0x0F != protocol {
		return false
	}
	rate := byte(card.DefaultRate)
	if answer[1]&0x10 != 0 {
		if rate = answer[2]; rate != fidi {
			return false
		}
	}
	s.set(protocol, rate, &s.info)
	return true
}

// parameters executes Get-, Reset- and SetParameters.
func (s *slot) parameters(m command) {
	if !s.active {
		s.r.fail(m, s, errMute)
		return
	}
	s.line.Start()
	switch m.kind {
	case ResetParameters:
		s.set(0, card.DefaultRate, &card.Info{})
	case SetParameters:
		if s.r.class().Features&AutoNegotiation != 0 { // the reader does it (CCID 1.1, table 5.1-1)
			s.r.fail(m, s, errUnsupported)
			return
		}
		if code := s.setParameters(m); code != 0 {
			s.r.fail(m, s, code)
			return
		}
	}
	s.data(m, s.current(), s.protocol)
}

// current returns abProtocolDataStructure.
func (s *slot) current() []byte {
	if s.protocol == 1 {
		return s.params[:t1Parameters]
	}
	return s.params[:t0Parameters]
}

// setParameters checks and sets parameters. It returns bError, or 0.
func (s *slot) setParameters(m command) byte {
	protocol, want := m.specific[0], t0Parameters
	if protocol == 1 {
		want = t1Parameters
	}
	c := s.r.class()
	switch {
	case protocol > 1, c.Protocols&(1<<protocol) == 0:
		return badField7
	case len(m.data) != want:
		return badLength
	case !s.managesRate(m.data[parFiDi]):
		return firstParameter + parFiDi
	case protocol == 0 && m.data[parTCCKS]&^tccksInv != 0,
		protocol == 1 && m.data[parTCCKS]&^(tccksInv|tccksCRC) != tccksT1:
		return firstParameter + parTCCKS
	case protocol == 1 && (m.data[parIFSC] == 0 || m.data[parIFSC] == 0xFF):
		return firstParameter + parIFSC
	}
	fidi := m.data[parFiDi]
	if c.Features&AutoPPS != 0 && (protocol != s.protocol || fidi != s.line.Rate) {
		if !s.negotiate(protocol, fidi) {
			return errMute
		}
		fidi = s.line.Rate
	}
	s.protocol, s.params = protocol, [t1Parameters]byte{}
	copy(s.params[:], m.data)
	s.params[parFiDi] = fidi
	s.line.CRC = protocol == 1 && m.data[parTCCKS]&tccksCRC != 0
	if c.Features&(AutoBaud|AutoPPS) != 0 {
		s.line.Rate = fidi
	}
	s.t1.Reset(int(s.params[parIFSC]))
	s.ifsdDone = false
	return 0
}

// rate executes SetDataRateAndClockFrequency (CCID 1.1, 6.1.14): clock in kHz, data rate in bit/s.
// The line has the F and D of the parameters, of the ATR or of the default that match both values.
func (s *slot) rate(m command) {
	c := s.r.class()
	clock, rate := binary.LittleEndian.Uint32(m.data), binary.LittleEndian.Uint32(m.data[4:])
	switch {
	case c.Features&(AutoClock|AutoBaud) == AutoClock|AutoBaud:
		s.r.fail(m, s, errUnsupported)
		return
	case clock == 0 || clock > max(c.MaximumClock, c.DefaultClock):
		s.r.fail(m, s, headerSize)
		return
	case rate == 0 || rate > max(c.MaxDataRate, c.DataRate):
		s.r.fail(m, s, headerSize+4)
		return
	}
	s.line.Rate = 0 // no card has this rate
	for _, fidi := range []byte{s.params[parFiDi], s.info.TA1, card.DefaultRate} {
		f, d := card.FiDi(fidi)
		if f == 0 || d == 0 {
			continue
		}
		want := uint64(clock) * 1000 * uint64(d) / uint64(f)
		if uint64(rate)+1+want/100 >= want && uint64(rate) <= want+1+want/100 {
			s.line.Rate = fidi
			break
		}
	}
	s.r.answer(append(s.r.reply(m, s.status(), 0, 0), m.data...), 0)
}

// t0apdu executes PC_to_RDR_T0APDU (CCID 1.1, 6.1.10): bmChanges, bClassGetResponse,
// bClassEnvelope.
func (s *slot) t0apdu(m command) {
	if s.r.class().Level() < ShortAPDU {
		s.r.fail(m, s, errUnsupported)
		return
	}
	if m.specific[0]&1 != 0 {
		s.classes.GetResponse = m.data[0]
	}
	if m.specific[0]&2 != 0 {
		s.classes.Envelope = m.data[1]
	}
	s.ok(m)
}
