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
		{"a full-speed device on root port 5", device{at: usbhost.Location{RootPort: 5, Speed: usb.SpeedFull}, speedID: 1}, 1,
			[8]uint32{0x08100000, 0x00050000}},
		{"a high-speed hub of 4 ports with think time 3 and translators for each port", device{at: usbhost.Location{RootPort: 2, Route: 0x31, Tier: 2, Speed: usb.SpeedHigh}, speedID: 3,
			isHub: true, hub: usbhost.HubInfo{Ports: 4, MultiTT: true, ThinkTime: 3}}, 3, [8]uint32{0x1E300031, 0x04020000, 0x00030000}},
		{"a low-speed device on port 7 of the hub in slot 9, with one translator", device{at: usbhost.Location{RootPort: 1, Route: 7, Tier: 1, Speed: usb.SpeedLow, TTPort: 7}, speedID: 2,
			ttSlot: 9}, 31, [8]uint32{0xF8200007, 0x00010000, 0x00000709}},
		{"the same with a translator for each port", device{at: usbhost.Location{RootPort: 1, Route: 7, Tier: 1, Speed: usb.SpeedLow, TTPort: 7, MultiTT: true}, speedID: 2,
			ttSlot: 9}, 31, [8]uint32{0xFA200007, 0x00010000, 0x00000709}},
		{"a SuperSpeed hub has no translator", device{at: usbhost.Location{RootPort: 255, Speed: usb.SpeedSuper}, speedID: 4, isHub: true,
			hub: usbhost.HubInfo{Ports: 15, MultiTT: true, ThinkTime: 1}}, 3, [8]uint32{0x1C400000, 0x0FFF0000}},
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
		return usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 1024, Interval: 4, MaxBurst: 2, BytesPerInterval: bytes}
	}
	for _, k := range []struct {
		name  string
		d     usb.Endpoint
		speed usb.Speed
		want  [5]uint32
	}{
		{"bulk IN at full speed", usb.Endpoint{Address: 0x82, Type: bulk, MaxPacketSize: 64}, usb.SpeedFull,
			[5]uint32{0, 64<<16 | 6<<3 | 3<<1, 0x23456031, 1, 3072}},
		{"bulk OUT at high speed that names its NAK rate", usb.Endpoint{Address: 3, Type: bulk, MaxPacketSize: 512, Interval: 4}, usb.SpeedHigh,
			[5]uint32{2 << 16, 512<<16 | 2<<3 | 3<<1, 0x23456031, 1, 3072}},
		{"interrupt IN at full speed every 10 ms", usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 8, Interval: 10}, usb.SpeedFull,
			[5]uint32{6 << 16, 8<<16 | 7<<3 | 3<<1, 0x23456031, 1, 8<<16 | 8}},
		{"interrupt IN at high speed with two more transactions", usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 1024, Interval: 4, MaxBurst: 2}, usb.SpeedHigh,
			[5]uint32{3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1, 3072<<16 | 1024}},
		{"bulk IN at SuperSpeed with bursts", usb.Endpoint{Address: 0x81, Type: bulk, MaxPacketSize: 1024, MaxBurst: 15}, usb.SpeedSuper,
			[5]uint32{0, 1024<<16 | 15<<8 | 6<<3 | 3<<1, 0x23456031, 1, 3072}},
		{"interrupt IN at SuperSpeed that says how much it moves in an interval", super(100), usb.SpeedSuper,
			[5]uint32{3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1, 100<<16 | 100}},
		{"interrupt IN at SuperSpeed that moves as much as it can", super(3072), usb.SpeedSuper,
			[5]uint32{3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1, 3072<<16 | 1024}},
		{"interrupt IN at SuperSpeed that says it moves more than it can", super(3073), usb.SpeedSuper,
			[5]uint32{3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1, 3072<<16 | 1024}},
		{"interrupt IN at SuperSpeed that says it moves nothing", super(0), usb.SpeedSuper,
			[5]uint32{3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1, 3072<<16 | 1024}},
		{"what SuperSpeed's companion says is nothing for high speed", super(100), usb.SpeedHigh,
			[5]uint32{3 << 16, 1024<<16 | 2<<8 | 7<<3 | 3<<1, 0x23456031, 1, 3072<<16 | 1024}},
		{"bulk IN at SuperSpeed, where it is reserved", usb.Endpoint{Address: 0x81, Type: bulk, MaxPacketSize: 1024, BytesPerInterval: 100}, usb.SpeedSuper,
			[5]uint32{0, 1024<<16 | 6<<3 | 3<<1, 0x23456031, 1, 3072}},
		{"bursts are nothing for full speed", usb.Endpoint{Address: 0x81, Type: interrupt, MaxPacketSize: 8, Interval: 1, MaxBurst: 2}, usb.SpeedFull,
			[5]uint32{3 << 16, 8<<16 | 7<<3 | 3<<1, 0x23456031, 1, 8<<16 | 8}},
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
		// xHCI 1.2, table 6-12: low and full speed count frames, down to a power of two
		{usb.SpeedFull, 0, 3}, {usb.SpeedFull, 1, 3}, {usb.SpeedFull, 2, 4}, {usb.SpeedFull, 3, 4}, {usb.SpeedLow, 16, 7}, {usb.SpeedLow, 31, 7},
		{usb.SpeedLow, 32, 8}, {usb.SpeedFull, 128, 10}, {usb.SpeedFull, 255, 10},
		// high speed and SuperSpeed give the exponent, plus one; 8 ms is as slow as it gets
		{usb.SpeedHigh, 0, 0}, {usb.SpeedHigh, 1, 0}, {usb.SpeedHigh, 4, 3}, {usb.SpeedHigh, 7, 6}, {usb.SpeedHigh, 8, 6}, {usb.SpeedHigh, 16, 6},
		{usb.SpeedSuper, 17, 6}, {usb.SpeedSuper, 255, 6},
	} {
		d := usb.Endpoint{Address: 0x81, Type: usb.InterruptTransfer, Interval: k.bInterval}
		if got := interval(d, k.speed); got != k.want {
			t.Errorf("%v, bInterval %d: %d, want %d", k.speed, k.bInterval, got, k.want)
		}
	}
}

