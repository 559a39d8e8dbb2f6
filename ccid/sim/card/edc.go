package card

// LRC returns the exclusive-or of all bytes (ISO 7816-3, 11.3.4).
func LRC(b []byte) byte {
	var x byte
	for _, v := range b {
		x ^= v
	}
	return x
}

// CRC returns the cyclic redundancy code of T=1 (ISO 7816-3, 11.3.4). The standard refers to
// ISO/IEC 13239 and does not state preset, complement and byte order. Recorded traffic of cards and
// readers (TestRecordedCRCs) has the polynomial x^16 + x^12 + x^5 + 1, the least significant bit
// first, a preset of ones, no complement, and the more significant byte first: 00 C1 01 FE is
// followed by 54 4E.
func CRC(b []byte) uint16 {
	const reversed = 0x8408 // x^16 + x^12 + x^5 + 1, bits reversed
	crc := uint16(0xFFFF)
	for _, v := range b {
		crc ^= uint16(v)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ reversed
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

// AppendEDC appends the epilogue of a block to its prologue and information field.
func AppendEDC(block []byte, crc bool) []byte {
	if crc {
		v := CRC(block)
		return append(block, byte(v>>8), byte(v))
	}
	return append(block, LRC(block))
}

// CheckEDC reports whether a block ends with the correct epilogue.
func CheckEDC(block []byte, crc bool) bool {
	n := EDCSize(crc)
	if len(block) < n {
		return false
	}
	if crc {
		v := CRC(block[:len(block)-n])
		return block[len(block)-2] == byte(v>>8) && block[len(block)-1] == byte(v)
	}
	return LRC(block) == 0
}

// EDCSize returns the length of the epilogue in bytes.
func EDCSize(crc bool) int {
	if crc {
		return 2
	}
	return 1
}
