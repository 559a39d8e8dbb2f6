package ccid

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/bits"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/scard"
	"tamaccid/ccid/usb"
)

func TestFeatureList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, order := range []ByteOrder{LittleEndian, BigEndian} {
			c := class(FeatureShortAPDU | FeatureAutoParameters)
			c.PINSupport = pinVerify
			f := newFake(c, ordinary(atrT0, nil))
			s := open(t, f, Options{FeatureOrder: order, Escape: EscapeAlways})
			ctx := context.Background()
			from := len(f.sent)
			list, err := s.Control(ctx, scard.GetFeatureRequest, nil)
			if err != nil {
				t.Fatal(err)
			}
			tags := map[byte]uint32{}
			for b := list; len(b) >= 6; b = b[6:] {
				if b[1] != 4 {
					t.Fatalf("% X", list)
				}
				tags[b[0]] = binary.LittleEndian.Uint32(b[2:])
				if order == BigEndian {
					tags[b[0]] = binary.BigEndian.Uint32(b[2:])
				}
			}
			want := map[byte]uint32{0x06: 0x42330006, 0x0A: 0x4233000A, 0x12: 0x42330012,
				0x13: 0x42000001}
			if len(tags) != len(want) || len(list) != 6*len(want) {
				t.Fatalf("% X", list)
			}
			for tag, code := range want {
				if tags[tag] != code {
					t.Errorf("feature %02X has code %08X", tag, tags[tag])
				}
			}
			for _, code := range []uint32{bits.ReverseBytes32(scard.GetFeatureRequest), 0x00313520,
				bits.ReverseBytes32(0x00313520)} {
				if again, err := s.Control(ctx, code, nil); err != nil || !bytes.Equal(again,
					list) {
					t.Errorf("code %08X: % X, %v", code, again, err)
				}
			}
			expectSent(t, f, from)
		}
	})
}

func TestControlCodesThatDoNotExist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newFake(class(FeatureShortAPDU|FeatureAutoParameters), ordinary(atrT0, nil)),
			Options{})
		for _, code := range []uint32{0, 0xFFFFFFFF, 0x42000002, ControlVerifyPIN, ControlModifyPIN,
			ControlPINProperties, ControlMCTReaderDirect} {
			if _, err := s.Control(context.Background(), code, []byte{1}); !errors.Is(err,
				ErrUnsupported) {
				t.Errorf("%08X: %v", code, err)
			}
		}
	})
}

func TestEscapePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name            string
			policy          EscapePolicy
			vendor, product uint16
			in              []byte
			err             error
		}{
			{"off by default", EscapeListed, 0x1234, 1, []byte{1}, ErrDenied},
			{"never", EscapeNever, 0x076B, 0x5427, []byte{1}, ErrDenied},
			{"always", EscapeAlways, 0x1234, 1, []byte{1}, nil},
			{"a reader that may", EscapeListed, 0x076B, 0x5427, []byte{1}, nil},
			{"a command that may", EscapeListed, 0x08E6, 0x5503,
				[]byte{0x52, 0xF8, 0x04, 0x01, 0x00, 0x02}, nil},
			{"the firmware version of any Gemalto", EscapeListed, 0x08E6, 0x1111, []byte{0x02},
				nil},
			{"another command of that reader", EscapeListed, 0x08E6, 0x5503,
				[]byte{0x52, 0xF8, 0x04, 0x02}, ErrDenied},
			{"an empty command", EscapeAlways, 0x1234, 1, nil, ErrInvalid},
		} {
			healthy := ordinary(atrT0, nil)
			f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
				func(f *fake, m []byte) [][]byte {
					if pipe.MessageType(m[0]) == pipe.Escape {
						return [][]byte{respond(m, pipe.EscapeResponse, 0, 0, 0, 0xAB)}
					}
					return healthy(f, m)
				})
			f.dev.Descriptor = deviceBytes(c.vendor, c.product, 0x0100)
			s := open(t, f, Options{Escape: c.policy})
			out, err := s.Control(context.Background(), ControlEscape, c.in)
			if !errors.Is(err, c.err) || c.err == nil &&
				(err != nil || !bytes.Equal(out, []byte{0xAB})) {
				t.Errorf("%s: % X, %v", c.name, out, err)
			}
		}
	})
}

