package ifd

import "tamaccid/ccid/sim/card"

// prologue is NAD, PCB, LEN (ISO 7816-3, 11.3).
const prologue = 3

// Block sends one T=1 block and appends the card's block to out. It checks only the length against
// LEN.
func (l *Line) Block(block, out []byte) ([]byte, error) {
	start := len(out)
	l.parity = false // of an earlier block
	l.Send(block)
	out, ok := l.Read(out, prologue)
	if !ok {
		return out[:start], ErrMute
	}
	if out, ok = l.Read(out, int(out[start+2])+card.EDCSize(l.CRC)); !ok {
		return out[:start], ErrMute
	}
	if l.parity {
		return out[:start], ErrParity
	}
	return out, nil
}
