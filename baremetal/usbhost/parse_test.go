package usbhost

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tamaccid/ccid/usb"
)

func TestHubDescriptors(t *testing.T) {
	full := []byte{9, 0x29, 4, 0xE9, 0, 50, 100, 0, 0xFF}
	for _, c := range []struct {
		name  string
		b     []byte
		super bool
		want  hubDescriptor
		bad   bool
	}{
		{name: "a common hub", b: full,
			want: hubDescriptor{ports: 4, thinkTime: 3, powerGood: 100 * time.Millisecond}},
		{name: "ganged", b: []byte{9, 0x29, 4, 0, 0, 0, 0, 0, 0xFF}, want: hubDescriptor{ports: 4}},
		{name: "without the bits of its ports", b: []byte{7, 0x29, 7, 0, 0, 255, 0},
			want: hubDescriptor{ports: 7, powerGood: 510 * time.Millisecond}},
		{name: "255 ports", b: []byte{71, 0x29, 255, 0, 0, 0, 0},
			want: hubDescriptor{ports: maxHubPorts}},
		{name: "a USB 3 hub", b: []byte{12, 0x2A, 4, 9, 0, 1, 0, 0, 0, 0, 0, 0}, super: true,
			want: hubDescriptor{ports: 4, powerGood: 2 * time.Millisecond}},
		{name: "a USB 3 hub with more ports than a route string has",
			b: []byte{12, 0x2A, 200, 0x60, 0, 0, 0, 0, 0, 0, 0, 0}, super: true,
			want: hubDescriptor{ports: 15}},
		{name: "no bytes", bad: true},
		{name: "two bytes", b: []byte{2, 0x29}, bad: true},
		{name: "six bytes", b: full[:6], bad: true},
		{name: "a length byte of two", b: append([]byte{2}, full[1:]...), bad: true},
		{name: "no ports", b: []byte{7, 0x29, 0, 0, 0, 0, 0}, bad: true},
		{name: "another type", b: append([]byte{9, 0x21}, full[2:]...), bad: true},
		{name: "a USB 2 descriptor of a USB 3 hub", b: append(slices.Clone(full), 0, 0, 0),
			super: true, bad: true},
		{name: "a USB 3 descriptor that is too short",
			b: []byte{12, 0x2A, 4, 9, 0, 1, 0, 0, 0, 0, 0}, super: true, bad: true},
	} {
		got, err := parseHubDescriptor(c.b, c.super)
		if errors.Is(err, usb.ErrDescriptor) != c.bad || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestStatusChangeBitmaps(t *testing.T) {
	for _, c := range []struct {
		name  string
		b     []byte
		ports int
		hub   bool
		want  []int
	}{
		{name: "nothing", ports: 4},
		{name: "the hub alone", b: []byte{1}, ports: 4, hub: true},
		{name: "first and last port", b: []byte{0x12}, ports: 4, want: []int{1, 4}},
		{name: "a port in the second byte", b: []byte{0, 1}, ports: 8, want: []int{8}},
		{name: "bits without a port", b: []byte{0xFE, 0xFF}, ports: 2, want: []int{1, 2}},
		{name: "fewer bytes than ports", b: []byte{0x80}, ports: 31, want: []int{7}},
	} {
		hub, got := changedPorts(c.b, c.ports)
		if hub != c.hub || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, hub, got)
		}
	}
}

