package ccid

import (
	"bytes"
	"fmt"
	"time"

	"tamaccid/ccid/atr"
)

// Quirk is what a reader needs beyond its descriptors.
type Quirk struct {
	// Note names the reader, for people; empty when no row of the table applies.
	Note string

	OpenWait    time.Duration // before the first command
	FirstStatus time.Duration // for the answer to the first command
	Answer      time.Duration // shortest wait for any answer
	ExtraT1Wait time.Duration // for every T=1 block

	Protocols        uint32 // instead of dwProtocols
	DefaultClock     uint32 // instead of dwDefaultClock, in kHz
	MaxIFSD          uint32 // instead of dwMaxIFSD
	MaxRate          uint32 // rates above it are not used
	SecondaryMaxRate uint32 // the same for slots other than the first, which have no table of rates either
	NoPPS            bool   // neither PPS nor another protocol than the card's first
	NoIFSD           bool   // no S(IFS request)
	SplitReads       bool   // no character-level answer that ends on a packet boundary
	ResetForT1       bool   // two resets where SetParameters for T=1 fails
	ISOMode          bool   // escape 1F 01 when power-on fails with BB
	StatusLies       bool   // GetSlotStatus does not tell whether a card is there
	IDToken          bool   // pseudo APDUs that the driver answers

	level    Level
	hasLevel bool

	PIN     PINQuirk
	escapes []escapeRule
	gemalto bool
	mct     bool // MCT_READER_DIRECT of PC/SC part 10
}

// PINQuirk is what secure PIN entry needs.
type PINQuirk struct {
	Off             bool // declared, but absent or not secure
	Min, Max        uint8
	HasSize         bool          // Min and Max are known
	Condition       uint8         // the only bEntryValidationCondition that works, 0 when all do
	VerifyMessages  int8          // bNumberMessage for verification, noOverride for the caller's
	ModifyMessages  int8          // the same for modification
	ModifyNoIndices bool          // message indices of a modification are zero
	ZeroIsFF        bool          // bNumberMessage 0 of a modification is sent as FF
	EnterWait       time.Duration // before the entry: the Enter key must come up
	SwapSizes       bool          // the two bytes of wPINMaxExtraDigit the other way round
	Case1Escape     []byte        // before a verification whose APDU has no data
}

const noOverride = -1

// escapeRule allows escape commands that start with prefix.
type escapeRule struct{ prefix []byte }

// quirkRow is one row of the table: what applies to product of vendor while bcdDevice is within from and to. Effect is
// its description, set its execution.
type quirkRow struct {
	vendor, product uint16
	any             bool // any product of the vendor
	from, to        uint16
	name, effect    string
	source          string
	set             func(q *Quirk)
}

const newest = 0xFFFF

func (r *quirkRow) matches(vendor, product, version uint16) bool {
	return r.vendor == vendor && (r.any || r.product == product) && r.from <= version && version <= r.to
}

// findQuirk collects the rows that apply. The error is ErrFirmware for firmware that is refused; the Quirk is valid with it.
func findQuirk(vendor, product, version uint16, i *Interface) (Quirk, error) {
	q := Quirk{PIN: PINQuirk{VerifyMessages: noOverride, ModifyMessages: noOverride}}
	for n := range quirkTable {
		if row := &quirkTable[n]; row.matches(vendor, product, version) {
			if q.Note == "" || !row.any {
				q.Note = row.name
			}
			row.set(&q)
		}
	}
	if i.Kind == KindICCDB && i.Class.Features.Level() == LevelShortAPDU {
		q.force(LevelExtendedAPDU) // ICCD 1.0, 7.2: chaining is part of the data block
	}
	for _, f := range oldFirmware {
		if f.vendor == vendor && f.product == product && version < f.below {
			return q, fmt.Errorf("%w: %s %x.%02x, %x.%02x is the first that works", ErrFirmware, f.name,
				version>>8, version&0xFF, f.below>>8, f.below&0xFF)
		}
	}
	return q, nil
}

func (q *Quirk) force(l Level) { q.level, q.hasLevel = l, true }

// declaredTooShort is a dwMaxCCIDMessageLength that readers declare which take a whole short APDU all the same, and
// wholeShort what they take.
const (
	declaredTooShort = 263
	wholeShort       = headerSize + 261
)

// apply corrects a class descriptor.
func (q *Quirk) apply(c *ClassDescriptor) {
	const levels = FeatureTPDU | FeatureShortAPDU | FeatureExtendedAPDU
	if q.hasLevel {
		c.Features &^= levels
		switch q.level {
		case LevelTPDU:
			c.Features |= FeatureTPDU
		case LevelShortAPDU:
			c.Features |= FeatureShortAPDU
		case LevelExtendedAPDU:
			c.Features |= FeatureExtendedAPDU
		}
	}
	if q.Protocols != 0 {
		c.Protocols = q.Protocols
	}
	if q.DefaultClock != 0 {
		c.DefaultClock, c.MaximumClock = q.DefaultClock, q.DefaultClock
	}
	if q.MaxIFSD != 0 {
		c.MaxIFSD = q.MaxIFSD
	}
	if q.MaxRate != 0 {
		c.MaxDataRate = min(c.MaxDataRate, q.MaxRate)
	}
	if q.PIN.Off {
		c.PINSupport = 0
	}
	if c.MaxMessageLength == declaredTooShort {
		c.MaxMessageLength = wholeShort
	}
}

// cardQuirk changes what one kind of card's answer to reset means.
type cardQuirk struct {
	atr      []byte
	name     string
	effect   string
	bwi, cwi uint8
}

var cardQuirks = []cardQuirk{{
	atr: []byte{
		0x3B, 0xFA, 0x13, 0x00, 0xFF, 0x81, 0x31, 0x80, 0x45, 0x00,
		0x31, 0xC1, 0x73, 0xC0, 0x01, 0x00, 0x00, 0x90, 0x00, 0xB1,
	},
	name: "OpenPGP card 1.1", effect: "BWI 7, CWI 5: key generation takes longer than the answer to reset promises",
	bwi: 7, cwi: 5,
}}

func applyCardQuirks(answer []byte, i *atr.Info) {
	for _, q := range cardQuirks {
		if bytes.Equal(q.atr, answer) {
			i.BWI, i.CWI = q.bwi, q.cwi
		}
	}
}
