package card

import "time"

// Options describe a card.
type Options struct {
	// ATR is the answer to a cold reset, WarmATR to a warm reset; if WarmATR is nil, ATR is. They
	// define the protocols, the rates, and the sizes and the epilogue of T=1. An invalid ATR is
	// sent as it is.
	ATR, WarmATR []byte
	// Voltages are the classes at which the card answers. 0 means all.
	Voltages Voltage
	// Applets are the applications. A reset selects the first one.
	Applets []Applet
	// PPS is the answer to a PPS request.
	PPS PPSPolicy
	// T0 and T1 are the options of the protocols.
	T0 T0Options
	T1 T1Options
	// StrictEnvelope makes only an empty ENVELOPE end a command.
	StrictEnvelope bool
}

// Chip is a Card with protocol machines and applets.
type Chip struct {
	o   Options
	os  system
	par Info

	powered  bool
	halted   bool // a PPS failed: the card answers to a reset only (ISO 7816-3, 9.3)
	fresh    bool // nothing was received since the reset: a first FF begins a PPS
	inPPS    bool
	protocol byte
	rate     byte
	pps      []byte
	t0       t0
	t1       t1
	one      [1]Burst
}

// New returns a card. A card with an invalid ATR has T=0.
func New(o Options) *Chip {
	c := &Chip{o: o, os: system{applets: o.Applets, strict: o.StrictEnvelope}}
	c.t0.chip, c.t1.chip = c, c
	return c
}

// ATR returns the answer to a cold reset.
func (c *Chip) ATR() []byte { return c.o.ATR }

// Reset implements Card.
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
	c.halted = false
	atr := c.o.ATR
	if !cold && c.o.WarmATR != nil {
		atr = c.o.WarmATR
	}
	c.par, _ = ParseATR(atr) // of an invalid one, what precedes the error
	c.fresh, c.inPPS = !c.par.Specific, false
	c.protocol, c.rate = c.par.First(), c.par.Rate()
	c.os.reset()
	c.t0.reset()
	c.t1.reset()
	return atr
}

// Off implements Card.
func (c *Chip) Off() { c.powered = false }

// Send implements Card.
func (c *Chip) Send(rate byte, in []byte) []Burst {
	if !c.powered || c.halted || rate != c.rate || len(in) == 0 {
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
	return nil // another protocol
}

// Exchange executes a command APDU without the transmission protocols, as a contactless reader or a
// test does. It returns the response APDU and the card's processing time.
func (c *Chip) Exchange(apdu []byte) ([]byte, time.Duration) {
	return c.os.apdu(apdu, nil)
}

// reply returns one burst.
func (c *Chip) reply(b []byte, after time.Duration) []Burst {
	c.one[0] = Burst{Bytes: b, After: after}
	return c.one[:]
}
