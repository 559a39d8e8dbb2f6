package ccid

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/usb"
)

func join(parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	if len(b) >= 4 && b[1] == usb.TypeConfiguration {
		binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	}
	return b
}

func TestProbe(t *testing.T) {
	config := []byte{9, 2, 0, 0, 1, 1, 0, 0x80, 50}
	iface := func(number, class, protocol, endpoints byte) []byte {
		return []byte{9, 4, number, 0, endpoints, class, 0, protocol, 0}
	}
	ccid := func(message uint32) []byte {
		c := class(FeatureShortAPDU)
		c.MaxMessageLength = message
		return classBytes(c)
	}
	out, in, notes := []byte{7, 5, 1, 2, 64, 0, 0}, []byte{7, 5, 0x82, 2, 64, 0, 0},
		[]byte{7, 5, 0x83, 3, 8, 0, 16}
	vendor := func() []byte { b := ccid(271); b[1] = 0xFF; return b }()
	other := []byte{9, 0x21, 1, 1, 0, 1, 0x22, 40, 0}
	for _, c := range []struct {
		name    string
		config  []byte
		number  byte
		message uint32 // 0: refused
		kind    Kind
		notes   bool
	}{
		{"after the interface", join(config, iface(0, 0x0B, 0, 3), ccid(271), out, in, notes), 0,
			271, KindBulk, true},
		{"after the last endpoint", join(config, iface(0, 0x0B, 0, 3), out, in, notes, ccid(271)),
			0, 271, KindBulk, true},
		{"after the first endpoint", join(config, iface(0, 0x0B, 0, 2), out, ccid(271), in), 0, 271,
			KindBulk, false},
		{"behind another functional descriptor",
			join(config, iface(0, 0x0B, 0, 2), other, ccid(271), out, in), 0, 271, KindBulk, false},
		{"longer than 54 bytes", join(config, iface(0, 0x0B, 0, 2),
			append([]byte{58}, append(ccid(271)[1:], 1, 2, 3, 4)...), out, in), 0, 271, KindBulk,
			false},
		{"vendor class with type 21", join(config, iface(0, 0xFF, 0, 2), ccid(271), out, in), 0,
			271, KindBulk, false},
		{"vendor class with type FF", join(config, iface(0, 0xFF, 0, 2), vendor, out, in), 0, 271,
			KindBulk, false},
		{"vendor class without", join(config, iface(0, 0xFF, 0, 2), out, in), 0, 0, 0, false},
		{"vendor class with another descriptor", join(config, iface(0, 0xFF, 0, 2), other, out, in),
			0, 0, 0, false},
		{"another class", join(config, iface(0, 3, 0, 2), ccid(271), out, in), 0, 0, 0, false},
		{"the second reader of a composite device",
			join(config, iface(0, 0x0B, 0, 2), ccid(271), out, in,
				iface(1, 3, 0, 1), other, notes, iface(2, 0x0B, 0, 2), ccid(500),
				[]byte{7, 5, 4, 2, 64, 0, 0}, []byte{7, 5, 0x85, 2, 64, 0, 0}), 2, 500, KindBulk,
			false},
		{"a longer endpoint descriptor", join(config, iface(0, 0x0B, 0, 2), ccid(271),
			append(append([]byte{9}, out[1:]...), 0, 0), in), 0, 271, KindBulk, false},
		{"ICCD version A", join(config, iface(0, 0x0B, 1, 0), ccid(271)), 0, 271, KindICCDA, false},
		{"ICCD version B with an interrupt endpoint",
			join(config, iface(0, 0x0B, 2, 1), ccid(271), notes), 0, 271, KindICCDB, true},
		{"a CCID that calls itself ICCD", join(config, iface(0, 0x0B, 1, 3), ccid(271), out, in,
			notes), 0, 271, KindBulk, true},
		{"no endpoints and no ICCD", join(config, iface(0, 0x0B, 0, 0), ccid(271)), 0, 0, 0, false},
		{"bulk in one direction only", join(config, iface(0, 0x0B, 0, 2), ccid(271), out, out), 0,
			0, 0, false},
		{"packets of no bytes", join(config, iface(0, 0x0B, 0, 2), ccid(271), out,
			[]byte{7, 5, 0x82, 2, 0, 0, 0}), 0, 0, 0, false},
		{"no class descriptor", join(config, iface(0, 0x0B, 0, 2), out, in), 0, 0, 0, false},
		{"a class descriptor cut short", join(config, iface(0, 0x0B, 0, 2), ccid(271)[:40], out,
			in), 0, 0, 0, false},
		{"another interface number", join(config, iface(0, 0x0B, 0, 2), ccid(271), out, in), 1, 0,
			0, false},
		{"a length byte of zero", join(config, iface(0, 0x0B, 0, 2), []byte{0, 0, 0}, ccid(271),
			out, in), 0, 0, 0, false},
		{"a length byte of one", join(config, iface(0, 0x0B, 0, 2), []byte{1, 0}, ccid(271), out,
			in), 0, 0, 0, false},
		{"a length byte past the end", join(config, iface(0, 0x0B, 0, 2), ccid(271), out, in,
			[]byte{200, 5}), 0, 271, KindBulk, false},
		{"no configuration", nil, 0, 0, 0, false},
		{"wTotalLength longer than the data", func() []byte {
			b := join(config, iface(0, 0x0B, 0, 2), ccid(271), out, in)
			b[2], b[3] = 0xFF, 0xFF
			return b
		}(), 0, 271, KindBulk, false},
		{"wTotalLength shorter than the data", func() []byte {
			b := join(config, iface(0, 0x0B, 0, 2), ccid(271), out, in)
			b[2], b[3] = 20, 0
			return b
		}(), 0, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, err := Probe(c.config, c.number, 0)
			if c.message == 0 {
				if !errors.Is(err, ErrDescriptor) {
					t.Fatalf("%+v, %v", i, err)
				}
				return
			}
			if err != nil || i.Class.MaxMessageLength != c.message || i.Kind != c.kind ||
				(i.Interrupt.Address != 0) != c.notes {
				t.Fatalf("%+v, %v", i, err)
			}
		})
	}
}

