package ccid

import (
	"context"

	"tamaccid/ccid/scard"
)

// Escape commands of Gemalto readers, and the feature block that the first one returns.
const (
	gemaltoFeatures  = 0x6A
	gemaltoVersion   = 0x02
	gemaltoBlockSize = 21
)

// vendorFeatures is the content of a Gemalto reader's feature block.
type vendorFeatures struct {
	asked, ok      bool
	conditions     byte
	minPIN, maxPIN byte
	modifyFixed    bool // takes the modification structure as CCID 1.1 has it
	ppdu           bool
}

// Offsets in the feature block, and the bits of its flags.
const (
	gemaltoConditions = 3
	gemaltoFlags      = 8
	gemaltoMinPIN     = 13
	gemaltoMaxPIN     = 14
	gemaltoFixed      = 0x04 // bNumberMessageFix
	gemaltoPPDU       = 0x08 // pseudo APDUs in XfrBlock
)

// readFirmware reads the feature block once, from readers that have one. A reader that refuses the
// command has none.
func (s *Slot) readFirmware(ctx context.Context) error {
	f := &s.r.firmware
	if err := s.r.asking.Acquire(ctx); err != nil {
		return err
	}
	defer s.r.asking.Release()
	if !s.r.quirk.Gemalto || f.asked {
		return nil
	}
	b, err := s.escape(ctx, []byte{gemaltoFeatures})
	if err != nil {
		if refusal(err) != nil {
			f.asked = true
			return nil
		}
		return err
	}
	f.asked = true
	if len(b) < gemaltoBlockSize {
		return nil
	}
	f.ok = true
	f.conditions, f.minPIN, f.maxPIN = b[gemaltoConditions]&scard.ValidationAll, b[gemaltoMinPIN],
		b[gemaltoMaxPIN]
	f.modifyFixed, f.ppdu = b[gemaltoFlags]&gemaltoFixed != 0, b[gemaltoFlags]&gemaltoPPDU != 0
	return nil
}

// firmwareID reads the name of a Gemalto reader's firmware, nil where it has none.
func (s *Slot) firmwareID(ctx context.Context) []byte {
	b, err := s.escapeCopy(ctx, []byte{gemaltoVersion})
	if err != nil {
		return nil
	}
	return b
}
