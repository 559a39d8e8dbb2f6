package ccid

import (
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/quirk"
)

// declaredTooShort is a dwMaxCCIDMessageLength of readers that take a whole short APDU, and
// wholeShort what they take: SCM SCR331 and SCR355, ActivCard V2, Axalto V3 and others in
// testdata/readers.txt; libccid 1.8.2 ignores the value too (ifdhandler.c).
const (
	declaredTooShort = 263
	wholeShort       = pipe.HeaderSize + 261
)

// correct changes a class descriptor where it is known to be wrong: by what the quirk table has for
// the reader, and by what holds for all readers of a kind.
func (c *ClassDescriptor) correct(q *quirk.Needs, kind Kind) {
	switch level := c.Features.Level(); {
	case q.Level == quirk.LevelShortAPDU:
		c.setLevel(FeatureShortAPDU)
	case q.Level == quirk.LevelExtendedAPDU,
		kind == KindICCDB && level == LevelShortAPDU: // ICCD 1.0, 7.2: data blocks are chained
		c.setLevel(FeatureExtendedAPDU)
	}
	if q.Protocols != Undefined {
		c.Protocols = uint32(q.Protocols)
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

// setLevel replaces the exchange level.
func (c *ClassDescriptor) setLevel(level Features) {
	c.Features = c.Features&^(FeatureTPDU|FeatureShortAPDU|FeatureExtendedAPDU) | level
}
