package xhci

import (
	"testing"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/ccid/usb"
)

// words reads a context of 32 bytes.
func words(b []byte) (w [8]uint32) {
	for i := range w {
		w[i] = get32(b, 4*i)
	}
	return w
}

func TestSlotContext(t *testing.T) {
	for _, k := range []struct {
		name    string
		d       device
		entries int
		want    [8]uint32
	}{
		{name: "a full-speed device on root port 5",
			d:       device{at: usbhost.Location{RootPort: 5, Speed: usb.SpeedFull}, speedID: 1},
			entries: 1,
			want:    [8]uint32{0x08100000, 0x00050000}},
		{name: "a high-speed hub of 4 ports with think time 3 and translators for each port",
			d: device{at: usbhost.Location{RootPort: 2, Route: 0x31, Tier: 2, Speed: usb.SpeedHigh},
				speedID: 3,
				isHub:   true, hub: usbhost.HubInfo{Ports: 4, MultiTT: true, ThinkTime: 3}},
			entries: 3, want: [8]uint32{0x1E300031, 0x04020000, 0x00030000}},
		{name: "a low-speed device on port 7 of the hub in slot 9, with one translator",
			d: device{at: usbhost.Location{RootPort: 1, Route: 7, Tier: 1, Speed: usb.SpeedLow,
				TTPort: 7}, speedID: 2,
				ttSlot: 9}, entries: 31, want: [8]uint32{0xF8200007, 0x00010000, 0x00000709}},
		{name: "the same with a translator for each port",
			d: device{at: usbhost.Location{RootPort: 1, Route: 7, Tier: 1, Speed: usb.SpeedLow,
				TTPort: 7, MultiTT: true}, speedID: 2,
				ttSlot: 9}, entries: 31, want: [8]uint32{0xFA200007, 0x00010000, 0x00000709}},
		{name: "a SuperSpeed hub has no translator",
			d: device{at: usbhost.Location{RootPort: 255, Speed: usb.SpeedSuper}, speedID: 4,
				isHub: true,
				hub:   usbhost.HubInfo{Ports: 15, MultiTT: true, ThinkTime: 1}}, entries: 3,
			want: [8]uint32{0x1C400000, 0x0FFF0000}},
	} {
		t.Run(k.name, func(t *testing.T) {
			b := make([]byte, 32)
			k.d.fillSlot(b, k.entries)
			if w := words(b); w != k.want {
				t.Errorf("%08X, want %08X", w, k.want)
			}
		})
	}
}

func TestEndpointContext(t *testing.T) {
	r := &ring{buf: hcd.Buffer{Bus: 0x1_2345_6000}, next: 3, cycle: 1}
	bulk, interrupt := usb.BulkTransfer, usb.InterruptTransfer
	super := func(bytes uint16) usb.Endpoint {
		return usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 1024, Interval: 4,
			MaxBurst: 2, BytesPerInterval: bytes}
	}
	for _, k := range []struct {
		name  string
		d     usb.Endpoint
		speed usb.Speed
		want  [5]uint32
	}{
		{name: "bulk IN at full speed",
			d: usb.Endpoint{Address: 0x82, Type: bulk, MaxPacketSize: 64}, speed: usb.SpeedFull,
			want: [5]uint32{0, 64<<16 | 6<<3 | 3<<1, 0x23456031, 1, 3072}},
		{name: "bulk OUT at high speed with a NAK rate",
			d:     usb.Endpoint{Address: 3, Type: bulk, MaxPacketSize: 512, Interval: 4},
			speed: usb.SpeedHigh,
			want:  [5]uint32{2 << 16, 512<<16 | 2<<3 | 3<<1, 0x23456031, 1, 3072}},
		{name: "interrupt IN at full speed every 10 ms",
			d:     usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 8, Interval: 10},
			speed: usb.SpeedFull,
			want:  [5]uint32{6 << 16, 8<<16 | 7<<3 | 3<<1, 0x23456031, 1, 8<<16 | 8}},
		{name: "interrupt IN at high speed with two more transactions",
			d: usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 1024, Interval: 4,
				MaxBurst: 2}, speed: usb.SpeedHigh,
			want: [5]uint32{
				3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1,
				3072<<16 | 1024}},
		{name: "bulk IN at SuperSpeed with bursts",
			d:     usb.Endpoint{Address: 0x81, Type: bulk, MaxPacketSize: 1024, MaxBurst: 15},
			speed: usb.SpeedSuper,
			want:  [5]uint32{0, 1024<<16 | 15<<8 | 6<<3 | 3<<1, 0x23456031, 1, 3072}},
		{name: "interrupt IN at SuperSpeed with wBytesPerInterval", d: super(100),
			speed: usb.SpeedSuper,
			want:  [5]uint32{3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1, 100<<16 | 100}},
		{name: "interrupt IN at SuperSpeed with the largest wBytesPerInterval", d: super(3072),
			speed: usb.SpeedSuper,
			want: [5]uint32{
				3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1,
				3072<<16 | 1024}},
		{name: "interrupt IN at SuperSpeed with too large a wBytesPerInterval", d: super(3073),
			speed: usb.SpeedSuper,
			want: [5]uint32{
				3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1,
				3072<<16 | 1024}},
		{name: "interrupt IN at SuperSpeed with wBytesPerInterval 0", d: super(0),
			speed: usb.SpeedSuper,
			want: [5]uint32{
				3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1,
				3072<<16 | 1024}},
		{name: "wBytesPerInterval is ignored at high speed", d: super(100), speed: usb.SpeedHigh,
			want: [5]uint32{
				3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1,
				3072<<16 | 1024}},
		{name: "wBytesPerInterval is ignored for bulk IN at SuperSpeed",
			d: usb.Endpoint{Address: 0x81, Type: bulk, MaxPacketSize: 1024,
				BytesPerInterval: 100},
			speed: usb.SpeedSuper,
			want:  [5]uint32{0, 1024<<16 | 6<<3 | 3<<1, 0x23456031, 1, 3072}},
		{name: "bursts are ignored at full speed",
			d: usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 8, Interval: 1,
				MaxBurst: 2}, speed: usb.SpeedFull,
			want: [5]uint32{3 << 16, 8<<16 | 7<<3 | 3<<1, 0x23456031, 1, 8<<16 | 8}},
	} {
		t.Run(k.name, func(t *testing.T) {
			b := make([]byte, 32)
			e := &endpoint{ring: r}
			e.describe(k.d, k.speed)
			e.fill(b, k.speed)
			if w := words(b); [5]uint32(w[:5]) != k.want {
				t.Errorf("%08X, want %08X", w, k.want)
			}
		})
	}
	b := make([]byte, 32)
	(&endpoint{ring: r, packet: 64}).fillPipe(b)
	if w := words(b); [5]uint32(w[:5]) != [5]uint32{0, 64<<16 | 4<<3 | 3<<1, 0x23456031, 1, 8} {
		t.Errorf("default pipe: %08X", w)
	}
}

