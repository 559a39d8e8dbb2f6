package reader

import "tamaccid/ccid/sim/card"

// powerSelect has the class of each value of bPowerSelect (CCID 1.1, 6.1.1). 0 is automatic.
var powerSelect = [...]card.Voltage{0, card.ClassA, card.ClassB, card.ClassC}

// powerOn executes PC_to_RDR_IccPowerOn: a cold reset, or a warm reset if the card is active.
func (s *slot) powerOn(m command) {
	c := s.r.class()
	choice := m.specific[0]
	automatic := c.Features&(AutoVoltage|AutoActivation) != 0
	supported := card.Voltage(c.VoltageSupport) & card.AnyClass
	if s.r.in == 0 { // an ICCD is powered by the bus, without a choice
		choice, automatic = 0, true
	}
	switch {
	case int(choice) >= len(powerSelect),
		choice == 0 && !automatic,
		choice != 0 && supported != 0 && supported&powerSelect[choice] == 0:
		s.r.fail(m, s, badField7)
		return
	case s.line.Card == nil:
		s.r.fail(m, s, errMute)
		return
	}
	s.line.Start()
	s.volts = powerSelect[choice]
	atr, code := s.reset()
	if code != 0 {
		s.r.fail(m, s, code)
		return
	}
	s.data(m, atr, 0)
}

// reset does a cold reset, or a warm reset of an active card, and sets the parameters. It returns
// bError, or 0.
func (s *slot) reset() (atr []byte, code byte) {
	if s.active {
		atr = s.line.Card.Reset(false, s.volts)
	} else {
		atr = s.activate()
	}
	if len(atr) == 0 {
		s.powerOff()
		return nil, errMute
	}
	s.active, s.stopped, s.fresh, s.ifsdDone = true, false, true, false
	s.chain, s.rest = s.chain[:0], nil
	if s.automatic() {
		if code := checkATR(atr); code != 0 {
			s.powerOff()
			return nil, code
		}
	}
	s.defaults(atr)
	return atr, 0
}

// activate tries the possible classes, the highest voltage first, until the card answers.
func (s *slot) activate() []byte {
	choices := []card.Voltage{card.ClassA, card.ClassB, card.ClassC}
	if s.volts != 0 {
		choices = []card.Voltage{s.volts}
	}
	supported := card.Voltage(s.r.class().VoltageSupport) & card.AnyClass
	for _, v := range choices {
		if supported != 0 && supported&v == 0 {
			continue
		}
		if atr := s.line.Card.Reset(true, v); len(atr) > 0 {
			s.volts = v
			return atr
		}
		s.line.Card.Off()
	}
	return nil
}

// automatic reports whether the reader parses the ATR.
func (s *slot) automatic() bool {
	c := s.r.class()
	return c.Features&(AutoATR|AutoNegotiation) != 0 || c.Level() >= ShortAPDU
}

// checkATR checks TS and TCK (ISO 7816-3, 8.1 and 8.2.5). It returns bError, or 0.
func checkATR(atr []byte) byte {
	if atr[0] != 0x3B && atr[0] != 0x3F {
		return errTS
	}
	info, err := card.ParseATR(atr)
	if err != nil {
		return errMute // characters are missing
	}
	if len(info.Offered) == 1 && info.Offered[0] == 0 && !info.TCK {
		return 0
	}
	if card.LRC(atr[1:]) != 0 {
		return errTCK
	}
	return 0
}
