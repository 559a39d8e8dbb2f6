package t1

// A block is NAD, PCB, LEN, up to 254 bytes of information field, and one or two bytes of epilogue
// (ISO/IEC 7816-3:2006, 11.3).
const (
	prologueSize = 3
	maxINF       = 254
	// MaxBlock is the longest block.
	MaxBlock = prologueSize + maxINF + 2
)

// Bits of PCB (ISO/IEC 7816-3:2006, 11.3.2.2).
const (
	pcbNotI     = 0x80
	pcbS        = 0xC0
	pcbISeq     = 0x40
	pcbIMore    = 0x20
	pcbIZero    = 0x1F // reserved
	pcbRSeq     = 0x10
	pcbRZero    = 0x20 // reserved
	pcbRError   = 0x0F
	pcbSReply   = 0x20
	pcbSKind    = 0x1F
	rErrorEDC   = 1 // redundancy code or parity error
	rErrorOther = 2
)

// Kinds of S-block.
const (
	sResynch = 0
	sIFS     = 1
	sAbort   = 2
	sWTX     = 3
)

// blockKind is what a received block is.
type blockKind uint8

const (
	blockInvalid    blockKind = iota // damaged in its form or content
	blockInvalidEDC                  // damaged in its redundancy code
	blockI
	blockR
	blockS
)

// block is a parsed block of the card. inf is a view.
type block struct {
	kind blockKind
	pcb  byte
	inf  []byte
}

func (b block) seq() byte {
	if b.kind == blockI {
		return b.pcb & pcbISeq >> 6
	}
	return b.pcb & pcbRSeq >> 4
}
func (b block) more() bool    { return b.pcb&pcbIMore != 0 }
func (b block) isReply() bool { return b.pcb&pcbSReply != 0 }
func (b block) sKind() byte   { return b.pcb & pcbSKind }

// decode checks a block in the order form, redundancy code, content (ISO/IEC 7816-3:2006, 11.6.3).
// Bytes beyond LEN make it invalid. The node address is ignored: it is not used, and some cards
// send any value.
func decode(b []byte, crc bool) block {
	epilogue := edcSize(crc)
	if len(b) < prologueSize+epilogue {
		return block{kind: blockInvalid}
	}
	n := int(b[2])
	if n > maxINF || len(b) != prologueSize+n+epilogue {
		return block{kind: blockInvalid}
	}
	if !checkEDC(b, crc) {
		return block{kind: blockInvalidEDC}
	}
	d := block{pcb: b[1], inf: b[prologueSize : prologueSize+n]}
	switch {
	case d.pcb&pcbNotI == 0:
		if d.pcb&pcbIZero == 0 {
			d.kind = blockI
		}
	case d.pcb&pcbS == pcbNotI:
		if d.pcb&pcbRZero == 0 && d.pcb&pcbRError <= rErrorOther && n == 0 {
			d.kind = blockR
		}
	default:
		d.kind = blockS
		switch d.sKind() {
		case sResynch, sAbort:
			if n != 0 {
				d.kind = blockInvalid
			}
		case sIFS, sWTX:
			if n != 1 {
				d.kind = blockInvalid
			}
		default:
			d.kind = blockInvalid
		}
	}
	return d
}

func edcSize(crc bool) int {
	if crc {
		return 2
	}
	return 1
}

// appendEDC appends the epilogue to a block's prologue and information field.
func appendEDC(b []byte, crc bool) []byte {
	if crc {
		v := crc16(b)
		return append(b, byte(v>>8), byte(v))
	}
	return append(b, lrc(b))
}

func checkEDC(b []byte, crc bool) bool {
	if !crc {
		return lrc(b) == 0
	}
	n := len(b) - 2
	v := crc16(b[:n])
	return b[n] == byte(v>>8) && b[n+1] == byte(v)
}

// lrc is the exclusive or of all bytes (ISO/IEC 7816-3:2006, 11.3.4).
func lrc(b []byte) (x byte) {
	for _, c := range b {
		x ^= c
	}
	return x
}

// crc16 is the redundancy code that ISO/IEC 7816-3:2006, 11.3.4 takes from ISO/IEC 13239: x^16 +
// x^12 + x^5 + 1, bits reversed, preset to ones. Cards send it without the final complement and
// with the high byte first.
func crc16(b []byte) uint16 {
	v := uint16(0xFFFF)
	for _, c := range b {
		x := byte(v) ^ c
		x ^= x << 4
		v = v>>8 ^ uint16(x)<<8 ^ uint16(x)<<3 ^ uint16(x)>>4
	}
	return v
}