func TestPortStatusOfAHub(t *testing.T) {
	for _, c := range []struct {
		name  string
		b     []byte
		super bool
		want  PortStatus
	}{
		{name: "nothing", b: []byte{0, 0, 0, 0}, want: PortStatus{}},
		{name: "powered, just connected", b: []byte{0x01, 0x01, 0x01, 0},
			want: PortStatus{Connected: true, Powered: true, Change: ConnectChange}},
		{name: "enabled at full speed", b: []byte{0x03, 0x01, 0x10, 0},
			want: PortStatus{Connected: true, Enabled: true, Powered: true, Speed: usb.SpeedFull,
				Change: ResetChange}},
		{name: "enabled at low speed", b: []byte{0x03, 0x03, 0, 0},
			want: PortStatus{Connected: true, Enabled: true, Powered: true, Speed: usb.SpeedLow}},
		{name: "enabled at high speed", b: []byte{0x03, 0x05, 0x02, 0},
			want: PortStatus{Connected: true, Enabled: true, Powered: true, Speed: usb.SpeedHigh,
				Change: EnableChange}},
		{name: "over-current", b: []byte{0x08, 0, 0x08, 0},
			want: PortStatus{OverCurrent: true, Change: OverCurrentChange}},
		{name: "in reset", b: []byte{0x11, 0x01, 0, 0},
			want: PortStatus{Connected: true, Resetting: true, Powered: true}},
		{name: "resumed, which PortStatus does not have", b: []byte{0, 0, 0x04, 0},
			want: PortStatus{}},
		{name: "USB 3, trained", b: []byte{0x03, 0x02, 0x41, 0}, super: true,
			want: PortStatus{USB3: true, Connected: true, Enabled: true, Powered: true,
				Speed: usb.SpeedSuper, Change: ConnectChange | LinkChange}},
		{name: "USB 3, inactive", b: []byte{0xC1, 0x02, 0x40, 0}, super: true,
			want: PortStatus{USB3: true, Connected: true, Powered: true, Stuck: true,
				Change: LinkChange}},
		{name: "USB 3, compliance", b: []byte{0x40, 0x03, 0, 0}, super: true,
			want: PortStatus{USB3: true, Powered: true, Stuck: true}},
		{name: "USB 3, warm reset has ended", b: []byte{0x03, 0x02, 0x20, 0}, super: true,
			want: PortStatus{USB3: true, Connected: true, Enabled: true, Powered: true,
				Speed: usb.SpeedSuper, Change: ResetChange}},
		{name: "USB 3, cannot be configured", b: []byte{0x00, 0x02, 0x80, 0}, super: true,
			want: PortStatus{USB3: true, Powered: true, Change: ConfigChange}},
	} {
		got, err := parsePortStatus(c.b, c.super)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		for n := range c.b {
			if _, err := parsePortStatus(c.b[:n], c.super); !errors.Is(err, usb.ErrDescriptor) {
				t.Errorf("%s: %d bytes: %v", c.name, n, err)
			}
		}
	}
}