func TestInterval(t *testing.T) {
	for _, k := range []struct {
		speed     usb.Speed
		bInterval uint8
		want      uint32
	}{
		// xHCI 1.2, table 6-12: at low and full speed in frames, rounded down to a power of two
		{speed: usb.SpeedFull, want: 3}, {speed: usb.SpeedFull, bInterval: 1, want: 3},
		{speed: usb.SpeedFull, bInterval: 2, want: 4},
		{speed: usb.SpeedFull, bInterval: 3, want: 4},
		{speed: usb.SpeedLow, bInterval: 16, want: 7},
		{speed: usb.SpeedLow, bInterval: 31, want: 7},
		{speed: usb.SpeedLow, bInterval: 32, want: 8},
		{speed: usb.SpeedFull, bInterval: 128, want: 10},
		{speed: usb.SpeedFull, bInterval: 255, want: 10},
		// at high speed and SuperSpeed the exponent plus one; at most 8 ms (policy)
		{speed: usb.SpeedHigh}, {speed: usb.SpeedHigh, bInterval: 1},
		{speed: usb.SpeedHigh, bInterval: 4, want: 3},
		{speed: usb.SpeedHigh, bInterval: 7, want: 6},
		{speed: usb.SpeedHigh, bInterval: 8, want: 6},
		{speed: usb.SpeedHigh, bInterval: 16, want: 6},
		{speed: usb.SpeedSuper, bInterval: 17, want: 6},
		{speed: usb.SpeedSuper, bInterval: 255, want: 6},
	} {
		d := usb.Endpoint{Address: 0x81, Type: usb.InterruptTransfer, Interval: k.bInterval}
		if got := interval(d, k.speed); got != k.want {
			t.Errorf("%v, bInterval %d: %d, want %d", k.speed, k.bInterval, got, k.want)
		}
	}
}

func TestInvalidPacketSizes(t *testing.T) {
	for _, k := range []struct {
		kind  usb.TransferType
		speed usb.Speed
		size  uint16
		want  int
	}{
		{kind: usb.BulkTransfer, speed: usb.SpeedHigh, size: 64, want: 512},
		{kind: usb.BulkTransfer, speed: usb.SpeedSuper, size: 512, want: 1024},
		{kind: usb.BulkTransfer, speed: usb.SpeedFull, size: 512, want: 64},
		{kind: usb.BulkTransfer, speed: usb.SpeedFull, want: 8},
		{kind: usb.BulkTransfer, speed: usb.SpeedFull, size: 63, want: 32},
		{kind: usb.BulkTransfer, speed: usb.SpeedLow, size: 8, want: 8},
		{kind: usb.InterruptTransfer, speed: usb.SpeedLow, size: 64, want: 8},
		{kind: usb.InterruptTransfer, speed: usb.SpeedFull, size: 2047, want: 64},
		{kind: usb.InterruptTransfer, speed: usb.SpeedHigh, size: 2047, want: 1024},
		{kind: usb.InterruptTransfer, speed: usb.SpeedFull, want: 1},
		{kind: usb.InterruptTransfer, speed: usb.SpeedFull, size: 10, want: 10},
	} {
		if got := packetSize(usb.Endpoint{Type: k.kind, MaxPacketSize: k.size},
			k.speed); got != k.want {
			t.Errorf("type %d, %v, %d bytes: %d, want %d", k.kind, k.speed, k.size, got, k.want)
		}
	}
}

func TestEndpointIndex(t *testing.T) {
	for address, want := range map[uint8]uint8{0: 1, 0x80: 1, 0x01: 2, 0x81: 3, 0x0F: 30, 0x8F: 31,
		0x73: 6} {
		if got := endpointIndex(address); got != want {
			t.Errorf("%02X: %d, want %d", address, got, want)
		}
	}
}
