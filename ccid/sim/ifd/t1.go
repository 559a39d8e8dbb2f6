package ifd

import "tamaccid/ccid/sim/card"

// The interface device's side of T=1 (ISO 7816-3, 11.6), for readers that take APDUs.
//
//	received                        | does
//	I block, N(S) expected, M = 0   | the response is complete
//	I block, N(S) expected, M = 1   | R block; goes on
//	R block naming the next N(S)    | next block of the chain
//	R block naming the last N(S)    | last I block again, a retry
//	other R block                   | last block again, a retry
//	S(WTX request)                  | counts an extension, S(WTX response)
//	S(IFS request)                  | smaller or larger parts from now on, S(IFS response)
//	S(ABORT request)                | S(ABORT response), ErrProtocol
//	anything else, or nothing       | R block with the reason, a retry
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
	maxPartial = 600 // blocks of one answer: 64 KB in the smallest parts that are worth while, policy
	maxWTX     = 600 // extensions of one exchange, policy
)

// T1 is the state of an interface device in T=1.
type T1 struct {
	Line *Line
	// IFSC is the largest information field that the card takes, IFSD the largest that the device takes.
	IFSC, IFSD int

	ns, nr byte
	tx, rx []byte
}

// Reset puts the machine into its state after a reset or a change to T=1.
func (t *T1) Reset(ifsc int) {
	if ifsc < 1 || ifsc > maxIFS {
		ifsc = defaultIFS
	}
	t.ns, t.nr, t.IFSC, t.IFSD = 0, 0, ifsc, defaultIFS
}

// Negotiate announces the device's IFSD.
func (t *T1) Negotiate(ifsd int) error {
	if ifsd < 1 || ifsd > maxIFS {
		ifsd = maxIFS
	}
	for range t1Retries {
		t.build(sIFS, []byte{byte(ifsd)})
		if pcb, inf, reason := t.transceive(); reason == 0 && pcb == sIFS|sResponse && len(inf) == 1 && int(inf[0]) == ifsd {
			t.IFSD = ifsd
			return nil
		}
	}
	return ErrProtocol
}

func (t *T1) build(pcb byte, inf []byte) {
	t.tx = append(t.tx[:0], 0, pcb, byte(len(inf)))
	t.tx = card.AppendEDC(append(t.tx, inf...), t.Line.CRC)
}

// transceive sends the block that was built and reads one. reason is not zero when what came is no block.
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

// Exchange sends an APDU and appends its response to out.
func (t *T1) Exchange(apdu, out []byte) ([]byte, error) {
	start := len(out)
	part := t.sendPart(apdu)
	retries, extensions, answered := 0, 0, false
	for range maxPartial + maxWTX {
		pcb, inf, reason := t.transceive()
		if reason == 0 {
			reason = rOther // unless a case below takes it
			switch {
			case pcb&0x80 == 0 && pcb&0x1F == 0 && pcb>>6 == t.nr && len(apdu) == part:
				apdu, part = nil, 0
				t.nr ^= 1
				if !answered {
					answered = true
					t.ns ^= 1 // acknowledges our last block
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
				} else { // it was not our I block that went wrong
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

func (t *T1) sendPart(apdu []byte) int {
	n := min(len(apdu), t.IFSC)
	pcb := t.ns << 6
	if n < len(apdu) {
		pcb |= pcbMore
	}
	t.build(pcb, apdu[:n])
	return n
}

// resynch tries to bring the card back to the state after its reset.
func (t *T1) resynch() {
	for range t1Retries {
		t.build(sResynch, nil)
		if pcb, inf, reason := t.transceive(); reason == 0 && pcb == sResynch|sResponse && len(inf) == 0 {
			t.ns, t.nr, t.IFSD = 0, 0, defaultIFS
			return
		}
	}
}
