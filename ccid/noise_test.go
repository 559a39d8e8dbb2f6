package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"testing/synctest"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// TestT1OnABadLine has blocks of the card damaged and lost, at random but the same each time. What
// Transmit returns without an error is always right; what cannot be repaired is a documented error,
// and the session goes on without a reset.
func TestT1OnABadLine(t *testing.T) {
	for _, percent := range []int{1, 5, 20} {
		for _, crc := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d in a hundred, CRC %v", percent, crc), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewSource(int64(percent)))
					struck, failed := 0, 0
					quiet := true
					bad := func(_, answer []byte) []byte {
						if quiet || random.Intn(100) >= percent || len(answer) == 0 {
							return answer
						}
						struck++
						damaged := append([]byte(nil), answer...)
						switch random.Intn(3) {
						case 0:
							return nil
						case 1:
							damaged[random.Intn(len(damaged))] ^= 1 << random.Intn(8)
						default:
							damaged = damaged[:random.Intn(len(damaged))]
						}
						return damaged
					}
					c := card.New(card.Options{
						ATR: card.ATRSpec{Protocols: []byte{1}, IFSC: 20, BWICWI: 0x45,
							CRC: crc}.Bytes(),
						Applets: card.Applets(), T1: card.T1Options{Respond: bad, Block: 30},
					})
					d := reader.NewDevice(reader.New(reader.TPDU))
					r, err := openSim(t, d, 0, c, ccid.Options{Timing: matrixTiming})
					if err != nil {
						t.Fatal(err)
					}
					s := r.Slots()[0]
					ctx := context.Background()
					if _, err := s.Connect(ctx, ccid.T1, ccid.ColdReset); err != nil {
						t.Fatal(err)
					}
					quiet = false
					out := make([]byte, 300)
					for i := range 300 {
						length := 1 + i%200
						command, want := []byte{0x80, 0x34, 0, byte(length), byte(length)},
							append(counted(length), 0x90, 0)
						if i%2 == 1 {
							command, want = append([]byte{0x80, 0x32, 0, 0, byte(length)},
								counted(length)...), []byte{0x90, 0}
						}
						n, err := s.Transmit(ctx, command, out)
						switch {
						case err != nil && !errors.Is(err, ccid.ErrProtocol) &&
							!errors.Is(err, ccid.ErrMute):
							t.Fatalf("exchange %d: %v", i, err)
						case err != nil:
							failed++
						case !bytes.Equal(out[:n], want):
							t.Fatalf("exchange %d: a wrong answer: % X", i, out[:n])
						}
					}
					quiet = true
					n, err := s.Transmit(ctx, []byte{0x80, 0x34, 0, 9, 9}, out)
					if err != nil || !bytes.Equal(out[:n], append(counted(9), 0x90, 0)) {
						t.Fatalf("after the noise: % X, %v", out[:n], err)
					}
					t.Logf("%d blocks damaged, %d of 300 exchanges failed", struck, failed)
					if struck == 0 || percent == 1 && failed > 3 {
						t.Errorf("%d blocks damaged, %d exchanges failed", struck, failed)
					}
				})
			})
		}
	}
}
