package card

import "bytes"

// PPSPolicy is a card's answer to a protocol and parameters selection (ISO 7816-3, 9.3).
type PPSPolicy uint8

// The policies.
const (
	// AcceptPPS accepts an offered protocol and a rate up to that of TA1. The answer to a faster
	// rate has no PPS1, so that the default rate applies.
	AcceptPPS PPSPolicy = iota
	// DefaultPPS accepts an offered protocol and no rate.
	DefaultPPS
	// MutePPS does not answer, so that the reader has to reset the card (ISO 7816-3, 9.3).
	MutePPS
	// WrongPPS answers with another rate than the proposed one.
	WrongPPS
	// GarbledPPS answers with a wrong check character.
	GarbledPPS
)

const (
	ppss    = 0xFF // initial character (ISO 7816-3, 9.2)
	hasPPS1 = 0x10
	hasPPS2 = 0x20
	hasPPS3 = 0x40
)

// Values of Fi and Di by code, 0 if reserved (ISO 7816-3, tables 7 and 8).
var (
	fiTable = [16]int{372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048}
	diTable = [16]int{0, 1, 2, 4, 8, 16, 32, 64, 12, 20}
)

// FiDi returns the clock rate conversion integer and the baud rate adjustment integer of a TA1.
// They are 0 if reserved.
func FiDi(ta1 byte) (f, d int) { return fiTable[ta1>>4], diTable[ta1&0x0F] }

// sendPPS collects the characters of a request and answers it.
func (c *Chip) sendPPS(in []byte) []Burst {
	if !c.inPPS {
		c.inPPS, c.pps = true, c.pps[:0]
	}
	c.pps = append(c.pps, in...)
	if len(c.pps) < 2 {
		return nil
	}
	pps0 := c.pps[1]
	want := 3
	for _, bit := range []byte{hasPPS1, hasPPS2, hasPPS3} {
		if pps0&bit != 0 {
			want++
		}
	}
	if len(c.pps) < want {
		return nil
	}
	c.inPPS, c.fresh = false, false
	req := c.pps[:want]
	t := pps0 & 0x0F
	if LRC(req) != 0 || !c.offers(t) || c.o.PPS == MutePPS {
		c.halted = true
		return nil
	}
	rate := byte(DefaultRate)
	answer := []byte{ppss, t}
	if pps0&hasPPS1 != 0 {
		proposed := req[2]
		switch {
		case c.o.PPS == WrongPPS:
			answer = []byte{ppss, t | hasPPS1, proposed ^ 0x02}
		case c.o.PPS != DefaultPPS && c.acceptsRate(proposed):
			rate = proposed
			answer = []byte{ppss, t | hasPPS1, proposed}
		}
	}
	answer = append(answer, LRC(answer))
	if c.o.PPS == GarbledPPS {
		answer[len(answer)-1] ^= 0x01
	}
	c.protocol, c.rate = t, rate
	return c.reply(answer, 0)
}

// offers reports whether the card offers a protocol.
func (c *Chip) offers(t byte) bool { return bytes.IndexByte(c.par.Offered, t) >= 0 }

// acceptsRate reports whether a rate is at most that of the card's TA1. The clock frequency limit
// is not modelled.
func (c *Chip) acceptsRate(ta1 byte) bool {
	f, d := FiDi(ta1)
	mf, md := FiDi(c.par.TA1)
	if mf == 0 || md == 0 {
		mf, md = FiDi(DefaultRate)
	}
	return f != 0 && d != 0 && d*mf <= md*f
}
