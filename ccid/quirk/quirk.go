// Package quirk is the table of readers, and cards, with needs beyond what their descriptors and
// answers to reset declare. Each row of table.go names the device, what the row changes and where
// that need is recorded; README.md has the same table, generated from the code. Find collects the
// rows for one device into Needs; package ccid applies them. A new row belongs here only when no
// rule for all readers can take its place.
package quirk

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/scard"
)

// Level is the exchange level of a reader whose descriptor declares another one (CCID 1.1, 3.2).
type Level uint8

// The levels. LevelDeclared is the one of the descriptor.
const (
	LevelDeclared Level = iota
	LevelShortAPDU
	LevelExtendedAPDU
)

// Needs is what a reader needs beyond its descriptors. Zero members change nothing.
type Needs struct {
	// Note names the reader, for people; empty when no row of the table applies.
	Note string

	OpenWait    time.Duration // before the first command
	FirstStatus time.Duration // for the answer to the first command
	Answer      time.Duration // shortest wait for any answer
	ExtraT1Wait time.Duration // for every T=1 block

	Level            Level          // instead of the level in dwFeatures
	Protocols        scard.Protocol // instead of dwProtocols
	DefaultClock     uint32         // instead of dwDefaultClock and dwMaximumClock, in kHz
	MaxIFSD          uint32         // instead of dwMaxIFSD
	MaxRate          uint32         // bit/s; higher rates are not used
	SecondaryMaxRate uint32         // bit/s, for other slots than the first, without a rate table
	NoPPS            bool           // neither PPS nor another protocol than the card's first
	NoIFSD           bool           // no S(IFS request)
	SplitReads       bool           // no character-level answer that ends on a packet boundary
	ResetForT1       bool           // two resets where SetParameters for T=1 fails
	ISOMode          bool           // escape 1F 01 when power-on fails with BB
	StatusLies       bool           // GetSlotStatus does not report whether a card is present
	IDToken          bool           // pseudo APDUs that the driver answers
	Gemalto          bool           // escapes 6A (feature block) and 02 (firmware version)
	MCT              bool           // MCT_READER_DIRECT of PC/SC part 10

	// Escapes are the beginnings of the escape commands that programs may send.
	Escapes [][]byte
	PIN     PIN
}

// PIN is what secure PIN entry needs.
type PIN struct {
	Off             bool          // declared, but absent or not secure
	Min, Max        uint8         // number of digits
	HasSize         bool          // Min and Max are known
	Condition       uint8         // the only bEntryValidationCondition that works, 0 when all do
	VerifyMessages  int8          // bNumberMessage for verification, NoOverride for the caller's
	ModifyMessages  int8          // the same for modification
	ModifyNoIndices bool          // message indices of a modification are zero
	ZeroIsFF        bool          // bNumberMessage 0 of a modification is sent as FF
	EnterWait       time.Duration // before the entry: the Enter key must come up
	SwapSizes       bool          // the two bytes of wPINMaxExtraDigit are swapped
	Case1Escape     []byte        // before a verification whose APDU has no data
}

// NoOverride is PIN.VerifyMessages and PIN.ModifyMessages where the caller's count is sent.
const NoOverride = -1

// row is one row of the table: what applies to product of vendor while bcdDevice is within from and
// to; to 0 is no upper bound. effect is its description, set its execution.
type row struct {
	vendor, product uint16
	any             bool // any product of the vendor
	from, to        uint16
	name, effect    string
	source          string
	set             func(q *Needs)
}

func (r *row) matches(vendor, product, version uint16) bool {
	return r.vendor == vendor && (r.any || r.product == product) &&
		r.from <= version && (r.to == 0 || version <= r.to)
}

// Find collects the rows that apply to a device, given by idVendor, idProduct and bcdDevice.
func Find(vendor, product, version uint16) Needs {
	q := Needs{PIN: PIN{VerifyMessages: NoOverride, ModifyMessages: NoOverride}}
	for i := range table {
		if r := &table[i]; r.matches(vendor, product, version) {
			if q.Note == "" || !r.any {
				q.Note = r.name
			}
			r.set(&q)
		}
	}
	return q
}

// ErrFirmware is wrapped by the error of Refused.
var ErrFirmware = errors.New("ccid: firmware too old")

// Refused returns an error that wraps ErrFirmware for a reader whose firmware is known to be
// broken, nil for all others.
func Refused(vendor, product, version uint16) error {
	for _, f := range oldFirmware {
		if f.vendor == vendor && f.product == product && version < f.below {
			return fmt.Errorf("%w: %s %s, %s is the first that works", ErrFirmware, f.name,
				bcdText(version), bcdText(f.below))
		}
	}
	return nil
}

// bcdText is bcdDevice as text.
func bcdText(v uint16) string { return fmt.Sprintf("%x.%02x", v>>8, v&0xFF) }

// card changes what one kind of card's answer to reset means.
type card struct {
	atr      []byte
	name     string
	effect   string
	bwi, cwi uint8
}

var cards = []card{{
	atr: []byte{
		0x3B, 0xFA, 0x13, 0x00, 0xFF, 0x81, 0x31, 0x80, 0x45, 0x00,
		0x31, 0xC1, 0x73, 0xC0, 0x01, 0x00, 0x00, 0x90, 0x00, 0xB1,
	},
	name:   "OpenPGP card 1.1",
	effect: "BWI 7, CWI 5: key generation takes longer than the answer to reset promises",
	bwi:    7, cwi: 5,
}}

// ForCard corrects the interpretation of an answer to reset.
func ForCard(answer []byte, i *atr.Info) {
	for _, c := range cards {
		if bytes.Equal(c.atr, answer) {
			i.BWI, i.CWI = c.bwi, c.cwi
		}
	}
}
