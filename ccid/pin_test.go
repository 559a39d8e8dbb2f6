package ccid

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verifyIn is a verification: timeouts 30 and 20, format 82, block 04, length 00, sizes 4 to 8,
// condition 2, one message.
const (
	verifyFields = "1E 14 82 04 00 08 04 02 01 09 04 00 000000"
	verifyAPDU   = "00 20 00 00 08 30 30 30 30 00 00 00 00"
	modifyFields = "1E 14 82 04 00 00 04 08 04 03 02 03 09 04 00 01 02 000000"
	modifyAPDU   = "00 24 00 00 08 30 30 30 30 30 30 30 30"
)

func pinStructure(t testing.TB, fields, apdu string, order binary.AppendByteOrder) []byte {
	a := unhex(t, apdu)
	return append(order.AppendUint32(unhex(t, fields), uint32(len(a))), a...)
}

// pinPad opens a reader with PIN pad as a device of these numbers.
func pinPad(t testing.TB, level Features, vendor, product uint16, atr []byte,
	secure func(m []byte) []byte) (*Slot, *fake) {
	c := class(level | FeatureAutoParameters | FeatureAutoIFSD)
	c.PINSupport, c.LcdLines, c.LcdCharacters = pinVerify|pinModify, 2, 16
	healthy := ordinary(atr, func(_, _ []byte) []byte { return []byte{0x90, 0} })
	f := newFake(c, func(f *fake, m []byte) [][]byte {
		if pipe.MessageType(m[0]) == pipe.Secure {
			return [][]byte{secure(m)}
		}
		return healthy(f, m)
	})
	f.dev.Descriptor = deviceBytes(vendor, product, 0x0200)
	s := connected(t, f, Options{AllowOldFirmware: true})
	return s, f
}