func TestStrings(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want string
		bad  bool
	}{
		{name: "plain", b: []byte{6, 3, 'o', 0, 'k', 0}, want: "ok"},
		{name: "empty", b: []byte{2, 3}},
		{name: "more bytes behind it", b: []byte{4, 3, 'o', 0, 'k', 0}, want: "o"},
		{name: "an odd length", b: []byte{5, 3, 'o', 0, 'k'}, want: "o"},
		{name: "a pair of surrogates", b: []byte{6, 3, 0x3D, 0xD8, 0x00, 0xDE}, want: "\U0001F600"},
		{name: "half a pair", b: []byte{4, 3, 0x3D, 0xD8}, want: "\uFFFD"},
		{name: "ended by NUL", b: []byte{8, 3, 'o', 0, 0, 0, 'k', 0}, want: "o"},
		{name: "longer than its bytes", b: []byte{8, 3, 'o', 0}, bad: true},
		{name: "a length of 0", b: []byte{0, 3, 'o', 0}, bad: true},
		{name: "a length of 1", b: []byte{1, 3, 'o', 0}, bad: true},
		{name: "another type", b: []byte{4, 2, 'o', 0}, bad: true},
		{name: "nothing", bad: true},
	} {
		got, err := parseString(c.b)
		if got != c.want || errors.Is(err, usb.ErrDescriptor) != c.bad {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	for _, c := range []struct {
		name string
		b    []byte
		want uint16
	}{
		{name: "English first", b: []byte{6, 3, 0x09, 0x04, 0x07, 0x04}, want: 0x0409},
		{name: "English last", b: []byte{6, 3, 0x07, 0x04, 0x09, 0x04}, want: 0x0409},
		{name: "no English", b: []byte{6, 3, 0x07, 0x04, 0x0C, 0x04}, want: 0x0407},
		{name: "none", b: []byte{2, 3}, want: 0x0409},
	} {
		languages, err := stringUnits(c.b)
		if got := chooseLanguage(languages); err != nil || got != c.want {
			t.Errorf("%s: %#04x, %v", c.name, got, err)
		}
	}
}

func TestPacketSizeOfTheDefaultPipe(t *testing.T) {
	want := map[usb.Speed]map[uint8]int{
		usb.SpeedLow:   {8: 8},
		usb.SpeedFull:  {8: 8, 16: 16, 32: 32, 64: 64},
		usb.SpeedHigh:  {8: 8, 16: 16, 32: 32, 64: 64},
		usb.SpeedSuper: {9: 512},
	}
	for speed, sizes := range want {
		for field := range 256 {
			got, err := packetSize0(speed, uint8(field))
			if want, ok := sizes[uint8(field)]; ok != (err == nil) || got != want {
				t.Errorf("%s, %d: %d, %v", speed, field, got, err)
			}
		}
	}
	if _, err := packetSize0(usb.SpeedUnknown, 8); err == nil {
		t.Error("an unknown speed")
	}
}

func TestInterfacesOfAConfiguration(t *testing.T) {
	endpoint := func(address, kind byte, size uint16, interval byte) []byte {
		return []byte{7, 5, address, kind, byte(size), byte(size >> 8), interval}
	}
	iface := func(number, alt byte, endpoints ...[]byte) []byte {
		return slices.Concat([]byte{9, 4, number, alt, byte(len(endpoints)), 0xFF, 0, 0, 0},
			slices.Concat(endpoints...))
	}
	many := make([][]byte, 300)
	for i := range many {
		many[i] = iface(byte(i), byte(i>>8))
	}
	settings := make([][]byte, 300)
	for i := range settings {
		settings[i] = iface(0, byte(i))
	}
	for _, c := range []struct {
		name  string
		speed usb.Speed
		parts [][]byte
		want  string // interface.setting and its endpoints with their sizes
	}{
		{name: "two interfaces", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 64, 0)),
				iface(1, 0, endpoint(0x02, 3, 8, 10))}, want: "0.0 81/64 | 1.0 02/8"},
		{name: "settings in the wrong order", speed: usb.SpeedFull,
			parts: [][]byte{iface(3, 1), iface(3, 0, endpoint(0x81, 2, 64, 0)), iface(3, 2)},
			want:  "3.0 81/64, 3.1, 3.2"},
		{name: "a setting twice", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 64, 0)),
				iface(0, 0, endpoint(0x82, 2, 64, 0))}, want: "0.0 81/64"},
		{name: "settings that share an endpoint", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 64, 0)),
				iface(0, 1, endpoint(0x81, 2, 64, 0))}, want: "0.0 81/64, 0.1 81/64"},
		{name: "interfaces that share an endpoint", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 64, 0)),
				iface(1, 0, endpoint(0x81, 2, 64, 0))}, want: "0.0 81/64 | 1.0"},
		{name: "an endpoint twice", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 64, 0), endpoint(0x81, 2, 32, 0))},
			want:  "0.0 81/64"},
		{name: "the default pipe", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x00, 2, 64, 0), endpoint(0x80, 2, 64, 0))},
			want:  "0.0"},
		{name: "reserved bits in an address", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0xF1, 2, 64, 0))}, want: "0.0 81/64"},
		{name: "control and isochronous", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x01, 0, 64, 0), endpoint(0x82, 1, 64, 0))},
			want:  "0.0"},
		{name: "no packet size", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 0, 0))}, want: "0.0"},
		{name: "high speed's size at full speed", speed: usb.SpeedFull,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 512, 0))}, want: "0.0 81/64"},
		{name: "more than high speed has", speed: usb.SpeedHigh,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 1024, 0), endpoint(0x82, 3, 1024, 0))},
			want:  "0.0 81/512 82/1024"},
		{name: "bulk at low speed", speed: usb.SpeedLow,
			parts: [][]byte{iface(0, 0, endpoint(0x81, 2, 64, 0))}, want: "0.0 81/8"},
		{name: "nothing", speed: usb.SpeedFull},
	} {
		config := slices.Concat([]byte{9, 2, 0, 0, 1, 1, 0, 0x80, 50}, slices.Concat(c.parts...))
		config[2], config[3] = byte(len(config)), byte(len(config)>>8)
		all, err := parseInterfaces(config, c.speed)
		if got := show(all); err != nil || got != c.want {
			t.Errorf("%s: %q, not %q; %v", c.name, got, c.want, err)
		}
	}
	var both, tiny [][]byte
	for n := range 300 {
		both = append(both, []byte{9, 4, byte(n % 30), byte(n / 30), 0, 0xFF, 0, 0, 0})
	}
	tiny = append(tiny, both[0])
	for range 1000 {
		tiny = append(tiny, []byte{2, 0x21})
	}
	for name, parts := range map[string][][]byte{"300 interfaces": many, "300 settings": settings,
		"10 settings of each of 30 interfaces": both,
		"1000 descriptors of two bytes":        tiny} {
		config := slices.Concat([]byte{9, 2, 0xFF, 0xFF, 1, 1, 0, 0x80, 50},
			slices.Concat(parts...))
		all, err := parseInterfaces(config, usb.SpeedFull)
		described := 0
		for _, i := range all {
			described += len(i)
		}
		if err != nil || len(all) > maxInterfaces || len(all[0]) > maxSettings ||
			described > maxDescribed || len(all[0][0].Other) > 64 {
			t.Errorf("%s: %d interfaces, %d settings, %d other descriptors, %v", name, len(all),
				described, len(all[0][0].Other), err)
		}
	}
}

