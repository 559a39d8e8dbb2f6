package ccid_test

import (
	"context"
	"testing"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// benchExchange measures bytes through driver, virtual reader and virtual card.
func benchExchange(b *testing.B, level reader.Level, name string, command []byte, answer int) {
	c, err := card.Named(name)
	if err != nil {
		b.Fatal(err)
	}
	r, err := openSim(b, reader.NewDevice(reader.New(level)), 0, c, ccid.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s := r.Slots()[0]
	ctx := context.Background()
	if _, err := s.Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset); err != nil {
		b.Fatal(err)
	}
	out := make([]byte, 65538)
	b.SetBytes(int64(len(command) + answer))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := s.Transmit(ctx, command, out); err != nil || n != answer+2 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkT1Read256(b *testing.B) {
	benchExchange(b, reader.TPDU, "t1", []byte{0x80, 0x34, 1, 0, 0}, 256)
}

func BenchmarkT1Read64K(b *testing.B) {
	benchExchange(b, reader.TPDU, "t1", []byte{0x80, 0, 4, 0x42, 0, 0xFF, 0xFF}, 65535)
}

func BenchmarkT1Write64K(b *testing.B) {
	benchExchange(b, reader.TPDU, "t1", append([]byte{0x80, 0x12, 1, 0x80, 0, 0xFF, 0xFF},
		counted(65535)...), 0)
}

func BenchmarkChainedRead64K(b *testing.B) {
	benchExchange(b, reader.ExtendedAPDU, "t1", []byte{0x80, 0, 4, 0x42, 0, 0xFF, 0xFF}, 65535)
}

func BenchmarkChainedWrite64K(b *testing.B) {
	benchExchange(b, reader.ExtendedAPDU, "t1",
		append([]byte{0x80, 0x12, 1, 0x80, 0, 0xFF, 0xFF}, counted(65535)...), 0)
}
