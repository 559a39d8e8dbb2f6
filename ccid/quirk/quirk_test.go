package quirk

import (
	"errors"
	"testing"
)

func TestRowsAreWhole(t *testing.T) {
	for _, r := range table {
		if r.name == "" || r.effect == "" || r.source == "" || r.set == nil ||
			r.to != 0 && r.to < r.from || r.vendor == 0 || r.any != (r.product == 0) {
			t.Errorf("%04X:%04X: %+v", r.vendor, r.product, r.name)
		}
	}
}

func TestOldFirmware(t *testing.T) {
	for _, o := range oldFirmware {
		if err := Refused(o.vendor, o.product, o.below-1); !errors.Is(err, ErrFirmware) {
			t.Errorf("%s below %04X: %v", o.name, o.below, err)
		}
		if err := Refused(o.vendor, o.product, o.below); err != nil {
			t.Errorf("%s at %04X: %v", o.name, o.below, err)
		}
	}
}
