package controllers

import "testing"

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		name  string
		class uint32
		known bool
	}{
		{name: "an xHCI controller", class: 0x0C0330, known: true},
		{name: "a USB device controller", class: 0x0C03FE},
		{name: "a network card", class: 0x020000},
		{name: "no function", class: 0xFFFFFF},
	} {
		d := Lookup(c.class)
		if (d != nil) != c.known || d != nil &&
			(d.Class != c.class || d.Wide == nil || d.New == nil) {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}
