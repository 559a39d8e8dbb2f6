package reader

import (
	"encoding/binary"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/ifd"
)

// PINPad is the input at a reader's keypad.
type PINPad struct {
	// Entries are used in their order, one for each PIN that the reader requests. The last one is
	// used again.
	Entries []Entry
	next    int
}

// Entry is the entry of one PIN. In a modification the old PIN, the new PIN and the confirmation
// are three entries.
type Entry struct {
	// Digits are the digits of the PIN.
	Digits string
	// Cancel is the cancel key. Timeout means that no key is pressed.
	Cancel, Timeout bool
	// After is the time that the entry takes.
	After time.Duration
}

// enter returns the next entry.
func (p *PINPad) enter() Entry {
	if len(p.Entries) == 0 {
		return Entry{Timeout: true}
	}
	e := p.Entries[min(p.next, len(p.Entries)-1)]
	p.next++
	return e
}

// Offsets in abData of PC_to_RDR_Secure (CCID 1.1, 6.1.11).
const (
	pinOperation = 0
	pinTimeout   = 1
	pinFormat    = 2
	pinBlock     = 3
	pinLength    = 4

	verifyExtra    = 5 // wPINMaxExtraDigit
	verifyHeader   = 15
	modifyInsertO  = 5
	modifyInsertN  = 6
	modifyExtra    = 7
	modifyConfirm  = 9
	modifyMessages = 11

	operationVerify = 0
	operationModify = 1

	confirmEntry  = 0x01 // bConfirmPIN
	confirmOldPIN = 0x02
)

// secure executes PC_to_RDR_Secure.
func (s *slot) secure(m command) {
	pad := s.r.function().PINPad
	support := s.r.class().PINSupport
	d := m.data
	switch {
	case support == 0 || pad == nil:
		s.r.fail(m, s, errUnsupported)
		return
	case !s.active:
		s.r.fail(m, s, errMute)
		return
	case len(d) < verifyHeader:
		s.r.fail(m, s, badLength)
		return
	}
	s.line.Start()
	var prologue, apdu []byte
	var code byte
	var waited time.Duration
	switch {
	case d[pinOperation] == operationVerify && support&PINVerify != 0:
		prologue = d[verifyHeader-3 : verifyHeader]
		apdu, code, waited = pad.verify(d)
	case d[pinOperation] == operationModify && support&PINModify != 0:
		prologue, apdu, code, waited = pad.modify(d)
	default:
		code = firstParameter
	}
	s.line.Spent += waited
	if code != 0 {
		s.r.answer(s.r.reply(m, cmdFailed|s.status(), code, 0), s.line.Spent)
		return
	}
	if err := s.send(prologue, apdu); err != nil {
		s.failed(m, err)
		return
	}
	s.data(m, s.resp, 0)
}

// send sends the APDU with the PIN. At TPDU level it is a T=0 TPDU, or the information field of a
// T=1 block with the NAD and PCB of bTeoPrologue.
func (s *slot) send(prologue, apdu []byte) (err error) {
	s.fresh = false
	if s.r.class().Level() >= ShortAPDU {
		return s.exchange(apdu)
	}
	if s.protocol != 1 {
		s.resp, err = s.line.T0(apdu, s.resp[:0])
		return err
	}
	if len(apdu) > 254 {
		return ifd.ErrLength // no block is so long (ISO 7816-3, 11.3.2.3)
	}
	block := append([]byte{prologue[0], prologue[1], byte(len(apdu))}, apdu...)
	s.resp, err = s.line.Block(card.AppendEDC(block, s.line.CRC), s.resp[:0])
	return err
}

// verify returns the APDU of a PIN verification, bError, and the time of the entry.
func (p *PINPad) verify(d []byte) (apdu []byte, code byte, waited time.Duration) {
	entry, code := p.request(binary.LittleEndian.Uint16(d[verifyExtra:]), d[pinTimeout])
	if code != 0 {
		return nil, code, entry.After
	}
	apdu = append([]byte(nil), d[verifyHeader:]...)
	apdu, code = insert(apdu, d, 0, entry.Digits)
	return apdu, code, entry.After
}

// modify returns the APDU of a PIN modification, with the entries that bConfirmPIN requires.
// bNumberMessage defines the number of message indexes (CCID 1.1, 6.1.11.7).
func (p *PINPad) modify(d []byte) (prologue, apdu []byte, code byte, waited time.Duration) {
	const behindMessages = 1 + 3 // bMsgIndex1 and bTeoPrologue
	header := modifyMessages + 3 + behindMessages
	if len(d) > modifyMessages && (d[modifyMessages] == 2 || d[modifyMessages] == 3) {
		header += int(d[modifyMessages]) - 1
	}
	if len(d) < header {
		return nil, nil, badLength, 0
	}
	limits := binary.LittleEndian.Uint16(d[modifyExtra:])
	var typed [3]Entry
	ask := func(i int) byte {
		typed[i], code = p.request(limits, d[pinTimeout])
		waited += typed[i].After
		return code
	}
	confirm := d[modifyConfirm]
	old := confirm&confirmOldPIN != 0
	switch {
	case old && ask(0) != 0, ask(1) != 0, confirm&confirmEntry != 0 && ask(2) != 0:
		return nil, nil, code, waited
	case confirm&confirmEntry != 0 && typed[1].Digits != typed[2].Digits:
		return nil, nil, errPINCancelled, waited
	}
	apdu = append([]byte(nil), d[header:]...)
	if old {
		apdu, code = insert(apdu, d, int(d[modifyInsertO]), typed[0].Digits)
	}
	if code == 0 {
		apdu, code = insert(apdu, d, int(d[modifyInsertN]), typed[1].Digits)
	}
	return d[header-3 : header], apdu, code, waited
}

