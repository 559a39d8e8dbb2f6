package usbhost_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// get answers GET_DESCRIPTOR of a kind.
func get(kind byte, f func(index byte, length int) ([]byte, error)) func(usb.Setup) ([]byte, error, bool) {
	return func(s usb.Setup) ([]byte, error, bool) {
		if s.RequestType != usb.DirIn || s.Request != usb.RequestGetDescriptor || byte(s.Value>>8) != kind {
			return nil, nil, false
		}
		b, err := f(byte(s.Value), int(s.Length))
		return b, err, true
	}
}

// What devices say that lie, and what becomes of them and their neighbour.
func TestHostileDevices(t *testing.T) {
	const device, config, str = usb.TypeDevice, usb.TypeConfiguration, usb.TypeString
	for _, c := range []struct {
		name   string
		change func(g *usbtest.Gadget)
		found  bool
		names  string // of the maker and the thing
	}{
		{"nothing wrong", func(*usbtest.Gadget) {}, true, "maker thing"},
		{"packets of 8 bytes", func(g *usbtest.Gadget) { g.Descriptor[7] = 8 }, true, "maker thing"},
		{"packets of 8 bytes at high speed, which is not allowed", func(g *usbtest.Gadget) { g.At, g.Descriptor[7] = usb.SpeedHigh, 8 }, true, "maker thing"},
		{"packets of 9 bytes at high speed", func(g *usbtest.Gadget) { g.At, g.Descriptor[7] = usb.SpeedHigh, 9 }, false, ""},
		{"packets of 16 bytes at low speed", func(g *usbtest.Gadget) { g.At, g.Descriptor[7] = usb.SpeedLow, 16 }, false, ""},
		{"packets of 7 bytes", func(g *usbtest.Gadget) { g.Descriptor[7] = 7 }, false, ""},
		{"packets of 255 bytes", func(g *usbtest.Gadget) { g.Descriptor[7] = 255 }, false, ""},
		{"super speed's packet size", func(g *usbtest.Gadget) { g.Descriptor[7] = 9 }, false, ""},
		{"a device descriptor of 17 bytes", func(g *usbtest.Gadget) { g.Descriptor = g.Descriptor[:17] }, false, ""},
		{"a device descriptor of 7 bytes", func(g *usbtest.Gadget) { g.Descriptor = g.Descriptor[:7] }, false, ""},
		{"a device descriptor of another type", func(g *usbtest.Gadget) { g.Descriptor[1] = 2 }, false, ""},
		{"a device descriptor with a short length", func(g *usbtest.Gadget) { g.Descriptor[0] = 8 }, false, ""},
		{"an empty device descriptor", func(g *usbtest.Gadget) {
			g.Answer = get(device, func(byte, int) ([]byte, error) { return nil, nil })
		}, false, ""},
		{"no configurations, says the device descriptor", func(g *usbtest.Gadget) { g.Descriptor[17] = 0 }, true, "maker thing"},
		{"255 configurations, of which one is there", func(g *usbtest.Gadget) { g.Descriptor[17] = 255 }, true, "maker thing"},
		{"a configuration of 8 bytes", func(g *usbtest.Gadget) { g.Configs[0] = g.Configs[0][:8] }, false, ""},
		{"a configuration of length 0", func(g *usbtest.Gadget) { g.Configs[0][2] = 0 }, false, ""},
		{"a configuration of 65,535 bytes, of which most are not there", func(g *usbtest.Gadget) {
			g.Configs[0][2], g.Configs[0][3] = 0xFF, 0xFF
		}, true, "maker thing"},
		{"a configuration of 65,535 bytes", func(g *usbtest.Gadget) {
			g.Configs[0] = append(g.Configs[0], make([]byte, 65535)...)
			g.Configs[0][2], g.Configs[0][3] = 0xFF, 0xFF
		}, true, "maker thing"},
		{"a configuration that cannot be selected", func(g *usbtest.Gadget) { g.Configs[0][5] = 0 }, false, ""},
		{"a configuration whose length changes once", func(g *usbtest.Gadget) {
			n := 0
			long := slices.Clone(g.Configs[0])
			g.Answer = get(config, func(byte, int) ([]byte, error) {
				b := slices.Clone(long)
				if n++; n == 1 {
					b[2] = 18
				}
				return b, nil
			})
		}, true, "maker thing"},
		{"a configuration that is longer each time", func(g *usbtest.Gadget) {
			n := byte(0)
			long := append(slices.Clone(g.Configs[0]), make([]byte, 255)...)
			g.Answer = get(config, func(byte, int) ([]byte, error) {
				n++
				long[2] = 18 + n
				return slices.Clone(long), nil
			})
		}, false, ""},
		{"a configuration that is there only as long as its beginning", func(g *usbtest.Gadget) {
			long := g.Configs[0]
			g.Answer = get(config, func(_ byte, n int) ([]byte, error) {
				if n > 9 {
					return nil, nil
				}
				return long, nil
			})
		}, false, ""},
		{"a descriptor of length 0 in the configuration", func(g *usbtest.Gadget) { g.Configs[0][9+9] = 0 }, true, "maker thing"},
		{"an interface descriptor of length 1", func(g *usbtest.Gadget) { g.Configs[0][9] = 1 }, false, ""},
		{"a configuration without interfaces", func(g *usbtest.Gadget) { g.Configs[0] = configuration(1) }, true, "maker thing"},
		{"300 interfaces", func(g *usbtest.Gadget) {
			parts := make([][]byte, 300)
			for i := range parts {
				parts[i] = iface(byte(i), 0, 0xFF)
			}
			g.Configs[0] = configuration(1, parts...)
		}, true, "maker thing"},
		{"SET_CONFIGURATION is refused", func(g *usbtest.Gadget) {
			g.Answer = func(s usb.Setup) ([]byte, error, bool) {
				return nil, usb.ErrStall, s.Request == usb.RequestSetConfiguration
			}
		}, false, ""},
		{"SET_CONFIGURATION is never answered", func(g *usbtest.Gadget) {
			g.Answer = func(s usb.Setup) ([]byte, error, bool) {
				return nil, usbtest.ErrBlocked, s.Request == usb.RequestSetConfiguration
			}
		}, false, ""},
		{"no languages", func(g *usbtest.Gadget) { delete(g.Strings, 0) }, true, " "},
		{"an empty list of languages", func(g *usbtest.Gadget) { g.Strings[0] = []byte{2, 3} }, true, "maker thing"},
		{"a string of an odd length", func(g *usbtest.Gadget) { g.Strings[1] = append(text("maker"), 'x'); g.Strings[1][0]++ }, true, "maker thing"},
		{"a string that says it is longer", func(g *usbtest.Gadget) { g.Strings[1][0] = 200 }, true, " thing"},
		{"a string of length 0", func(g *usbtest.Gadget) { g.Strings[1] = []byte{0, 3} }, true, " thing"},
		{"a string that is asked for in its exact length only", func(g *usbtest.Gadget) {
			g.Answer = get(str, func(index byte, n int) ([]byte, error) {
				if n == 255 {
					return nil, usb.ErrStall
				}
				return g.Strings[index], nil
			})
		}, true, "maker thing"},
		{"a string that is never answered", func(g *usbtest.Gadget) {
			g.Answer = get(str, func(index byte, n int) ([]byte, error) {
				if index == 1 {
					return nil, usbtest.ErrBlocked
				}
				return g.Strings[index], nil
			})
		}, true, " "},
		{"everything is never answered", func(g *usbtest.Gadget) {
			g.Answer = func(usb.Setup) ([]byte, error, bool) { return nil, usbtest.ErrBlocked, true }
		}, false, ""},
		{"everything is refused", func(g *usbtest.Gadget) {
			g.Answer = func(usb.Setup) ([]byte, error, bool) { return nil, usb.ErrStall, true }
		}, false, ""},
		{"a hub without an interface", func(g *usbtest.Gadget) { g.Descriptor[4] = 9 }, false, ""},
		{"a hub without a status change pipe", func(g *usbtest.Gadget) {
			g.Descriptor[4] = 9
			g.Configs[0] = configuration(1, iface(0, 0, 9))
		}, false, ""},
		{"a hub without a hub descriptor", func(g *usbtest.Gadget) {
			g.Descriptor[4] = 9
			g.Configs[0] = configuration(1, append(iface(0, 0, 9), 7, 5, 0x81, 3, 1, 0, 255))
		}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
				g := gadget()
				c.change(g)
				r.c.Plug(1, g)
				r.c.Plug(2, aReader(usb.SpeedFull))
				r.add()
				r.settle()
				want := map[bool]string{true: "1 2", false: "2"}[c.found]
				if r.wantPlaces(want); c.found {
					if d := r.b.Devices()[0].Device; d.Manufacturer+" "+d.Product != c.names {
						t.Errorf("%q %q", d.Manufacturer, d.Product)
					}
				} else if r.happened("1: refused") != 1 {
					t.Errorf("%q", r.log())
				}
				if n := r.steps("reset"); n > 1+3 {
					t.Errorf("%d resets", n)
				}
			})
		})
	}
}

