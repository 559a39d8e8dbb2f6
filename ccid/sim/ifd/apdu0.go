package ifd

import "tamaccid/ccid/sim/card"

// Status bytes and instructions of the mapping of APDUs to T=0 (ISO 7816-3, 12.2).
const (
	sw1More    = 0x61
	sw1WrongLe = 0x6C
	sw1OK      = 0x90

	insGetResponse = 0xC0
	insEnvelope    = 0xC2

	sameClass = 0xFF // the class of the command (CCID 1.1, table 5.1-1, bClassGetResponse)

	// maxFetches bounds the GET RESPONSEs of one command (policy).
	maxFetches = 1024
)

// Classes are the class bytes of the interface device's own commands. FF means the class of the
// command that they serve.
type Classes struct {
	GetResponse, Envelope byte
}

// APDU0 sends a command APDU over T=0 and appends the response APDU to out.
//
//	case 1       P3 = 00
//	case 2       P3 = Le; after 6Cxx again with xx; after 61xx GET RESPONSE
//	case 3       P3 = Lc; ENVELOPE for more than 255 bytes
//	case 4       as case 3, then GET RESPONSE for xx bytes after 61xx, for Le bytes after 90 00
func (l *Line) APDU0(apdu, out []byte, classes Classes) ([]byte, error) {
	c, err := card.ParseCommand(apdu)
	if err != nil {
		return out, ErrLength
	}
	start := len(out)
	var tpdu []byte
	header := [tpduHeader]byte{c.CLA, c.INS, c.P1, c.P2}
	switch {
	case len(c.Data) > 255:
		return l.envelope(&c, apdu, out, classes)
	case len(c.Data) > 0:
		header[4] = byte(len(c.Data))
		tpdu = append(append(tpdu, header[:]...), c.Data...)
	default:
		if c.Ne < maxShort {
			header[4] = byte(c.Ne)
		}
		tpdu = header[:]
	}
	if out, err = l.T0(tpdu, out); err != nil {
		return out[:start], err
	}
	if len(c.Data) == 0 && out[len(out)-2] == sw1WrongLe {
		header[4] = out[len(out)-1]
		if out, err = l.T0(header[:], out[:start]); err != nil {
			return out[:start], err
		}
	}
	return l.fetch(&c, out, start, classes)
}

// fetch reads the available response data with GET RESPONSE, up to Ne bytes.
func (l *Line) fetch(c *card.Command, out []byte, start int, classes Classes) ([]byte, error) {
	ne := c.Ne
	if !c.HasLe {
		ne = maxShort // cases 1 and 3: unexpected data is kept
	}
	cla := classes.GetResponse
	if cla == sameClass {
		cla = c.CLA
	}
	for range maxFetches {
		n := len(out)
		sw1, sw2 := out[n-2], out[n-1]
		want := ne - (n - 2 - start)
		switch {
		case sw1 == sw1More && want > 0:
			if sw2 != 0 {
				want = min(want, int(sw2))
			}
		case sw1 == sw1OK && sw2 == 0 && c.HasLe && len(c.Data) > 0 && n-2 == start:
			// case 4 without data so far (ISO 7816-3, 12.2.5)
		default:
			return out, nil
		}
		unannounced := sw1 == sw1OK
		next, err := l.T0([]byte{cla, insGetResponse, 0, 0, byte(min(want, maxShort))}, out[:n-2])
		if err == nil && next[len(next)-2] == sw1WrongLe && len(next) == n {
			next, err = l.T0([]byte{cla, insGetResponse, 0, 0, next[len(next)-1]}, next[:n-2])
		}
		if err != nil {
			return out[:start], err
		}
		if unannounced && len(next) == n && next[n-2] != sw1More {
			// The card has no data: the result is its 90 00.
			return append(next[:n-2], sw1OK, 0), nil
		}
		out = next
	}
	return out[:start], ErrOverrun
}

// envelope sends a command with more than 255 data bytes (ISO 7816-3, 12.2.4 and 12.2.6).
func (l *Line) envelope(c *card.Command, apdu, out []byte, classes Classes) ([]byte, error) {
	start := len(out)
	cla := classes.Envelope
	if cla == sameClass {
		cla = c.CLA
	}
	var err error
	for len(apdu) > 0 {
		n := min(len(apdu), 255)
		tpdu := append([]byte{cla, insEnvelope, 0, 0, byte(n)}, apdu[:n]...)
		apdu = apdu[n:]
		if out, err = l.T0(tpdu, out[:start]); err != nil {
			return out[:start], err
		}
		if sw1 := out[start]; sw1 != sw1OK && len(apdu) > 0 {
			return out, nil
		}
	}
	if out[start] == sw1OK { // an empty ENVELOPE ends the command for a strict card
		if out, err = l.T0([]byte{cla, insEnvelope, 0, 0, 0}, out[:start]); err != nil {
			return out[:start], err
		}
	}
	return l.fetch(c, out, start, classes)
}