func TestSecurePIN(t *testing.T) {
	good := func(m []byte) []byte { return respond(m, pipe.DataBlock, 0, 0, 0, 0x90, 0) }
	for _, c := range []struct {
		name            string
		level           Features
		vendor, product uint16
		modify          bool
		edit            func(in []byte) []byte
		atr             []byte
		secure          func(m []byte) []byte
		sent            []string
		want            string
		err             error
	}{
		{name: "verification", level: FeatureShortAPDU,
			sent: []string{"Secure 001E82040008040201090400000000" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, want: "9000"},
		{name: "modification with three messages", level: FeatureShortAPDU, modify: true,
			sent: []string{"Secure 011E8204000004080403020309040001020 00000" +
				strings.ReplaceAll(modifyAPDU, " ", "")}, want: "9000"},
		{name: "modification with one message has two indices", level: FeatureShortAPDU,
			modify: true,
			edit:   func(in []byte) []byte { in[11] = 1; return in },
			sent: []string{"Secure 011E82040000040804030201090400 01 000000" +
				strings.ReplaceAll(modifyAPDU, " ", "")}, want: "9000"},
		{name: "modification without messages has one index", level: FeatureShortAPDU, modify: true,
			edit: func(in []byte) []byte { in[11] = 0; return in },
			sent: []string{"Secure 011E82040000040804030200090400 000000" +
				strings.ReplaceAll(modifyAPDU, " ", "")}, want: "9000"},
		{name: "a condition of zero is replaced", level: FeatureShortAPDU,
			edit: func(in []byte) []byte { in[7] = 0; return in },
			sent: []string{"Secure 001E82040008040201090400000000" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, want: "9000"},
		{name: "a condition that does not exist is replaced", level: FeatureShortAPDU,
			edit: func(in []byte) []byte { in[7] = 8; return in },
			sent: []string{"Secure 001E82040008040201090400000000" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, want: "9000"},
		{name: "T=1 block at TPDU level", level: FeatureTPDU, atr: atrT1,
			secure: func(m []byte) []byte { // the card's block has the number of the reader's
				return respond(m, pipe.DataBlock, 0, 0, 0,
					sealed1(0, m[pipe.HeaderSize+13], 2, 0x90, 0)...)
			},
			sent: []string{"Secure 001E8204000804020109040000000D" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, want: "9000"},
		{name: "the user cancels", level: FeatureShortAPDU,
			secure: func(m []byte) []byte {
				return respond(m, pipe.DataBlock, pipe.StatusFailed, pipe.CodePINCancelled, 0)
			},
			sent: []string{"Secure 001E82040008040201090400000000" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, want: "6401"},
		{name: "the user does nothing", level: FeatureShortAPDU,
			secure: func(m []byte) []byte {
				return respond(m, pipe.DataBlock, pipe.StatusFailed, pipe.CodePINTimeout, 0)
			},
			sent: []string{"Secure 001E82040008040201090400000000" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, want: "6400"},
		{name: "an empty answer", level: FeatureShortAPDU,
			secure: func(m []byte) []byte { return respond(m, pipe.DataBlock, 0, 0, 0) },
			sent: []string{"Secure 001E82040008040201090400000000" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, err: ErrProtocol},
		{name: "the structure is cut", level: FeatureShortAPDU,
			edit: func(in []byte) []byte { return in[:20] }, err: ErrInvalid},
		{name: "the data length lies", level: FeatureShortAPDU,
			edit: func(in []byte) []byte { in[15]++; return in }, err: ErrInvalid},
		{name: "four messages", level: FeatureShortAPDU, modify: true,
			edit: func(in []byte) []byte { in[11] = 4; return in }, err: ErrInvalid},

		{name: "Dell SK-3106: no messages, sizes swapped", level: FeatureShortAPDU, vendor: 0x413C,
			product: 0x2100,
			sent: []string{"Secure 001E82040004080200090400000000" +
				strings.ReplaceAll(verifyAPDU, " ", "")}, want: "9000"},
		{name: "SPR532: an escape before a verification without data", level: FeatureShortAPDU,
			vendor: 0x04E6, product: 0xE003,
			edit: func(in []byte) []byte { in[15] = 4; return in[:23] },
			sent: []string{"Escape 800200"}, err: ErrUnsupported},
		{name: "SPR532: modification without messages", level: FeatureShortAPDU, vendor: 0x04E6,
			product: 0xE003, modify: true,
			sent: []string{"Secure 011E82040000040804030200090400 000000" +
				strings.ReplaceAll(modifyAPDU, " ", "")}, want: "9000"},
		{name: "GemPC Pinpad: condition 2, three indices always", level: FeatureShortAPDU,
			vendor: 0x08E6, product: 0x3478, modify: true,
			edit: func(in []byte) []byte { in[11], in[10] = 1, 7; return in },
			sent: []string{"Escape 6A", "Secure 011E82040000040804030201090400 0102 000000" +
				strings.ReplaceAll(modifyAPDU, " ", "")}, want: "9000"},
		{name: "Cherry KC 1000 keeps FF for no messages", level: FeatureShortAPDU, vendor: 0x046A,
			product: 0x0010, modify: true,
			edit: func(in []byte) []byte { in[11] = 1; return in },
			sent: []string{"Secure 011E82040000040804030203090400 0102 000000" +
				strings.ReplaceAll(modifyAPDU, " ", "")}, want: "9000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if strings.Contains(c.name, "GemPC Pinpad") {
				}
				secure, atr := c.secure, c.atr
				if secure == nil {
					secure = good
				}
				if atr == nil {
					atr = atrT0
				}
				s, f := pinPad(t, c.level, c.vendor, c.product, atr, secure)
				for _, order := range []binary.AppendByteOrder{binary.LittleEndian,
					binary.BigEndian} {
					code, in := uint32(ControlVerifyPIN),
						pinStructure(t, verifyFields, verifyAPDU, order)
					if c.modify {
						code, in = ControlModifyPIN,
							pinStructure(t, modifyFields, modifyAPDU, order)
					}
					if c.edit != nil {
						if in = c.edit(in); order == binary.BigEndian {
							continue
						}
					}
					from := len(f.sent)
					out, err := s.Control(context.Background(), code, in)
					if !errors.Is(err, c.err) || c.err == nil &&
						(err != nil || !bytes.Equal(out, unhex(t, c.want))) {
						t.Errorf("% X, %v", out, err)
					}
					var want []string
					for _, line := range c.sent {
						kind, payload, _ := strings.Cut(line, " ")
						want = append(want, kind+" "+strings.ReplaceAll(payload, " ", ""))
					}
					if order == binary.BigEndian && len(want) > 0 &&
						strings.HasPrefix(want[0], "Escape 6A") {
						want = want[1:]
					}
					if c.level == FeatureTPDU && order == binary.BigEndian {
						continue // the block's number has moved on
					}
					expectSent(t, f, from, want...)
					if b := s.pipe.Payload(); bytes.Contains(b[:cap(b)], unhex(t, verifyAPDU)) {
						t.Error("the command is still in the buffer")
					}
				}
			})
		})
	}
}

func TestSecurePINNeedsACardAndAPad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := pinPad(t, FeatureShortAPDU, 0, 0, atrT0, nil)
		ctx := context.Background()
		if err := s.Disconnect(ctx, Unpower); err != nil {
			t.Fatal(err)
		}
		in := pinStructure(t, verifyFields, verifyAPDU, binary.LittleEndian)
		if _, err := s.Control(ctx, ControlVerifyPIN, in); !errors.Is(err, ErrNotPowered) {
			t.Error(err)
		}
		s, _ = pinPad(t, FeatureShortAPDU, 0x03F0, 0x1024, atrT0, nil) // leaks PINs
		if _, err := s.Control(ctx, ControlVerifyPIN, in); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		if _, err := s.Control(ctx, ControlModifyPIN, in); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		s, _ = pinPad(t, 0, 0, 0, atrT0, nil)
		if _, err := s.Control(ctx, ControlVerifyPIN, in); !errors.Is(err, ErrUnsupported) {
			t.Errorf("character level: %v", err)
		}
	})
}