func show(all [][]usb.Interface) (s string) {
	for k, settings := range all {
		if k > 0 {
			s += " | "
		}
		for n, i := range settings {
			if n > 0 {
				s += ", "
			}
			s += fmt.Sprintf("%d.%d", i.Number, i.AltSetting)
			for _, e := range i.Endpoints {
				s += fmt.Sprintf(" %02x/%d", e.Address, e.MaxPacketSize)
			}
		}
	}
	return s
}

func TestChoiceOfAConfiguration(t *testing.T) {
	with := func(classes ...byte) []byte {
		b := []byte{9, 2, 0xFF, 0, 0, 1, 0, 0, 0}
		for n, c := range classes {
			b = append(b, 9, 4, byte(n), 0, 0, c, 0, 0, 0)
		}
		return b
	}
	for _, c := range []struct {
		name    string
		configs [][]byte
		want    int
	}{
		{name: "one", configs: [][]byte{with(0xFF)}},
		{name: "the first with a class",
			configs: [][]byte{with(0xFF, 0xFF), with(0xFF, 0x0B), with(0x0B)}, want: 1},
		{name: "none with a class", configs: [][]byte{with(0xFF), with(0xFF)}},
		{name: "one without interfaces, one that is damaged",
			configs: [][]byte{with(), append(with(0x0B), 0)}, want: 1},
	} {
		if got := chooseConfig(c.configs); got != c.want {
			t.Errorf("%s: %d", c.name, got)
		}
	}
}

func FuzzHubDescriptor(f *testing.F) {
	f.Add([]byte{9, 0x29, 4, 0xE9, 0, 50, 100, 0, 0xFF}, false)
	f.Add([]byte{12, 0x2A, 4, 9, 0, 1, 0, 0, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, super bool) {
		d, err := parseHubDescriptor(b, super)
		if err == nil &&
			(d.ports < 1 || d.ports > maxHubPorts || d.powerGood > 510*time.Millisecond ||
				d.thinkTime > 3) {
			t.Errorf("%+v", d)
		}
		if _, numbers := changedPorts(b, d.ports); len(numbers) > d.ports {
			t.Errorf("%d of %d ports", len(numbers), d.ports)
		}
		if st, err := parsePortStatus(b, super); err == nil && st.USB3 != super {
			t.Errorf("%+v", st)
		}
	})
}

func FuzzStrings(f *testing.F) {
	f.Add([]byte{6, 3, 'o', 0, 'k', 0})
	f.Add([]byte{5, 3, 0x3D, 0xD8, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseString(b); err != nil && s != "" || len(s) > 3*127 {
			t.Errorf("%q, %v", s, err)
		}
		if languages, err := stringUnits(b); err == nil && len(languages) > 0 &&
			!slices.Contains(languages, chooseLanguage(languages)) {
			t.Error("a language that the device does not have")
		}
	})
}

func FuzzConfiguration(f *testing.F) {
	f.Add([]byte{9, 2, 32, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 2, 0xFF, 0, 0, 0, 7, 5, 0x81, 2, 64, 0,
		0, 7, 5, 2, 2, 64, 0, 0}, uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, speed uint8) {
		if n, err := configLength(b); err == nil && (n < usb.ConfigurationSize || n > maxConfig) {
			t.Errorf("%d bytes", n)
		}
		at := usb.Speed(speed % 5)
		all, _ := parseInterfaces(b, at)
		owner := map[uint8]int{}
		for k, settings := range all {
			for _, i := range settings {
				for _, e := range i.Endpoints {
					if user, ok := owner[e.Address]; ok && user != k || e.Address&0x0F == 0 ||
						e.MaxPacketSize == 0 || e.MaxPacketSize > 1024 {
						t.Errorf("%+v", e)
					}
					owner[e.Address] = k
				}
			}
		}
		if len(b) >= usb.ConfigurationSize && chooseConfig([][]byte{b, b}) > 1 {
			t.Error("a configuration that is not there")
		}
	})
}
