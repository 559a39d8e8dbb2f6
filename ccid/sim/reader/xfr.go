package reader

import (
	"encoding/binary"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/ifd"
)

// maxAPDU bounds a command APDU in parts: extended case 4 (ISO 7816-3, 12.1.3).
const maxAPDU = 4 + 3 + 65535 + 2

// transfer executes PC_to_RDR_XfrBlock at the reader's exchange level (CCID 1.1, 3.2 and 6.1.4).
func (s *slot) transfer(m command) {
	if !s.active {
		s.r.fail(m, s, errMute)
		return
	}
	s.line.Start()
	s.stopped = false
	level := binary.LittleEndian.Uint16(m.specific[1:])
	switch s.r.class().Level() {
	case Character:
		s.character(m, int(level))
	case TPDU:
		s.tpdu(m)
	case ShortAPDU:
		if s.r.in == 0 { // ICCD version B chains at this level too
			s.extended(m, level)
			return
		}
		if level != chainWhole {
			s.r.fail(m, s, badField8)
			return
		}
		s.short(m)
	default:
		s.extended(m, level)
	}
}

// character sends bytes to the card and answers with the number of bytes that the host expects. An
// empty command continues to read.
func (s *slot) character(m command, expected int) {
	if len(m.data) > 0 {
		s.fresh = false
		s.line.Send(m.data)
	}
	var ok bool
	s.resp, ok = s.line.Read(s.resp[:0], min(expected, s.r.maxMessage()-headerSize))
	switch {
	case s.line.Parity():
		s.failed(m, ifd.ErrParity)
	case !ok:
		s.failed(m, ifd.ErrMute)
	default:
		s.data(m, s.resp, 0)
	}
}

// tpdu exchanges a T=0 TPDU, a T=1 block, or a PPS.
func (s *slot) tpdu(m command) {
	const ppss = 0xFF // ISO 7816-3, 9.2
	if len(m.data) == 0 {
		s.r.fail(m, s, badLength)
		return
	}
	var err error
	pps := s.fresh && m.data[0] == ppss
	s.fresh = false
	switch {
	case pps:
		s.resp, err = s.line.PPS(m.data, s.resp[:0])
	case s.protocol == 1:
		if s.r.class().Features&AutoIFSD != 0 && !s.ifsdDone {
			s.ifsdDone = true
			if err = s.negotiateIFSD(); err != nil {
				break
			}
		}
		s.resp, err = s.line.Block(m.data, s.resp[:0])
	default:
		s.resp, err = s.line.T0(m.data, s.resp[:0])
	}
	if err != nil {
		s.failed(m, err)
		return
	}
	s.data(m, s.resp, 0)
}

// negotiateIFSD announces the reader's IFSD, as the first exchange at T=1.
func (s *slot) negotiateIFSD() error {
	const maxIFSD = 254 // ISO 7816-3, 11.4.2
	ifsd := min(s.r.class().MaxIFSD, maxIFSD)
	if ifsd < 1 {
		ifsd = maxIFSD
	}
	return s.t1.Negotiate(int(ifsd))
}

// exchange sends a command APDU with the card's protocol. The response APDU is in s.resp.
func (s *slot) exchange(apdu []byte) (err error) {
	s.fresh = false
	if s.protocol != 1 {
		s.resp, err = s.line.APDU0(apdu, s.resp[:0], s.classes)
		return err
	}
	if !s.ifsdDone {
		s.ifsdDone = true
		s.t1.Reset(int(s.params[parIFSC]))
		if err := s.negotiateIFSD(); err != nil {
			return err
		}
	}
	s.resp, err = s.t1.Exchange(apdu, s.resp[:0])
	return err
}

// short exchanges an APDU with short lengths.
func (s *slot) short(m command) {
	c, err := card.ParseCommand(m.data)
	if err != nil || c.Extended {
		s.r.fail(m, s, badLength)
		return
	}
	if err := s.exchange(m.data); err != nil {
		s.failed(m, err)
		return
	}
	if len(s.resp) > s.r.maxMessage()-headerSize {
		s.failed(m, ifd.ErrOverrun)
		return
	}
	s.data(m, s.resp, 0)
}

// extended exchanges an APDU whose command and response may be in parts.
//
//	wLevelParameter | state               | action
//	whole           | any: drop the chain | execute
//	begin           | any: drop the chain | begin a chain, request the next part
//	middle, end     | no chain            | error for wLevelParameter
//	middle          | chain               | append, request the next part
//	end             | chain               | append, execute
//	continue        | rest of a response  | send the next part
//	other           |                     | error for wLevelParameter
func (s *slot) extended(m command, level uint16) {
	switch level {
	case chainWhole, chainBegin:
		s.chain, s.rest = append(s.chain[:0], m.data...), nil
	case chainMiddle, chainEnd:
		if len(s.chain) == 0 {
			s.r.fail(m, s, badField8)
			return
		}
		if len(s.chain)+len(m.data) > maxAPDU {
			s.chain = s.chain[:0]
			s.r.fail(m, s, badLength)
			return
		}
		s.chain = append(s.chain, m.data...)
	case chainContinue:
		if len(s.rest) == 0 || len(m.data) != 0 {
			s.r.fail(m, s, badField8)
			return
		}
		s.part(m, false)
		return
	default:
		s.r.fail(m, s, badField8)
		return
	}
	if level == chainBegin || level == chainMiddle {
		s.data(m, nil, chainContinue)
		return
	}
	err := s.exchange(s.chain)
	s.chain = s.chain[:0]
	if err != nil {
		s.failed(m, err)
		return
	}
	s.rest = s.resp
	s.part(m, true)
}

// part sends the next part of the response, as much as a message holds.
func (s *slot) part(m command, first bool) {
	n := min(len(s.rest), s.r.maxMessage()-headerSize)
	chain := byte(chainMiddle)
	switch last := n == len(s.rest); {
	case first && last:
		chain = chainWhole
	case first:
		chain = chainBegin
	case last:
		chain = chainEnd
	}
	now := s.rest[:n]
	s.rest = s.rest[n:]
	s.data(m, now, chain)
}
