package apdu

import (
	"bytes"
	"testing"
)

func TestCases(t *testing.T) {
	fill := func(n int) []byte { return bytes.Repeat([]byte{0xAA}, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	h := []byte{0, 1, 2, 3}
	for _, c := range []struct {
		name string
		b    []byte
		want Case
		data int
		le   int
	}{
		{"header alone", h, Case1, 0, 0},
		{"Le", join(h, []byte{5}), Case2S, 0, 5},
		{"Le of zero is 256", join(h, []byte{0}), Case2S, 0, 256},
		{"Lc and data", join(h, []byte{2}, fill(2)), Case3S, 2, 0},
		{"Lc, data and Le", join(h, []byte{2}, fill(2), []byte{9}), Case4S, 2, 9},
		{"Lc of 255", join(h, []byte{255}, fill(255), []byte{0}), Case4S, 255, 256},
		{"extended Le", join(h, []byte{0, 1, 0}), Case2E, 0, 256},
		{"extended Le of zero is 65536", join(h, []byte{0, 0, 0}), Case2E, 0, 65536},
		{"extended Lc and data", join(h, []byte{0, 1, 0}, fill(256)), Case3E, 256, 0},
		{"extended Lc of 65535, data and Le",
			join(h, []byte{0, 255, 255}, fill(65535), []byte{0, 0}), Case4E, 65535, 65536},
		{"three bytes", h[:3], 0, 0, 0},
		{"data missing", join(h, []byte{3}, fill(1)), 0, 0, 0},
		{"data too long", join(h, []byte{1}, fill(3)), 0, 0, 0},
		{"extended mark without length", join(h, []byte{0, 1}), 0, 0, 0},
		{"extended Lc of zero", join(h, []byte{0, 0, 0, 0, 0}), 0, 0, 0},
		{"extended data missing", join(h, []byte{0, 0, 9}, fill(8)), 0, 0, 0},
		{"longer than any", make([]byte, MaxCommand+1), 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.b)
			if (err == nil) != (c.want != 0) || got.Case != c.want || len(got.Data) != c.data ||
				got.Le != c.le {
				t.Fatalf("%+v, %v", got, err)
			}
			if err == nil && (got.CLA != 0 || got.INS != 1 || got.P1 != 2 || got.P2 != 3 ||
				got.Extended() != (c.want >= Case2E)) {
				t.Fatalf("%+v", got)
			}
		})
	}
}

// FuzzParse checks that the parsed fields cover the whole command.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0, 2, 1, 2, 0})
	f.Add([]byte{0, 0xB0, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		n := HeaderSize + len(c.Data)
		switch c.Case {
		case Case2S, Case3S:
			n++
		case Case4S:
			n += 2
		case Case2E, Case3E:
			n += 3
		case Case4E:
			n += 5
		}
		if n != len(b) || c.Le < 0 || c.Le > MaxLe || len(c.Data) > MaxExtended {
			t.Fatalf("%+v of %d bytes", c, len(b))
		}
	})
}
