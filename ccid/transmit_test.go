package ccid

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestTransmitAtEachLevel(t *testing.T) {
	hello := []byte("Hello world!\x90\x00")
	for _, c := range []struct {
		name  string
		class ClassDescriptor
		atr   []byte
		want  Protocol
		xfr   func(m, p []byte) []byte
	}{
		{"short APDUs pass as they are", class(FeatureShortAPDU | FeatureAutoParameters), atrT0, T0,
			func(_, p []byte) []byte {
				if !bytes.Equal(p, []byte{0, 0, 0, 0}) {
					return []byte{0x6F, 0}
				}
				return hello
			}},
		{"extended level takes short APDUs in one message",
			class(FeatureExtendedAPDU | FeatureAutoPPS), atrT1, T1,
			func(_, _ []byte) []byte { return hello }},
		{"TPDU level at T=0 adds P3", class(FeatureTPDU | FeatureAutoPPS), atrT0, T0,
			func(_, p []byte) []byte {
				if !bytes.Equal(p, []byte{0, 0, 0, 0, 0}) {
					return []byte{0x6F, 0}
				}
				return hello
			}},
		{"TPDU level at T=1 makes blocks", class(FeatureTPDU | FeatureAutoIFSD), atrT1, T1,
			func(_, p []byte) []byte {
				if !bytes.Equal(p, []byte{0, 0, 4, 0, 0, 0, 0, 4}) {
					return nil
				}
				b := append([]byte{0, 0, byte(len(hello))}, hello...)
				var x byte
				for _, c := range b {
					x ^= c
				}
				return append(b, x)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(c.class, ordinary(c.atr, c.xfr))
				s := open(t, f, Options{Unit: 3})
				ctx := context.Background()
				p, err := s.Connect(ctx, T0|T1, ColdReset)
				if err != nil || p != c.want {
					t.Fatalf("Connect: %v, %v", p, err)
				}
				var r [258]byte
				n, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:])
				if err != nil || !bytes.Equal(r[:n], hello) {
					t.Fatalf("Transmit: % X, %v", r[:n], err)
				}
				if s.Name() != "Maker Reader 3" || !bytes.Equal(s.ATR(), c.atr) {
					t.Fatalf("%q, % X", s.Name(), s.ATR())
				}
				_, err = s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:5])
				var short *ShortBufferError
				if c.name != "TPDU level at T=1 makes blocks" &&
					(!errors.As(err, &short) || short.Need != len(hello)) {
					t.Fatalf("short buffer: %v", err)
				}
			})
		})
	}
}
