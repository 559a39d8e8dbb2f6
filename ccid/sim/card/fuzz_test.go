package card

import "testing"

// FuzzSend checks that the card survives any characters.
func FuzzSend(f *testing.F) {
	f.Add(uint8(0), []byte{0x00, 0xA4, 0x04, 0x00, 0x02}, []byte{0x3F, 0x00})
	f.Add(uint8(1), []byte{0x00, 0x00, 0x04, 0x80, 0x30, 0x00, 0x00, 0xB4},
		[]byte{0x00, 0xC0, 0x00, 0xC0})
	f.Add(uint8(2), []byte{0xFF, 0x10, 0x96, 0x79}, []byte{0x80, 0xC2, 0, 0, 0})
	names := Names()
	f.Fuzz(func(t *testing.T, which uint8, first, second []byte) {
		c, err := Named(names[int(which)%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		c.Reset(true, AnyClass)
		rate := byte(DefaultRate)
		for _, b := range [][]byte{first, second, first} {
			total := 0
			for _, burst := range c.Send(rate, b) {
				total += len(burst.Bytes)
			}
			if total > 2048 {
				t.Fatalf("the answer to % X has %d characters", b, total)
			}
		}
		if atr := c.Reset(false, AnyClass); string(atr) != string(c.ATR()) {
			t.Fatalf("the answer to the next reset is % X", atr)
		}
	})
}

func FuzzParseATR(f *testing.F) {
	for _, n := range Names() {
		c, _ := Named(n)
		f.Add(c.ATR())
	}
	f.Add([]byte{0x3B, 0xFF, 0x11, 0x22, 0x33, 0xF0, 0x11, 0x22, 0x33, 0xF0})
	f.Fuzz(func(t *testing.T, atr []byte) {
		info, _ := ParseATR(atr)
		info.First()
		info.Rate()
		c := New(Options{ATR: atr, Applets: Applets()})
		c.Reset(true, AnyClass)
		c.Send(DefaultRate, []byte{0x80, 0x30, 0, 0, 0})
	})
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0, 0, 0, 1, 7, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommand(b)
		if err == nil && (len(c.Data) > len(b) || c.Ne < 0 || c.Ne > maxNe ||
			c.HasLe != (c.Ne > 0)) {
			t.Fatalf("% X gives %+v", b, c)
		}
	})
}