// request returns the entry of one PIN, and bError. limits has the greatest length in its low byte
// and the smallest in its high byte.
func (p *PINPad) request(limits uint16, seconds byte) (Entry, byte) {
	const defaultTimeout = 30 // bTimeOut 0: the reader decides
	e := p.enter()
	if seconds == 0 {
		seconds = defaultTimeout
	}
	most := time.Duration(seconds) * time.Second
	switch {
	case e.Timeout, e.After > most:
		e.After = min(most, max(e.After, 0))
		if e.Timeout && e.After == 0 {
			e.After = time.Millisecond // so that tests do not wait for 30 s
		}
		return e, errPINTimeout
	case e.Cancel, len(e.Digits) > int(limits&0xFF), len(e.Digits) < int(limits>>8):
		return e, errPINCancelled
	}
	return e, 0
}

// Fields of bmFormatString, bmPINBlockString and bmPINLengthFormat (CCID 1.1, 6.1.11.1 to
// 6.1.11.3).
const (
	formatBytes  = 0x80 // system units are bytes, not bits
	formatRight  = 0x04 // right justification
	formatType   = 0x03
	typeBinary   = 0
	typeBCD      = 1
	typeASCII    = 2
	lengthBytes  = 0x10 // units of the length's position
	headerInAPDU = 5    // CLA INS P1 P2 Lc
	unusedNibble = 0x0F
)

// insert writes a PIN into a prepared APDU, at an offset from the position in bmFormatString (CCID
// 1.1, 6.1.11). It returns bError, the offset of an invalid field, or 0.
func insert(apdu, d []byte, offset int, digits string) ([]byte, byte) {
	format, block := d[pinFormat], d[pinBlock]
	position := int(format >> 3 & 0x0F)
	if format&formatBytes == 0 {
		if position%8 != 0 {
			return nil, firstParameter + pinFormat
		}
		position /= 8
	}
	pin, ok := encodePIN(digits, format&formatType)
	if !ok {
		return nil, firstParameter + pinFormat
	}
	size := int(block & 0x0F)
	at := headerInAPDU + offset + position
	if size == 0 { // as long as the PIN
		apdu = append(apdu[:min(at, len(apdu))], pin...)
		if len(apdu) < headerInAPDU {
			return nil, firstParameter + pinBlock
		}
		apdu[headerInAPDU-1] = byte(len(apdu) - headerInAPDU)
		return apdu, 0
	}
	if at+size > len(apdu) || len(pin) > size {
		return nil, firstParameter + pinBlock
	}
	if format&formatRight != 0 {
		copy(apdu[at+size-len(pin):], pin)
	} else {
		mergePIN(apdu[at:], pin, len(digits), format&formatType)
	}
	return insertLength(apdu, d, len(digits))
}

// mergePIN copies a PIN, and keeps the lower nibble after an odd number of BCD digits.
func mergePIN(to, pin []byte, digits int, kind byte) {
	for i, b := range pin {
		if kind == typeBCD && digits%2 == 1 && i == len(pin)-1 {
			b = b&0xF0 | to[i]&0x0F
		}
		to[i] = b
	}
}

// insertLength writes the number of digits at the position of bmPINLengthFormat.
func insertLength(apdu, d []byte, n int) ([]byte, byte) {
	bits := int(d[pinBlock] >> 4)
	if bits == 0 {
		return apdu, 0
	}
	position := int(d[pinLength] & 0x0F)
	if d[pinLength]&lengthBytes != 0 {
		position *= 8
	}
	at := headerInAPDU*8 + position
	if at+bits > len(apdu)*8 || n >= 1<<min(bits, 8) && bits < 8 {
		return nil, firstParameter + pinLength
	}
	for i := range bits { // most significant bit first
		bit := byte(n >> (bits - 1 - i) & 1)
		mask := byte(0x80 >> ((at + i) % 8))
		apdu[(at+i)/8] &^= mask
		if bit != 0 {
			apdu[(at+i)/8] |= mask
		}
	}
	return apdu, 0
}

// encodePIN encodes digits in a format type. It reports false for an unknown type.
func encodePIN(digits string, kind byte) ([]byte, bool) {
	var b []byte
	switch kind {
	case typeASCII:
		return []byte(digits), true
	case typeBinary:
		for _, c := range []byte(digits) {
			b = append(b, c-'0')
		}
		return b, true
	case typeBCD:
		for i, c := range []byte(digits) {
			if i%2 == 0 {
				b = append(b, (c-'0')<<4|unusedNibble)
			} else {
				b[i/2] = b[i/2]&0xF0 | (c - '0')
			}
		}
		return b, true
	}
	return nil, false
}
