package uefi

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDevicePathText(t *testing.T) {
	const end = "7fff0400"
	for _, c := range []struct{ name, path, text string }{
		{"a reader behind a hub",
			"02010c00 d041030a 00000000 0101 0600 0004 0305 0600 0100 0305 0600 0300" + end,
			"PciRoot(0x0)/Pci(0x4,0x0)/USB(0x1,0x0)/USB(0x3,0x0)"},
		{"PCI Express root", "02010c00 d041080a 01000000" + end, "PcieRoot(0x1)"},
		{"a floppy disk", "02010c00 d0410406 00000000" + end, "Floppy(0x0)"},
		{"another PNP device", "02010c00 d0410105 02000000" + end, "Acpi(PNP0501,0x2)"},
		{"an ACPI device of another vendor", "02010c00 12345678 02000000" + end,
			"Acpi(0x78563412,0x2)"},
		{"a file", "0404 1000 5c0061002e00650066000000" + end, `\a.ef`},
		{"a file name without NUL", "0404 0600 6100" + end, "a"},
		{"a partition",
			"0401 2a00 01000000 0008000000000000 0010000000000000 df1a4d2adc21814ba42f8b8ee2380060 0202" + end,
			"HD(1,GPT,2a4d1adf-21dc-4b81-a42f-8b8ee2380060,0x800,0x1000)"},
		{"an MBR partition",
			"0401 2a00 02000000 0008000000000000 0010000000000000 78563412000000000000000000000000 0101" + end,
			"HD(2,MBR,0x12345678,0x800,0x1000)"},
		{"a vendor's message node", "030a 1600 df1a4d2adc21814ba42f8b8ee2380060 abcd" + end,
			"VenMsg(2a4d1adf-21dc-4b81-a42f-8b8ee2380060,ABCD)"},
		{"a vendor's hardware node", "0104 1400 df1a4d2adc21814ba42f8b8ee2380060" + end,
			"VenHw(2a4d1adf-21dc-4b81-a42f-8b8ee2380060)"},
		{"a firmware volume",
			"0407 1400 df1a4d2adc21814ba42f8b8ee2380060 0406 1400 df1a4d2adc21814ba42f8b8ee2380060" + end,
			"Fv(2a4d1adf-21dc-4b81-a42f-8b8ee2380060)/" +
				"FvFile(2a4d1adf-21dc-4b81-a42f-8b8ee2380060)"},
		{"memory", "0103 1800 0b000000 0010000000000000 ff1f000000000000" + end,
			"MemoryMapped(0xB,0x1000,0x1FFF)"},
		{"SATA, ATAPI, SCSI, unit",
			"0312 0a00 0100 ffff 0000 0301 0800 01000200 0302 0800 0100 0200 0311 0500 03" + end,
			"Sata(0x1,0xFFFF,0x0)/Ata(0x1,0x0,0x2)/Scsi(0x1,0x2)/Unit(0x3)"},
		{"NVMe", "0317 1000 01000000 0102030405060708" + end, "NVMe(0x1,08-07-06-05-04-03-02-01)"},
		{"a class of USB devices", "030f 0b00 ffff ffff 0b 00 00" + end,
			"UsbClass(0xFFFF,0xFFFF,0xB,0x0,0x0)"},
		{"two instances", "0101 0600 0001 7f01 0400 0101 0600 0002" + end,
			"Pci(0x1,0x0),Pci(0x2,0x0)"},
		{"an unknown node", "0363 0600 beef" + end, "Path(3,99,BEEF)"},
		{"a known node that is too short", "0101 0500 00" + end, "Path(1,1,00)"},
		{"no end", "0101 0600 0001", "Pci(0x1,0x0)?"},
		{"a node of no length", "0101 0600 0001 0101 0000" + end, "Pci(0x1,0x0)?"},
		{"a node beyond the path", "0101 ff00 0001" + end, "?"},
		{"nothing but an end", end, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := DevicePath(unhex(t, c.path)).String(); got != c.text {
				t.Errorf("got  %s\nwant %s", got, c.text)
			}
		})
	}
}

func TestDevicePathSize(t *testing.T) {
	for _, c := range []struct {
		name, path string
		size       int
	}{
		{"an end", "7fff0400", 4},
		{"bytes behind the end", "01010600 0001 7fff0400 dead", 10},
		{"an instance's end is not the end", "7f010400 7fff0400", 8},
		{"no end", "01010600 0001", 0},
		{"a node shorter than its head", "01010300 7fff0400", 0},
		{"a head cut off", "0101", 0},
		{"nothing", "", 0},
	} {
		p := DevicePath(unhex(t, c.path))
		if p.Size() != c.size || p.Complete() != (c.size > 0) {
			t.Errorf("%s: size %d, want %d", c.name, p.Size(), c.size)
		}
	}
}

