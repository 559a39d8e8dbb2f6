package ccid_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// openSim opens function n of a device with a card in its first slot.
func openSim(tb testing.TB, d *reader.Device, n int, c card.Card, o ccid.Options) (*ccid.Reader,
	error) {
	tb.Helper()
	if c != nil {
		d.Reader(n).Insert(0, c)
	}
	t, err := d.Open(d.Reader(n).Interface())
	if err != nil {
		return nil, err
	}
	r, err := ccid.Open(context.Background(), t, o)
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r, nil
}

func counted(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// exchangeAll runs all four APDU cases at the given lengths, and extended ones where asked for.
func exchangeAll(s *ccid.Slot, lengths []int, extended []int) error {
	_, err := exchangeSome(s, lengths, extended, func(error) bool { return false })
	return err
}

// exchangeSome is exchangeAll, except that exchanges whose error skip accepts are counted and left
// out.
func exchangeSome(s *ccid.Slot, lengths []int, extended []int,
	skip func(error) bool) (skipped []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := make([]byte, 65538)
	do := func(what string, command, want []byte) error {
		n, err := s.Transmit(ctx, command, r)
		if err != nil && skip(err) {
			skipped = append(skipped, what)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if !bytes.Equal(r[:n], want) {
			return fmt.Errorf("%s: %d bytes, want %d: %.40X", what, n, len(want), r[:n])
		}
		return nil
	}
	ok := []byte{0x90, 0}
	if err := do("select", append([]byte{0, 0xA4, 4, 0, byte(len(card.ExchangeAID))},
		card.ExchangeAID...), ok); err != nil {
		return skipped, err
	}
	if err := do("case 1", []byte{0x80, 0x30, 0, 0}, ok); err != nil {
		return skipped, err
	}
	for _, l := range lengths {
		answer := append(counted(l), ok...)
		if l > 0 {
			if err := do(fmt.Sprintf("case 2, %d", l),
				[]byte{0x80, 0x34, byte(l >> 8), byte(l), byte(l)}, answer); err != nil {
				return skipped, err
			}
		}
		if l == 0 || l > 255 {
			continue
		}
		if err := do(fmt.Sprintf("case 3, %d", l),
			append([]byte{0x80, 0x32, 0, 0, byte(l)}, counted(l)...), ok); err != nil {
			return skipped, err
		}
		back := 256 - l
		command := append([]byte{0x80, 0x36, byte(back >> 8), byte(back), byte(l)}, counted(l)...)
		if err := do(fmt.Sprintf("case 4, %d", l), append(command, byte(back)),
			append(counted(back), ok...)); err != nil {
			return skipped, err
		}
	}
	for _, l := range extended {
		answer := append(bytes.Repeat([]byte{0x42}, l), ok...)
		if err := do(fmt.Sprintf("case 2 extended, %d", l),
			[]byte{0x80, 0, 4, 0x42, 0, byte(l >> 8), byte(l)}, answer); err != nil {
			return skipped, err
		}
		command := binary.BigEndian.AppendUint16([]byte{0x80, 0x12, 1, 0x80, 0}, uint16(l))
		if err := do(fmt.Sprintf("case 3 extended, %d", l), append(command, counted(l)...),
			ok); err != nil {
			return skipped, err
		}
	}
	return skipped, nil
}

func all(n int) []int {
	list := make([]int, n+1)
	for i := range list {
		list[i] = i
	}
	return list
}

func TestEveryLevelWithEveryCard(t *testing.T) {
	levels := []reader.Level{reader.Character, reader.TPDU, reader.ShortAPDU, reader.ExtendedAPDU}
	for _, level := range levels {
		for _, name := range card.Names() {
			if name == "mute" {
				continue
			}
			t.Run(fmt.Sprintf("level %d, card %s", level, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, err := card.Named(name)
					if err != nil {
						t.Fatal(err)
					}
					r, err := openSim(t, reader.NewDevice(reader.New(level)), 0, c, ccid.Options{})
					if err != nil {
						t.Fatal(err)
					}
					s := r.Slots()[0]
					p, err := s.Connect(context.Background(), ccid.T0|ccid.T1, ccid.ColdReset)
					if err != nil {
						t.Fatal(err)
					}
					if err := exchangeAll(s, all(256),
						extendedLengths(level, p, name)); err != nil {
						t.Fatalf("%v: %v", p, err)
					}
				})
			})
		}
	}
}

// A reader that sends no zero-length packet after a message which fills its last packet causes no
// timeout.
func TestEveryLevelWithoutZeroLengthPackets(t *testing.T) {
	for _, level := range []reader.Level{reader.Character, reader.TPDU, reader.ShortAPDU,
		reader.ExtendedAPDU} {
		for _, name := range []string{"t0", "t1"} {
			t.Run(fmt.Sprintf("level %d, card %s", level, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, err := card.Named(name)
					if err != nil {
						t.Fatal(err)
					}
					m := reader.New(level)
					m.ZLP = reader.OmitZLP
					r, err := openSim(t, reader.NewDevice(m), 0, c, ccid.Options{})
					if err != nil {
						t.Fatal(err)
					}
					s := r.Slots()[0]
					p, err := s.Connect(context.Background(), ccid.T0|ccid.T1, ccid.ColdReset)
					if err != nil {
						t.Fatal(err)
					}
					started := time.Now()
					if err := exchangeAll(s, all(256),
						extendedLengths(level, p, name)); err != nil {
						t.Fatalf("%v: %v", p, err)
					}
					if d := time.Since(started); d > 0 {
						t.Errorf("waited for %v", d)
					}
				})
			})
		}
	}
}

// extendedLengths are lengths of extended cases for reader and card. With T=0 the card does not get
// an Le above 256, and a virtual reader bounds the number of blocks of a card.
func extendedLengths(level reader.Level, p ccid.Protocol, name string) []int {
	switch {
	case name == "t1-small" && level == reader.ExtendedAPDU:
		return []int{1, 255, 256, 257, 4096}
	case level == reader.ShortAPDU:
		return nil
	case p == ccid.T0:
		return []int{1, 255, 256}
	}
	return []int{1, 255, 256, 257, 4096, 65535}
}
