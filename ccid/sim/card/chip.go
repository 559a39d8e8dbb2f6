package card

import "time"

// Options describe a card.
type Options struct {
	// ATR answers a cold reset, WarmATR a warm one; nil means the same. They also say which protocols the card speaks, at
	// which rates, and T=1's sizes and epilogue. Nonsense is sent as it is.
	ATR, WarmATR []byte
	// Voltages are the classes at which the card answers; 0 stands for all.
	Voltages Voltage
	// Applets: the first is selected after a reset.
	Applets []Applet
	// PPS says how a proposal is answered.
	PPS PPSPolicy
	T0  T0Options
	T1  T1Options
	// Strict ENVELOPE: a command ends only with an empty one.
	StrictEnvelope bool
}

// Chip is a Card with protocol machines and applets.
type Chip struct {
	o   Options
	os  system
	par Info

	powered  bool
	deaf     bool // a PPS failed: nothing but a reset is answered (ISO 7816-3, 9.3)
	fresh    bool // nothing was sent since the reset: a first FF starts a PPS
	inPPS    bool
	protocol byte
	rate     byte
	pps      []byte
	t0       t0
	t1       t1
	one      [1]Burst
}

// New makes a card. It panics at nothing: an ATR that makes no sense leaves a card that speaks T=0.
func New(o Options) *Chip {
	c := &Chip{o: o, os: system{applets: o.Applets, strict: o.StrictEnvelope}}
	c.t0.chip, c.t1.chip = c, c
	return c
}

// ATR is the answer to a cold reset.
func (c *Chip) ATR() []byte { return c.o.ATR }

// Reset is Card's.
func (c *Chip) Reset(cold bool, v Voltage) []byte {
	if cold {
		if c.o.Voltages != 0 && c.o.Voltages&v == 0 {
			c.powered = false
			return nil
		}
		c.powered = true
	}
	if !c.powered {
		return nil
	}
	c.deaf = false
	atr := c.o.ATR
	if !cold && c.o.WarmATR != nil {
		atr = c.o.WarmATR
	}
	c.par, _ = ParseATR(atr) // what could be read of a broken one
	c.fresh, c.inPPS = !c.par.Specific, false
	c.protocol, c.rate = c.par.First(), c.par.Rate()
	c.os.reset()
	c.t0.reset()
	c.t1.reset()
	return atr
}

// Off is Card's.
func (c *Chip) Off() { c.powered = false }

// Send is Card's.
func (c *Chip) Send(rate byte, in []byte) []Burst {
	if !c.powered || c.deaf || rate != c.rate || len(in) == 0 {
		return nil
	}
	if c.fresh && in[0] == ppss || c.inPPS {
		return c.sendPPS(in)
	}
	c.fresh = false
	switch c.protocol {
	case 0:
		return c.t0.send(in)
	case 1:
		return c.t1.send(in)
	}
	return nil // a protocol that nobody here speaks
}

// Exchange runs a command APDU past the protocol machines, and says how long the card works: for who stands above the
// line, like a contactless reader or a test.
func (c *Chip) Exchange(apdu []byte) ([]byte, time.Duration) {
	return c.os.apdu(apdu, nil)
}

func (c *Chip) say(b []byte, after time.Duration) []Burst {
	c.one[0] = Burst{Bytes: b, After: after}
	return c.one[:]
}
