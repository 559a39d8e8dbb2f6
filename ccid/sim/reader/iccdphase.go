package reader

// Version A of an ICCD at character level: the host executes T=0 in phases, and reads the status
// byte after each (ICCD 1.0, 6.2).
//
//	phase    | request             | card's procedure byte   | status
//	command  | OUT 65, 5 bytes     | INS                     | data phase
//	         |                     | SW1 SW2                 | SW ready
//	data out | OUT 65, P3 bytes    | SW1 SW2                 | SW ready
//	data in  | IN 6F, P3 bytes     | SW1 SW2                 | SW ready
//	status   | IN 6F, 2 bytes      |                         | no data
//	any      |                     | another one, or none    | mute

// tpduHeader is the length of CLA INS P1 P2 P3.
const tpduHeader = 5

// phase sends a command header, or its data, to the card.
func (r *Reader) phase(s *slot, data []byte) {
	c := &r.control
	if !s.active {
		*c = iccdState{mute: true}
		return
	}
	s.line.Start()
	if !c.ack {
		*c = iccdState{}
		if len(data) != tpduHeader {
			c.mute = true
			return
		}
		c.left = int(data[4])
		if c.left == 0 {
			c.left = 256
		}
		c.header = [tpduHeader]byte(data)
	}
	s.fresh, c.ack = false, false
	s.line.Send(data)
	r.procedure(s)
}

// dataPhase reads the data after the card's acknowledgement.
func (r *Reader) dataPhase(s *slot, length int) []byte {
	c := &r.control
	c.ack = false
	b, ok := s.line.Read(nil, min(c.left, length))
	if !ok {
		c.mute = true
		return nil
	}
	c.left -= len(b)
	if c.left > 0 { // the host requested less: the rest is for the next request
		c.ack = true
		return b
	}
	r.procedure(s)
	return b
}

// procedure reads procedure bytes until one ends the phase.
func (r *Reader) procedure(s *slot) {
	const null = 0x60 // ISO 7816-3, 10.3.3
	c := &r.control
	for {
		b, ok := s.line.Read(nil, 1)
		switch {
		case !ok || s.line.Parity():
			c.mute = true
			return
		case b[0] == null:
		case b[0]&0xF0 == 0x60 || b[0]&0xF0 == 0x90:
			if b, ok = s.line.Read(b, 1); !ok {
				c.mute = true
				return
			}
			c.pending, c.ack = b, false
			return
		case b[0] == c.header[1] && c.left > 0:
			c.ack = true
			return
		default:
			c.mute = true
			return
		}
	}
}
