package ccid_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// The structures of a program that has a PIN checked and changed (PC/SC part 10, 2.5): ASCII
// digits, left justified, at the start of the command's data, blocks of eight bytes.
func verifyStructure() []byte {
	apdu := append([]byte{0, 0x20, 0, 0, 8}, make([]byte, 8)...)
	b := []byte{30, 0, 0x82, 0x08, 0x00, 8, 4, 2, 1, 9, 4, 0, 0, 0, 0}
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(apdu))), apdu...)
}

func modifyStructure() []byte {
	apdu := append([]byte{0, 0x24, 0, 0, 16}, make([]byte, 16)...)
	b := []byte{30, 0, 0x82, 0x08, 0x00, 0, 8, 8, 4, 3, 2, 3, 9, 4, 0, 1, 2, 0, 0, 0}
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(apdu))), apdu...)
}

// TestPINPad simulates entries at virtual readers of each level and protocol. The digits are not
// sent to the host.
func TestPINPad(t *testing.T) {
	typed := func(digits ...string) (list []reader.Entry) {
		for _, d := range digits {
			list = append(list, reader.Entry{Digits: d})
		}
		return list
	}
	for _, k := range []struct {
		name  string
		level reader.Level
		card  string
	}{
		{"TPDU T=0", reader.TPDU, "t0"}, {"TPDU T=1", reader.TPDU, "t1"},
		{"TPDU T=1 with CRC", reader.TPDU, "t1-crc"},
		{"TPDU T=1 with time requests", reader.TPDU, "t1-wtx"},
		{"short APDU", reader.ShortAPDU, "t0"}, {"extended APDU", reader.ExtendedAPDU, "t1"},
	} {
		for _, c := range []struct {
			name    string
			entries []reader.Entry
			modify  bool
			want    []byte
		}{
			{"the right PIN", typed("0000"), false, []byte{0x90, 0x00}},
			{"a wrong PIN", typed("1234"), false, []byte{0x63, 0xC2}},
			{"cancelled", []reader.Entry{{Cancel: true}}, false, []byte{0x64, 0x01}},
			{"no user", []reader.Entry{{Timeout: true}}, false, []byte{0x64, 0x00}},
			{"changed", typed("0000", "98765", "98765"), true, []byte{0x90, 0x00}},
		} {
			t.Run(fmt.Sprintf("%s, %s", k.name, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := reader.New(k.level)
					m.Functions[0].CCID.PINSupport = reader.PINVerify | reader.PINModify
					m.Functions[0].PINPad = &reader.PINPad{Entries: c.entries}
					chip, err := card.Named(k.card)
					if err != nil {
						t.Fatal(err)
					}
					r, err := openSim(t, reader.NewDevice(m), 0, chip, ccid.Options{})
					if err != nil {
						t.Fatal(err)
					}
					s := r.Slots()[0]
					ctx := context.Background()
					if _, err := s.Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset); err != nil {
						t.Fatal(err)
					}
					code, in := uint32(ccid.ControlVerifyPIN), verifyStructure()
					if c.modify {
						code, in = ccid.ControlModifyPIN, modifyStructure()
					}
					got, err := s.Control(ctx, code, in)
					if err != nil || !bytes.Equal(got, c.want) {
						t.Fatalf("% X, %v; want % X", got, err, c.want)
					}
					// The session goes on after every kind of entry.
					if err := exchangeAll(s, []int{0, 1, 200}, nil); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// TestPINEntryGivenUp cancels before an entry.
func TestPINEntryGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, level := range []reader.Level{reader.TPDU, reader.ShortAPDU} {
			m := reader.New(level)
			m.Functions[0].CCID.PINSupport = reader.PINVerify
			m.Functions[0].PINPad = &reader.PINPad{Entries: []reader.Entry{{Digits: "0000",
				After: time.Hour}}}
			r, err := openSim(t, reader.NewDevice(m), 0, card.T1(), ccid.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := r.Slots()[0]
			if _, err := s.Connect(context.Background(), ccid.T0|ccid.T1,
				ccid.ColdReset); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			if _, err := s.Control(ctx, ccid.ControlVerifyPIN, verifyStructure()); !errors.Is(err,
				context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if err := exchangeAll(s, []int{0, 1, 200}, nil); err != nil {
				t.Fatalf("level %d: %v", level, err)
			}
		}
	})
}