func TestDevicePathAppend(t *testing.T) {
	p, err := NewDevicePath(Node{ACPINode, acpiDevice, unhex(t, "d041030a 00000000")},
		Node{HardwareNode, hardwarePCI, []byte{0, 4}})
	if err != nil || p.String() != "PciRoot(0x0)/Pci(0x4,0x0)" {
		t.Fatalf("%v, %v", p, err)
	}
	before := bytes.Clone(p)
	q, err := p.Append(Node{MessagingNode, messagingUSB, []byte{1, 0}})
	if err != nil || q.String() != p.String()+"/USB(0x1,0x0)" || !q.Complete() ||
		len(q) != len(p)+6 || !bytes.Equal(p, before) {
		t.Errorf("%v, %v", q, err)
	}
	if _, err := (DevicePath{1, 1, 6, 0, 0, 0}).Append(Node{}); err != ErrDevicePath {
		t.Errorf("appending to a path without an end: %v", err)
	}
	if _, err := p.Append(Node{Data: make([]byte, 0x10000)}); err != ErrDevicePath {
		t.Errorf("appending a node beyond 64 KiB: %v", err)
	}
	longer := append(p[:len(p):len(p)], 0xde, 0xad)
	if trailing, err := longer.Append(Node{MessagingNode, messagingUSB,
		[]byte{1, 0}}); err != nil || !bytes.Equal(trailing, q) {
		t.Errorf("appending to a path with bytes behind its end: % x, %v", trailing, err)
	}
}

func TestDevicePathAt(t *testing.T) {
	at := func(b []byte) DevicePath { return DevicePathAt(address(&b[0])) }
	path := unhex(t, "01010600 0004 7fff0400")
	if got := at(append(bytes.Clone(path), 1, 2, 3)); !bytes.Equal(got, path) {
		t.Errorf("% x", got)
	}
	if DevicePathAt(0) != nil {
		t.Error("a path at address 0")
	}
	if got := at([]byte{1, 1, 3, 0}); got != nil {
		t.Errorf("a node shorter than its head: % x", got)
	}
	endless := bytes.Repeat([]byte{1, 1, 4, 0}, maxNodes+10)
	if got := at(endless); got != nil {
		t.Error("a path without an end is read beyond all bounds")
	}
	if got := at(bytes.Repeat([]byte{1, 1, 0xff, 0xff}, 0x10000)); got != nil {
		t.Error("a path of more than 64 KiB is read")
	}
}

func FuzzDevicePath(f *testing.F) {
	f.Add(unhex(f, "02010c00 d041030a 00000000 0101 0600 0004 0305 0600 0100 7fff0400"))
	f.Add(unhex(f,
		"0401 2a00 01000000 0008000000000000 0010000000000000 df1a4d2adc21814ba42f8b8ee2380060 0202 7fff0400"))
	f.Add(unhex(f, "7f010400 030a0400 7fff0500 00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := DevicePath(b)
		text, size := p.String(), p.Size()
		nodes, err := p.Nodes()
		if (err == nil) != (size > 0) || size > len(b) {
			t.Fatalf("size %d, nodes %v", size, err)
		}
		if size == 0 {
			return
		}
		if q, err := NewDevicePath(nodes...); err != nil || q.String() != text {
			t.Fatalf("%q becomes %q, %v", text, q.String(), err)
		}
		if q, err := p.Append(Node{MessagingNode, messagingUSB, []byte{1, 0}}); err != nil {
			if size < 0xff00 {
				t.Fatal(err)
			}
		} else if again, err := q.Nodes(); err != nil || len(again) != len(nodes)+1 {
			t.Fatalf("%d nodes became %d, %v", len(nodes), len(again), err)
		}
		kept = kept[:0]
		if at := DevicePathAt(address(&b[0])); at != nil && !bytes.Equal(at, p[:size]) {
			t.Fatalf("% x is read as % x", p[:size], at)
		}
	})
}

func TestContains(t *testing.T) {
	path := func(nodes ...byte) DevicePath {
		var all []Node
		for _, n := range nodes {
			all = append(all, Node{Type: MessagingNode, SubType: messagingUSB, Data: []byte{n, 0}})
		}
		p, err := NewDevicePath(all...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		name     string
		p, other DevicePath
		want     bool
	}{
		{"the path itself", path(1, 2), path(1, 2), true},
		{"a path behind it", path(1, 2), path(1, 2, 3), true},
		{"a path before it", path(1, 2), path(1), false},
		{"a neighbour", path(1, 2), path(1, 3), false},
		{"a path without nodes", path(), path(1), false},
		{"no path", nil, path(1), false},
		{"nothing in a path", path(1), nil, false},
		{"a path with a broken end", path(1), path(1, 2)[:10], false},
		{"in a path with a broken end", path(1)[:4], path(1, 2), false},
	} {
		if got := c.p.Contains(c.other); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestFilePath(t *testing.T) {
	p, err := NewDevicePath(FilePath(`\EFI\x.efi`))
	if err != nil || p.String() != `\EFI\x.efi` {
		t.Errorf("%v, %v", p, err)
	}
	if n := FilePath("a"); n.Type != MediaNode || n.SubType != 4 ||
		string(n.Data) != "a\x00\x00\x00" {
		t.Errorf("%+v", n)
	}
}
