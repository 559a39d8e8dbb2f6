package usb

import (
	"bytes"
	"errors"
	"testing"
)

func TestSetup(t *testing.T) {
	s := Setup{RequestType: DirIn | TypeClass | ToInterface, Request: 3, Value: 0x0102,
		Index: 0x0304, Length: 0x0506}
	b := s.Bytes()
	if !bytes.Equal(b[:], []byte{0xA1, 3, 2, 1, 4, 3, 6, 5}) || ParseSetup(b) != s || !s.In() ||
		(Setup{}).In() {
		t.Fatalf("% X", b)
	}
}

func TestParseDevice(t *testing.T) {
	b := []byte{18, 1, 0, 2, 0, 0, 0, 64, 0xE6, 0x08, 0x33, 0x44, 0x10, 0x01, 1, 2, 3, 1}
	d := &Device{Descriptor: b}
	if v, p, r := d.ID(); v != 0x08E6 || p != 0x4433 || r != 0x0110 {
		t.Fatalf("%04X:%04X %04X", v, p, r)
	}
	for n := range b {
		if _, err := ParseDevice(b[:n]); !errors.Is(err, ErrDescriptor) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	b[1] = 2
	if v, _, _ := d.ID(); v != 0 {
		t.Fatal("another type is no device descriptor")
	}
}

func TestSpeed(t *testing.T) {
	for s, want := range map[Speed]string{SpeedLow: "low speed", SpeedFull: "full speed",
		SpeedHigh: "high speed", SpeedSuper: "super speed", 9: "unknown speed"} {
		if s.String() != want {
			t.Errorf("%d: %s", s, s)
		}
	}
}

func TestInterfaces(t *testing.T) {
	config := []byte{
		9, 2, 0, 0, 2, 1, 0, 0x80, 50,
		8, 11, 0, 2, 0, 0, 0, 0, // interface association, before any interface
		9, 4, 0, 0, 1, 3, 1, 1, 4,
		9, 0x21, 1, 1, 0, 1, 0x22, 40, 0,
		7, 5, 0x81, 3, 8, 0, 10,
		6, 48, 0, 0, 8, 0, // endpoint companion
		9, 4, 0, 1, 0, 3, 1, 1, 4,
		9, 4, 1, 0, 1, 0x0B, 0, 0, 5,
		// endpoint descriptor of nine bytes (edk2 issue 9542); size 512 with transaction bits
		9, 5, 0x02, 2, 0x00, 0x0A, 0, 0, 0,
		5, 0x24, 1, 2, 3,
	}
	config[2] = byte(len(config))
	all, err := Interfaces(config)
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	if i := all[0]; i.Class != 3 || len(i.Endpoints) != 1 || !i.Endpoints[0].In() ||
		i.Endpoints[0].Type != InterruptTransfer || len(i.Other) != 1 {
		t.Errorf("%+v", i)
	}
	if i := all[1]; i.AltSetting != 1 || len(i.Endpoints) != 0 {
		t.Errorf("%+v", i)
	}
	if i := all[2]; i.NameIdx != 5 || len(i.Endpoints) != 1 ||
		i.Endpoints[0].MaxPacketSize != 512 || i.Endpoints[0].In() || len(i.Other) != 1 {
		t.Errorf("%+v", i)
	}
	if i, err := FindInterface(config, 1, 0); err != nil || i.Class != 0x0B {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := FindInterface(config, 2, 0); !errors.Is(err, ErrDescriptor) {
		t.Error(err)
	}
}

// mu_basecore issue 410, CVE-2020-25647 (GRUB): lengths within a configuration are not to be
// trusted.
func TestLengthsWithinAConfigurationThatLie(t *testing.T) {
	reader := []byte{9, 4, 0, 0, 1, 0x0B, 0, 0, 0, 7, 5, 0x81, 2, 64, 0, 0}
	for _, c := range []struct {
		name       string
		total      int // wTotalLength; 0 is the true one
		tail       []byte
		interfaces int
		endpoints  int
		err        error
	}{
		{"none does", 0, nil, 1, 1, nil},
		{"a descriptor of no bytes ends it", 0, []byte{0, 5, 0x02, 2, 64, 0, 0}, 1, 1,
			ErrDescriptor},
		{"a descriptor of one byte ends it", 0, []byte{1, 7, 5, 0x02, 2, 64, 0, 0}, 1, 1,
			ErrDescriptor},
		{"a descriptor that goes beyond the end", 0, []byte{200, 5, 0x02, 2, 64, 0, 0}, 1, 1,
			ErrDescriptor},
		{"an endpoint of six bytes", 0, []byte{6, 5, 0x02, 2, 64, 0}, 1, 1, nil},
		{"an interface of eight bytes", 0, []byte{8, 4, 1, 0, 0, 0x0B, 0, 0}, 1, 1, nil},
		{"a configuration that claims more than there is", 0xFFFF, nil, 1, 1, nil},
		{"a configuration that claims less", 9 + 9, nil, 1, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := append(append([]byte{9, 2, 0, 0, 1, 1, 0, 0x80, 50}, reader...), c.tail...)
			total := c.total
			if total == 0 {
				total = len(config)
			}
			config[2], config[3] = byte(total), byte(total>>8)
			all, err := Interfaces(config)
			endpoints := 0
			for _, i := range all {
				endpoints += len(i.Endpoints)
			}
			if len(all) != c.interfaces || endpoints != c.endpoints || !errors.Is(err, c.err) {
				t.Errorf("%d interfaces, %d endpoints, %v", len(all), endpoints, err)
			}
		})
	}
}

func TestMaxBurst(t *testing.T) {
	const bulk, interrupt = byte(BulkTransfer), byte(InterruptTransfer)
	for _, c := range []struct {
		name string
		tail []byte
		want uint8
	}{
		{"a bulk endpoint without a companion", []byte{7, 5, 0x81, bulk, 0, 2, 0}, 0},
		{"a companion behind its endpoint", []byte{7, 5, 0x81, bulk, 0, 4, 0, 6, 48, 9, 0, 0, 0},
			9},
		{"a companion behind other bytes of the endpoint's",
			[]byte{7, 5, 0x81, bulk, 0, 4, 0, 3, 0x24, 0, 6, 48, 9, 0, 0, 0}, 9},
		{"a companion that claims more than there is",
			[]byte{7, 5, 0x81, bulk, 0, 4, 0, 6, 48, 255, 0, 0, 0}, 15},
		{"a companion that is too short", []byte{7, 5, 0x81, bulk, 0, 4, 0, 5, 48, 9, 0, 0}, 0},
		{"a companion in front of the endpoint",
			[]byte{6, 48, 9, 0, 0, 0, 7, 5, 0x81, bulk, 0, 4, 0}, 0},
		{"a high-speed interrupt endpoint with three transactions",
			[]byte{7, 5, 0x81, interrupt, 0, 0x14, 1}, 2},
		{"the reserved number of transactions", []byte{7, 5, 0x81, interrupt, 0, 0x1C, 1}, 2},
		{"a bulk endpoint, which has no additional transactions",
			[]byte{7, 5, 0x81, bulk, 0, 0x12, 0}, 0},
	} {
		config := append([]byte{9, 2, 0, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 0x0B, 0, 0, 0},
			c.tail...)
		config[2] = byte(len(config))
		all, err := Interfaces(config)
		if err != nil || len(all) != 1 || len(all[0].Endpoints) != 1 {
			t.Fatalf("%s: %+v, %v", c.name, all, err)
		}
		if got := all[0].Endpoints[0].MaxBurst; got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
	}
}

func TestBytesPerInterval(t *testing.T) {
	const interrupt = byte(InterruptTransfer)
	for _, c := range []struct {
		name string
		tail []byte
		want uint16
	}{
		{"an endpoint without a companion", []byte{7, 5, 0x81, interrupt, 64, 0, 4}, 0},
		{"a companion", []byte{7, 5, 0x81, interrupt, 0, 4, 4, 6, 48, 2, 0, 0x34, 0x12}, 0x1234},
		{"as much as a word holds", []byte{7, 5, 0x81, interrupt, 0, 4, 4, 6, 48, 2, 0, 0xFF, 0xFF},
			0xFFFF},
		{"a companion that is too short", []byte{7, 5, 0x81, interrupt, 0, 4, 4, 5, 48, 2, 0, 0x34},
			0},
	} {
		config := append([]byte{9, 2, 0, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 0x0B, 0, 0, 0},
			c.tail...)
		config[2] = byte(len(config))
		all, err := Interfaces(config)
		if err != nil || len(all) != 1 || len(all[0].Endpoints) != 1 {
			t.Fatalf("%s: %+v, %v", c.name, all, err)
		}
		if got := all[0].Endpoints[0].BytesPerInterval; got != c.want {
			t.Errorf("%s: %#x, not %#x", c.name, got, c.want)
		}
	}
}

// FuzzInterfaces walks any bytes; what comes out lies within them.
func FuzzInterfaces(f *testing.F) {
	f.Add([]byte{9, 2, 27, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 3, 1, 1, 4, 9, 0x21, 1, 1, 0, 1,
		0x22, 40, 0})
	f.Add([]byte{9, 2, 255, 255, 1, 1, 0, 0x80, 50, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := Interfaces(b)
		total := 0
		for _, i := range all {
			total += InterfaceSize + len(i.Endpoints)*EndpointSize
			for _, o := range i.Other {
				total += len(o)
			}
		}
		if total > len(b) {
			t.Fatalf("%d of %d bytes", total, len(b))
		}
		_, _ = ParseDevice(b)
		if err != nil && !errors.Is(err, ErrDescriptor) {
			t.Fatal(err)
		}
	})
}
