package ccid

import (
	"context"
	"encoding/binary"

	"tamaccid/ccid/scard"
)

// maxAPDUDataExtended is PropertyMaxAPDUData of a reader that takes extended APDUs.
const maxAPDUDataExtended = 0x10000

// conditions are the bits of bEntryValidationCondition that the reader takes, all where that is not
// known.
func (s *Slot) conditions() byte {
	if c := s.r.quirk.PIN.Condition; c != 0 {
		return c
	}
	if s.r.firmware.ok && s.r.firmware.conditions != 0 {
		return s.r.firmware.conditions
	}
	return scard.ValidationAll
}

// tlvProperties is the answer to GET_TLV_PROPERTIES: tag, length, value, little endian (PC/SC part
// 10, 2.6.14).
func (s *Slot) tlvProperties(ctx context.Context) ([]byte, error) {
	c := &s.r.class
	var b []byte
	b1 := func(tag, v byte) { b = append(b, tag, 1, v) }
	b2 := func(tag byte, v uint16) { b = binary.LittleEndian.AppendUint16(append(b, tag, 2), v) }
	if c.PINSupport != 0 {
		if err := s.readFirmware(ctx); err != nil {
			return nil, err
		}
		b2(scard.PropertyLcdLayout, s.lcdLayout())
		b1(scard.PropertyValidation, s.conditions())
		b1(scard.PropertyTimeOut2, 0)
		if c.LcdCharacters != 0 && c.LcdLines != 0 {
			b2(scard.PropertyLcdCharacters, uint16(c.LcdCharacters))
			b2(scard.PropertyLcdLines, uint16(c.LcdLines))
		}
		if least, most, known := s.pinSizes(); known {
			b1(scard.PropertyMinPIN, least)
			b1(scard.PropertyMaxPIN, most)
		}
	}
	if s.r.quirk.Gemalto && s.mayEscape([]byte{gemaltoVersion}) == nil {
		if id := s.firmwareID(ctx); len(id) > 0 && len(id) < 128 {
			b = append(append(b, scard.PropertyFirmware, byte(len(id))), id...)
		}
	}
	ppdu := byte(0)
	if s.r.o.Escape == EscapeAlways {
		ppdu = 1 // by control code
	}
	if s.r.firmware.ppdu {
		ppdu |= 2 // by pseudo APDU
	}
	b1(scard.PropertyPPDU, ppdu)
	size := uint32(maxAPDUDataExtended)
	if s.r.level == LevelShortAPDU {
		size = 0
	}
	b = binary.LittleEndian.AppendUint32(append(b, scard.PropertyMaxAPDUData, 4), size)
	vendor, product, _ := s.r.dev.ID()
	b2(scard.PropertyVendor, vendor)
	b2(scard.PropertyProduct, product)
	return b, s.r.lost()
}

// pinProperties is PIN_PROPERTIES_STRUCTURE (PC/SC part 10, 2.6.8).
func (s *Slot) pinProperties(ctx context.Context) ([]byte, error) {
	if err := s.readFirmware(ctx); err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint16(nil, s.lcdLayout())
	return append(b, s.conditions(), 0), nil
}

// lcdLayout is wLcdLayout, lines in the upper byte (CCID 1.1, table 5.1-1).
func (s *Slot) lcdLayout() uint16 {
	return uint16(s.r.class.LcdLines)<<8 | uint16(s.r.class.LcdCharacters)
}

// pinSizes are the bounds of a PIN's length, where they are known.
func (s *Slot) pinSizes() (least, most byte, known bool) {
	if f := s.r.firmware; f.ok && f.maxPIN != 0 {
		return f.minPIN, f.maxPIN, true
	}
	p := s.r.quirk.PIN
	return p.Min, p.Max, p.HasSize
}