func TestProperties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make([]byte, 21)
		block[3], block[8], block[13], block[14] = 3, 0x0C, 4, 12
		c := class(FeatureTPDU | FeatureAutoParameters)
		c.PINSupport, c.LcdLines, c.LcdCharacters = 3, 2, 16
		healthy := ordinary(atrT0, nil)
		asked := 0
		f := newFake(c, func(f *fake, m []byte) [][]byte {
			if pipe.MessageType(m[0]) == pipe.Escape && m[pipe.HeaderSize] == 0x6A {
				asked++
				return [][]byte{respond(m, pipe.EscapeResponse, 0, 0, 0, block...)}
			}
			if pipe.MessageType(m[0]) == pipe.Escape && m[pipe.HeaderSize] == 0x02 {
				return [][]byte{respond(m, pipe.EscapeResponse, 0, 0, 0, []byte("V1")...)}
			}
			return healthy(f, m)
		})
		f.dev.Descriptor = deviceBytes(0x08E6, 0x34C0, 0x0100)
		s := open(t, f, Options{})
		ctx := context.Background()
		got, err := s.Control(ctx, ControlGetTLVProperties, nil)
		want := unhex(t,
			"01 02 1002 02 01 03 03 01 00 04 02 1000 05 02 0200 06 01 04 07 01 0C 08 02 5631 09 "+
				"01 02 0A 04 00000100 0B 02 E608 0C 02 C034")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("% X, %v\nwant % X", got, err, want)
		}
		got, err = s.Control(ctx, ControlPINProperties, nil)
		if err != nil || !bytes.Equal(got, unhex(t, "1002 03 00")) {
			t.Errorf("% X, %v", got, err)
		}
		if asked != 1 {
			t.Errorf("feature block read %d times", asked)
		}
	})
}

func TestAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := class(FeatureTPDU | FeatureAutoPPS | FeatureAutoIFSD)
		c.Mechanical = mechanicalEject
		f := newFake(c, ordinary(atrBoth, func(_, _ []byte) []byte { return []byte{0x90, 0} }))
		f.dev.Bus, f.dev.Address = 3, 7
		s := connected(t, f, Options{Unit: 4})
		ctx := context.Background()
		d := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
		for _, c := range []struct {
			tag  scard.Attrib
			want []byte
		}{
			{scard.AttrVendorName, []byte("Maker")}, {scard.AttrVendorIFDType, []byte("Reader")},
			{scard.AttrVendorIFDSerial, []byte("0001")},
			{scard.AttrVendorIFDVersion, d(0x01000000)}, {scard.AttrChannelID, d(0x00200307)},
			{scard.AttrAsyncProtocolTypes, d(3)},
			{scard.AttrDefaultClock, d(4000)}, {scard.AttrMaxClock, d(4000)},
			{scard.AttrDefaultDataRate, d(10752)}, {scard.AttrMaxDataRate, d(344086)},
			{scard.AttrMaxIFSD, d(254)}, {scard.AttrSyncProtocolTypes, d(0)},
			{scard.AttrPowerManagement, d(0)}, {scard.AttrCharacteristics, d(2)},
			{scard.AttrMaxInput, d(261)}, {scard.AttrDeviceUnit, d(4)},
			{scard.AttrFriendlyName, []byte("Maker Reader 4\x00")},
			{scard.AttrSystemName, []byte("Maker Reader 4\x00")},
			{scard.AttrFriendlyNameW,
				[]byte("M\x00a\x00k\x00e\x00r\x00 \x00R\x00e\x00a\x00d\x00e\x00r\x00 " +
					"\x004\x00\x00\x00")},
			{scard.AttrICCPresence, []byte{2}}, {scard.AttrICCInterfaceStatus, []byte{1}},
			{scard.AttrATRString, atrBoth}, {0x0303, atrBoth},
			{scard.AttrICCTypePerATR, []byte{1}}, {scard.AttrCurrentProtocol, d(2)},
			{scard.AttrCurrentClock, d(4000)}, {scard.AttrCurrentF, d(512)},
			{scard.AttrCurrentD, d(32)}, {scard.AttrCurrentN, d(0)},
			{scard.AttrCurrentIFSC, d(254)}, {scard.AttrCurrentIFSD, d(254)},
			{scard.AttrCurrentBWT, d(4)},
			{scard.AttrCurrentCWT, d(5)}, {scard.AttrCurrentEBCEncoding, d(0)},
			{scard.AttrCurrentW, nil}, {0, nil}, {0xFFFFFFFF, nil}, {0x0FAE, nil},
			{0x0008020C, nil},
		} {
			got, err := s.GetAttrib(ctx, c.tag)
			if c.want == nil {
				if !errors.Is(err, ErrUnsupported) {
					t.Errorf("%08X: % X, %v", c.tag, got, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("%08X: % X, %v; want % X", c.tag, got, err, c.want)
			}
		}
		if err := s.Disconnect(ctx, Unpower); err != nil {
			t.Fatal(err)
		}
		for _, tag := range []scard.Attrib{scard.AttrATRString, scard.AttrICCTypePerATR,
			scard.AttrCurrentProtocol} {
			if _, err := s.GetAttrib(ctx, tag); !errors.Is(err, ErrNotPowered) {
				t.Errorf("%08X without power: %v", tag, err)
			}
		}
	})
}