func TestHostileHubDescriptors(t *testing.T) {
	for _, c := range []struct {
		name  string
		b     []byte
		ports int // 0: refused
	}{
		{"255 ports, of which two are there", []byte{9, 0x29, 255, 9, 0, 0, 0, 0, 0xFF}, 31},
		{"two bytes", []byte{2, 0x29}, 0},
		{"no ports", []byte{9, 0x29, 0, 9, 0, 0, 0, 0, 0xFF}, 0},
		{"255 bytes", append([]byte{255, 0x29, 2, 9, 0, 255}, make([]byte, 249)...), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
				h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 2, Descriptor: c.b})
				h.Plug(2, aReader(usb.SpeedFull))
				r.c.Plug(1, h)
				r.c.Plug(2, aReader(usb.SpeedFull))
				r.add()
				r.settle()
				if c.ports == 0 {
					r.wantPlaces("2")
					return
				}
				r.wantPlaces("1 1.2 2")
				if n := r.b.Devices()[0].HubPorts; n != c.ports {
					t.Errorf("%d ports", n)
				}
			})
		})
	}
}

func TestAHubWhoseChangesNeverEnd(t *testing.T) {
	// Its status change pipe tells of changes for ever, and no acknowledgement helps.
	answer := func(s usb.Setup) ([]byte, error, bool) {
		return []byte{0x01, 0x01, 0xFF, 0xFF}, nil, s.RequestType == 0xA3
	}
	inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
		h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedFull, Ports: 4, Answer: answer})
		r.c.Plug(1, h)
		r.c.Plug(2, aReader(usb.SpeedFull))
		r.add()
		time.Sleep(patience)
		r.wantPlaces("1 2")
		if n := len(r.c.Log()); n > 200000 {
			t.Errorf("%d requests in a minute", n)
		}
		if !strings.Contains(strings.Join(r.log(), " "), "unstable") {
			t.Errorf("%q", r.log())
		}
	})
}

func TestTheConfigurationMayBeChosen(t *testing.T) {
	for name, choice := range map[string]int{"the second": 1, "none of them": 7} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, first *rig) {
				g := gadget()
				g.Descriptor[17] = 2
				g.Configs = append(g.Configs, configuration(5, iface(0, 0, 0xFF, 0x83)))
				r := newRig(t, usbtest.Model{USB2: 1}, usbhost.Options{Choose: func(_ []byte, configs [][]byte) int { return choice }})
				defer r.close()
				r.c.Plug(1, g)
				r.add()
				r.settle()
				want := map[int]byte{1: 5, 7: 1}[choice]
				if d := r.b.Devices()[0].Device; d.Config[5] != want {
					t.Errorf("configuration %d, not %d", d.Config[5], want)
				}
			})
		})
	}
}