func TestPacketSizesThatDevicesLieAbout(t *testing.T) {
	for _, k := range []struct {
		kind  usb.TransferType
		speed usb.Speed
		size  uint16
		want  int
	}{
		{usb.BulkTransfer, usb.SpeedHigh, 64, 512}, {usb.BulkTransfer, usb.SpeedSuper, 512, 1024}, {usb.BulkTransfer, usb.SpeedFull, 512, 64},
		{usb.BulkTransfer, usb.SpeedFull, 0, 8}, {usb.BulkTransfer, usb.SpeedFull, 63, 32}, {usb.BulkTransfer, usb.SpeedLow, 8, 8},
		{usb.InterruptTransfer, usb.SpeedLow, 64, 8}, {usb.InterruptTransfer, usb.SpeedFull, 2047, 64}, {usb.InterruptTransfer, usb.SpeedHigh, 2047, 1024},
		{usb.InterruptTransfer, usb.SpeedFull, 0, 1}, {usb.InterruptTransfer, usb.SpeedFull, 10, 10},
	} {
		if got := packetSize(usb.Endpoint{Type: k.kind, MaxPacketSize: k.size}, k.speed); got != k.want {
			t.Errorf("type %d, %v, %d bytes: %d, want %d", k.kind, k.speed, k.size, got, k.want)
		}
	}
}

func TestEndpointIndex(t *testing.T) {
	for address, want := range map[uint8]uint8{0: 1, 0x80: 1, 0x01: 2, 0x81: 3, 0x0F: 30, 0x8F: 31, 0x73: 6} {
		if got := endpointIndex(address); got != want {
			t.Errorf("%02X: %d, want %d", address, got, want)
		}
	}
}