func TestHostileClassDescriptors(t *testing.T) {
	all := bytes.Repeat([]byte{0xFF}, classDescriptorSize)
	all[0], all[1] = classDescriptorSize, typeFunctional
	answer := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
	for _, c := range []struct {
		name  string
		edit  func(b []byte)
		opens bool
	}{
		// libccid 4385c30: the top bit of a number, shifted.
		{"every bit set", func(b []byte) { copy(b, all) }, true},
		{"256 slots", func(b []byte) { b[4] = 0xFF }, true},
		{"no busy slots", func(b []byte) { b[53] = 0 }, true},
		{"255 busy slots of one", func(b []byte) { b[53] = 0xFF }, true},
		{"messages of no bytes", func(b []byte) { copy(b[44:], []byte{0, 0, 0, 0}) }, false},
		{"messages of a header", func(b []byte) { copy(b[44:], []byte{10, 0, 0, 0}) }, false},
		{"messages of 4 GB", func(b []byte) { copy(b[44:], []byte{0xFF, 0xFF, 0xFF, 0xFF}) }, true},
		{"no clock", func(b []byte) { copy(b[10:], []byte{0, 0, 0, 0}) }, true},
		{"the fastest clock", func(b []byte) { copy(b[10:], []byte{0xFF, 0xFF, 0xFF, 0xFF}) },
			true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), answer)
				b := classBytes(class(FeatureShortAPDU | FeatureAutoParameters))
				c.edit(b)
				f.dev.Config = configBytes(0x0B, 0, b, bulkEndpoints(64)...)
				r, err := Open(context.Background(), f, Options{Timing: quick})
				if !c.opens {
					if !errors.Is(err, ErrDescriptor) {
						t.Fatal(err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				if _, err := r.Slots()[len(r.Slots())-1].State(ctx); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ name, maker, product, override, want string }{
		{"both strings", "Maker", "Reader", "", "Maker Reader 2"},
		{"control characters and spaces", " Ma\x00ker\n", "\tRea  der ", "", "Ma ker Rea der 2"},
		{"characters that steer a terminal", "Ma\u009bker\ufeff", "R\u202eeader\u2028", "",
			"Ma ker R eader 2"},
		{"nothing but such characters", "\u009b\u202e", "\ufeff\ue000", "", "1234:5678 2"},
		{"another name of such characters", "Maker", "Reader", "\u202e", "Maker Reader 2"},
		{"broken UTF-8", "M\xff\xfeker", "R", "", "M ker R 2"},
		{"no strings", "", "", "", "1234:5678 2"},
		{"another name", "Maker", "Reader", "Mine", "Mine 2"},
		{"longer than any", string(bytes.Repeat([]byte{'x'}, 500)), "", "",
			string(bytes.Repeat([]byte{'x'}, maxName)) + " 2"},
	} {
		dev := &usb.Device{Descriptor: deviceBytes(0x1234, 0x5678, 1), Manufacturer: c.maker,
			Product: c.product}
		if got := readerName(dev, c.override, 2); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