func TestQuirks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name                     string
			vendor, product, version uint16
			check                    func(r *Reader) bool
		}{
			{"nothing for a reader that needs nothing", 0x1234, 1, 0x100,
				func(r *Reader) bool { return r.Quirk().Note == "" }},
			{"any product of a vendor", 0x08E6, 0x9999, 0,
				func(r *Reader) bool { return r.quirk.Gemalto && r.Quirk().Note == "Gemalto" }},
			{"the product's name counts before the vendor's", 0x08E6, 0x4433, 0,
				func(r *Reader) bool {
					return r.quirk.ISOMode && r.Quirk().Note == "Gemalto GemPC433"
				}},
			{"a version below the range", 0x0529, 0x0620, 0x0011,
				func(r *Reader) bool { return !r.quirk.NoIFSD }},
			{"a version in the range", 0x0529, 0x0620, 0x0013,
				func(r *Reader) bool { return r.quirk.NoIFSD }},
			{"a version above the range", 0x0529, 0x0620, 0x0014,
				func(r *Reader) bool { return !r.quirk.NoIFSD }},
			{"a level is corrected", 0x2F7C, 0x6007, 0x100,
				func(r *Reader) bool { return r.level == LevelExtendedAPDU }},
			{"a level is corrected downwards", 0x0D46, 0x3010, 0x100,
				func(r *Reader) bool { return r.level == LevelShortAPDU && r.quirk.MCT }},
			{"PIN pad off", 0x0783, 0x0006, 0x100,
				func(r *Reader) bool { return r.class.PINSupport == 0 }},
			{"rates limited", 0x058F, 0x9540, 0x100,
				func(r *Reader) bool { return r.class.MaxDataRate == 200000 }},
			{"waits", 0x04E6, 0x5790, 0x100,
				func(r *Reader) bool { return r.timing.Answer >= 12e9 }},
			{"the declared message length of 263", 0x1234, 2, 0x100,
				func(r *Reader) bool { return r.maxPayload == 261 }},
		} {
			d := class(FeatureTPDU)
			d.PINSupport = 3
			if c.product == 2 {
				d.MaxMessageLength = 263
			}
			f := newFake(d, ordinary(atrT0, nil))
			f.dev.Descriptor = deviceBytes(c.vendor, c.product, c.version)
			r, err := Open(context.Background(), f, Options{Timing: quick})
			if err != nil || !c.check(r) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

func TestOldFirmwareIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := func(version uint16, allow bool) error {
			f := newFake(class(FeatureTPDU), ordinary(atrT0, nil))
			f.dev.Descriptor = deviceBytes(0x058F, 0x9520, version) // Alcor Micro AU9520
			_, err := Open(context.Background(), f, Options{AllowOldFirmware: allow, Timing: quick})
			return err
		}
		if err := open(0x0101, false); !errors.Is(err, ErrFirmware) {
			t.Errorf("below 1.02: %v", err)
		}
		if err := open(0x0102, false); err != nil {
			t.Errorf("1.02: %v", err)
		}
		if err := open(0x0101, true); err != nil {
			t.Errorf("below 1.02, allowed: %v", err)
		}
	})
}

func TestTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			answer  []byte
			err     error
			clocks  int
			allOpen bool
		}{
			{"as declared", []byte{0xA0, 0x0F, 0, 0, 0x40, 0x1F, 0, 0}, nil, 2, true},
			{"fewer than declared", []byte{0xA0, 0x0F, 0, 0}, nil, 1, true},
			{"half an entry", []byte{0xA0, 0x0F, 0, 0, 1}, nil, 1, true},
			{"nothing", nil, nil, 0, true},
			{"zeros", make([]byte, 8), nil, 0, true},
			{"a stall", nil, usb.ErrStall, 0, true},
			{"no answer", nil, usb.ErrTimeout, 0, true},
			{"gone", nil, usb.ErrGone, 0, false},
		} {
			d := class(FeatureTPDU)
			d.ClocksSupported = 2
			f := newFake(d, ordinary(atrT0, nil))
			f.control = func(_ *fake, s usb.Setup, data []byte) (int,
				error) {
				return copy(data, c.answer), c.err
			}
			r, err := Open(context.Background(), f, Options{Timing: quick})
			if (err == nil) != c.allOpen || err == nil && len(r.Clocks()) != c.clocks {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

func TestIDTokenPseudoAPDUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
			ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x6D, 0} }))
		f.dev.Descriptor = deviceBytes(0x0D46, 0x301D, 0x0203)
		s := connected(t, f, Options{})
		for number, want := range map[byte]string{1: "Maker\x90\x00", 3: "Reader\x90\x00",
			6: "2.03\x90\x00", 7: "tamaccid\x90\x00", 9: "\x6D\x00"} {
			var r [64]byte
			n, err := s.Transmit(context.Background(), []byte{0xFF, 0x9A, 0x01, number, 0}, r[:])
			if err != nil || string(r[:n]) != want {
				t.Errorf("%d: %q, %v", number, r[:n], err)
			}
		}
	})
}
