package ifd

import "tamaccid/ccid/sim/card"

// The interface device's side of T=1 (ISO 7816-3, 11.6), for readers at APDU level.
//
//	received                        | action
//	I block, N(S) expected, M = 0   | end: the response is complete
//	I block, N(S) expected, M = 1   | R block
//	R block with the next N(S)      | next block of the chain
//	R block with the last N(S)      | last I block again, a retry
//	other R block                   | last block again, a retry
//	S(WTX request)                  | record an extension, S(WTX response)
//	S(IFS request)                  | new maximum size of parts, S(IFS response)
//	S(ABORT request)                | S(ABORT response), ErrProtocol
//	other block, or nothing         | R block with the reason, a retry
//	after three retries             | S(RESYNCH request), ErrProtocol

// PCB values (ISO 7816-3, 11.3.2.2).
const (
	pcbMore   = 0x20
	pcbR      = 0x80
	pcbS      = 0xC0
	sResponse = 0x20
	sResynch  = 0xC0
	sIFS      = 0xC1
	sAbort    = 0xC2
	sWTX      = 0xC3

	rEDC   = 1
	rOther = 2

	defaultIFS = 32
	maxIFS     = 254

	t1Retries  = 3   // ISO 7816-3, 11.6.3.2, rule 7.4.1
	maxPartial = 600 // blocks of one answer (policy)
	maxWTX     = 600 // extensions of one exchange (policy)
)

// T1 is the state of an interface device in T=1.
type T1 struct {
	// Line is the line to the card.
	Line *Line
	// IFSC and IFSD are the greatest lengths of information fields that the card and the device
	// receive.
	IFSC, IFSD int

	ns, nr byte
	tx, rx []byte
}

// Reset restores the state after a reset or a change to T=1. An invalid ifsc means the default.
func (t *T1) Reset(ifsc int) {
	if ifsc < 1 || ifsc > maxIFS {
		ifsc = defaultIFS
	}
	t.ns, t.nr, t.IFSC, t.IFSD = 0, 0, ifsc, defaultIFS
}

// Negotiate announces the device's IFSD. An invalid ifsd means the greatest value.
func (t *T1) Negotiate(ifsd int) error {
	if ifsd < 1 || ifsd > maxIFS {
		ifsd = maxIFS
	}
	for range t1Retries {
		t.build(sIFS, []byte{byte(ifsd)})
		if pcb, inf, reason := t.transceive(); reason == 0 && pcb == sIFS|sResponse &&
			len(inf) == 1 && int(inf[0]) == ifsd {
			t.IFSD = ifsd
			return nil
		}
	}
	return ErrProtocol
}

// build makes the next block to send.
func (t *T1) build(pcb byte, inf []byte) {
	t.tx = append(t.tx[:0], 0, pcb, byte(len(inf)))
	t.tx = card.AppendEDC(append(t.tx, inf...), t.Line.CRC)
}

// transceive sends the block of build and reads a block. reason is not zero if the block is
// invalid.
func (t *T1) transceive() (pcb byte, inf []byte, reason byte) {
	var err error
	t.rx, err = t.Line.Block(t.tx, t.rx[:0])
	switch {
	case err == ErrParity || err == nil && !card.CheckEDC(t.rx, t.Line.CRC):
		return 0, nil, rEDC
	case err != nil || t.rx[0] != 0 || int(t.rx[2]) > t.IFSD:
		return 0, nil, rOther
	}
	return t.rx[1], t.rx[prologue : prologue+int(t.rx[2])], 0
}

// Exchange sends a command APDU and appends the response APDU to out.
func (t *T1) Exchange(apdu, out []byte) ([]byte, error) {
	start := len(out)
	part := t.sendPart(apdu)
	retries, extensions, answered := 0, 0, false
	for range maxPartial + maxWTX {
		pcb, inf, reason := t.transceive()
		if reason == 0 {
			reason = rOther // unless a case below accepts the block
			switch {
			case pcb&0x80 == 0 && pcb&0x1F == 0 && pcb>>6 == t.nr && len(apdu) == part:
				apdu, part = nil, 0
				t.nr ^= 1
				if !answered {
					answered = true
					t.ns ^= 1 // acknowledges the last block of the command
				}
				out = append(out, inf...)
				if pcb&pcbMore == 0 {
					return out, nil
				}
				t.build(pcbR|t.nr<<4, nil)
				reason, retries = 0, 0
			case pcb&0xEC == pcbR && len(inf) == 0:
				if pcb>>4&1 != t.ns && len(apdu) > part {
					apdu = apdu[part:]
					t.ns ^= 1
					part = t.sendPart(apdu)
					reason, retries = 0, 0
				} else if pcb>>4&1 == t.ns && len(apdu) > 0 {
					retries++
					t.sendPart(apdu)
					reason = 0
				} else { // the R block does not concern the I block
					retries++
					reason = 0
				}
			case pcb == sWTX && len(inf) == 1 && extensions < maxWTX:
				extensions++
				t.Line.extend(inf[0])
				t.build(sWTX|sResponse, inf)
				reason = 0
			case pcb == sIFS && len(inf) == 1 && inf[0] >= 1 && inf[0] <= maxIFS:
				t.IFSC = int(inf[0])
				t.build(sIFS|sResponse, inf)
				reason = 0
			case pcb == sAbort && len(inf) == 0:
				t.build(sAbort|sResponse, nil)
				t.transceive()
				return out[:start], ErrProtocol
			}
		}
		if reason != 0 {
			retries++
			t.build(pcbR|t.nr<<4|reason, nil)
		}
		if retries > t1Retries {
			t.resynch()
			return out[:start], ErrProtocol
		}
	}
	t.resynch()
	return out[:start], ErrProtocol
}

// sendPart builds the next I block and returns the length of its information field.
func (t *T1) sendPart(apdu []byte) int {
	n := min(len(apdu), t.IFSC)
	pcb := t.ns << 6
	if n < len(apdu) {
		pcb |= pcbMore
	}
	t.build(pcb, apdu[:n])
	return n
}

// resynch tries to restore the card's state after a reset.
func (t *T1) resynch() {
	for range t1Retries {
		t.build(sResynch, nil)
		if pcb, inf, reason := t.transceive(); reason == 0 && pcb == sResynch|sResponse &&
			len(inf) == 0 {
			t.ns, t.nr, t.IFSD = 0, 0, defaultIFS
			return
		}
	}
}
