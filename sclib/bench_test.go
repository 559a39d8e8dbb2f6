package sclib_test

import (
	"testing"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

// BenchmarkTransmit measures what sclib and the fake reader add to an exchange.
func BenchmarkTransmit(b *testing.B) {
	r := sclibtest.NewReader("Test reader")
	answer := []byte{0x90, 0x00}
	r.Insert(sclibtest.Card{ATR: atr, Answer: func([]byte) []byte { return answer }})
	sc := sclib.New(sclibtest.NewBackend(r))
	defer sc.Release()
	card, err := sc.Connect(b.Context(), "Test reader", sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := card.Transmit(b.Context(), command); err != nil {
			b.Fatal(err)
		}
		r.Log()
	}
}
