package usbhost_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// get responds to GET_DESCRIPTOR of a kind.
func get(
	kind byte, f func(index byte, length int) ([]byte, error),
) func(usb.Setup) ([]byte, error, bool) {
	return func(s usb.Setup) ([]byte, error, bool) {
		if s.RequestType != usb.DirIn || s.Request != usb.RequestGetDescriptor ||
			byte(s.Value>>8) != kind {
			return nil, nil, false
		}
		b, err := f(byte(s.Value), int(s.Length))
		return b, err, true
	}
}

// TestHostileDevices: each defect of descriptors and responses. The other device on the bus works.
func TestHostileDevices(t *testing.T) {
	const device, config, str = usb.TypeDevice, usb.TypeConfiguration, usb.TypeString
	for _, c := range []struct {
		name   string
		change func(g *usbtest.Gadget)
		found  bool
		names  string // manufacturer and product
	}{
		{name: "nothing wrong", change: func(*usbtest.Gadget) {}, found: true,
			names: "maker thing"},
		{name: "packets of 8 bytes", change: func(g *usbtest.Gadget) { g.Descriptor[7] = 8 },
			found: true, names: "maker thing"},
		{name: "packets of 8 bytes at high speed, which is not allowed",
			change: func(g *usbtest.Gadget) {
				g.At, g.Descriptor[7] = usb.SpeedHigh, 8
			}, found: true, names: "maker thing"},
		{name: "packets of 9 bytes at high speed",
			change: func(g *usbtest.Gadget) { g.At, g.Descriptor[7] = usb.SpeedHigh, 9 }},
		{name: "packets of 16 bytes at low speed",
			change: func(g *usbtest.Gadget) { g.At, g.Descriptor[7] = usb.SpeedLow, 16 }},
		{name: "packets of 7 bytes", change: func(g *usbtest.Gadget) { g.Descriptor[7] = 7 }},
		{name: "packets of 255 bytes", change: func(g *usbtest.Gadget) { g.Descriptor[7] = 255 }},
		{name: "super speed's packet size",
			change: func(g *usbtest.Gadget) { g.Descriptor[7] = 9 }},
		{name: "a device descriptor of 17 bytes",
			change: func(g *usbtest.Gadget) { g.Descriptor = g.Descriptor[:17] }},
		{name: "a device descriptor of 7 bytes",
			change: func(g *usbtest.Gadget) { g.Descriptor = g.Descriptor[:7] }},
		{name: "a device descriptor of another type",
			change: func(g *usbtest.Gadget) { g.Descriptor[1] = 2 }},
		{name: "a device descriptor with a short length",
			change: func(g *usbtest.Gadget) { g.Descriptor[0] = 8 }},
		{name: "an empty device descriptor", change: func(g *usbtest.Gadget) {
			g.Answer = get(device, func(byte, int) ([]byte, error) { return nil, nil })
		}},
		{name: "no configurations in the device descriptor",
			change: func(g *usbtest.Gadget) { g.Descriptor[17] = 0 },
			found:  true, names: "maker thing"},
		{name: "255 configurations, of which one exists",
			change: func(g *usbtest.Gadget) { g.Descriptor[17] = 255 },
			found:  true, names: "maker thing"},
		{name: "a configuration of 8 bytes",
			change: func(g *usbtest.Gadget) { g.Configs[0] = g.Configs[0][:8] }},
		{name: "a configuration of length 0",
			change: func(g *usbtest.Gadget) { g.Configs[0][2] = 0 }},
		{name: "a configuration of 65,535 bytes, of which most are missing",
			change: func(g *usbtest.Gadget) {
				g.Configs[0][2], g.Configs[0][3] = 0xFF, 0xFF
			}, found: true, names: "maker thing"},
		{name: "a configuration of 65,535 bytes", change: func(g *usbtest.Gadget) {
			g.Configs[0] = append(g.Configs[0], make([]byte, 65535)...)
			g.Configs[0][2], g.Configs[0][3] = 0xFF, 0xFF
		}, found: true, names: "maker thing"},
		{name: "bConfigurationValue 0", change: func(g *usbtest.Gadget) { g.Configs[0][5] = 0 },
			found: true, names: "maker thing"},
		{name: "a configuration whose length changes once", change: func(g *usbtest.Gadget) {
			n := 0
			long := slices.Clone(g.Configs[0])
			g.Answer = get(config, func(byte, int) ([]byte, error) {
				b := slices.Clone(long)
				if n++; n == 1 {
					b[2] = 18
				}
				return b, nil
			})
		}, found: true, names: "maker thing"},
		{name: "a configuration that is longer each time", change: func(g *usbtest.Gadget) {
			n := byte(0)
			long := append(slices.Clone(g.Configs[0]), make([]byte, 255)...)
			g.Answer = get(config, func(byte, int) ([]byte, error) {
				n++
				long[2] = 18 + n
				return slices.Clone(long), nil
			})
		}},
		{name: "a configuration of which only the header can be read",
			change: func(g *usbtest.Gadget) {
				long := g.Configs[0]
				g.Answer = get(config, func(_ byte, n int) ([]byte, error) {
					if n > 9 {
						return nil, nil
					}
					return long, nil
				})
			}},
		{name: "a descriptor of length 0 in the configuration",
			change: func(g *usbtest.Gadget) {
				g.Configs[0][9+
					9] = 0
			}, found: true, names: "maker thing"},
		{name: "an interface descriptor of length 1",
			change: func(g *usbtest.Gadget) { g.Configs[0][9] = 1 }},
		{name: "a configuration without interfaces",
			change: func(g *usbtest.Gadget) { g.Configs[0] = configuration(1) },
			found:  true, names: "maker thing"},
		{name: "300 interfaces", change: func(g *usbtest.Gadget) {
			parts := make([][]byte, 300)
			for i := range parts {
				parts[i] = iface(byte(i), 0, 0xFF)
			}
			g.Configs[0] = configuration(1, parts...)
		}, found: true, names: "maker thing"},
		{name: "SET_CONFIGURATION is stalled", change: func(g *usbtest.Gadget) {
			g.Answer = func(s usb.Setup) ([]byte, error, bool) {
				return nil, usb.ErrStall, s.Request == usb.RequestSetConfiguration
			}
		}},
		{name: "SET_CONFIGURATION has no response", change: func(g *usbtest.Gadget) {
			g.Answer = func(s usb.Setup) ([]byte, error, bool) {
				return nil, usbtest.ErrBlocked, s.Request == usb.RequestSetConfiguration
			}
		}},
		{name: "no languages", change: func(g *usbtest.Gadget) { delete(g.Strings, 0) },
			found: true, names: " "},
		{name: "an empty list of languages",
			change: func(g *usbtest.Gadget) {
				g.Strings[0] = []byte{2, 3}
			}, found: true, names: "maker thing"},
		{name: "a string of an odd length",
			change: func(g *usbtest.Gadget) {
				g.Strings[1] = append(text("maker"),
					'x')
				g.Strings[1][0]++
			}, found: true, names: "maker thing"},
		{name: "a string whose length is too large",
			change: func(g *usbtest.Gadget) { g.Strings[1][0] = 200 },
			found:  true, names: " thing"},
		{name: "a string of length 0",
			change: func(g *usbtest.Gadget) {
				g.Strings[1] = []byte{0, 3}
			}, found: true, names: " thing"},
		{name: "a string that can be read with its exact length only",
			change: func(g *usbtest.Gadget) {
				g.Answer = get(str, func(index byte, n int) ([]byte, error) {
					if n == 255 {
						return nil, usb.ErrStall
					}
					return g.Strings[index], nil
				})
			}, found: true, names: "maker thing"},
		{name: "a string without a response", change: func(g *usbtest.Gadget) {
			g.Answer = get(str, func(index byte, n int) ([]byte, error) {
				if index == 1 {
					return nil, usbtest.ErrBlocked
				}
				return g.Strings[index], nil
			})
		}, found: true, names: " "},
		{name: "no request has a response", change: func(g *usbtest.Gadget) {
			g.Answer = func(usb.Setup) ([]byte, error, bool) {
				return nil, usbtest.ErrBlocked,
					true
			}
		}},
		{name: "each request is stalled", change: func(g *usbtest.Gadget) {
			g.Answer = func(usb.Setup) ([]byte, error, bool) { return nil, usb.ErrStall, true }
		}},
		{name: "a hub without an interface",
			change: func(g *usbtest.Gadget) { g.Descriptor[4] = 9 }},
		{name: "a hub without a status change endpoint", change: func(g *usbtest.Gadget) {
			g.Descriptor[4] = 9
			g.Configs[0] = configuration(1, iface(0, 0, 9))
		}},
		{name: "a hub without a hub descriptor", change: func(g *usbtest.Gadget) {
			g.Descriptor[4] = 9
			g.Configs[0] = configuration(1, append(iface(0, 0, 9), 7, 5, 0x81, 3, 1, 0, 255))
		}},
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
		{name: "255 ports, of which two exist", b: []byte{9, 0x29, 255, 9, 0, 0, 0, 0, 0xFF},
			ports: 31},
		{name: "two bytes", b: []byte{2, 0x29}},
		{name: "no ports", b: []byte{9, 0x29, 0, 9, 0, 0, 0, 0, 0xFF}},
		{name: "255 bytes", b: append([]byte{255, 0x29, 2, 9, 0, 255}, make([]byte, 249)...),
			ports: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
				h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 2,
					Descriptor: c.b})
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

func TestAHubWithEndlessChanges(t *testing.T) {
	// Its status change endpoint reports changes without end, and acknowledgements have no effect.
	answer := func(s usb.Setup) ([]byte, error, bool) {
		return []byte{0x01, 0x01, 0xFF, 0xFF}, nil, s.RequestType == 0xA3
	}
	inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
		h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedFull, Ports: 4, Answer: answer})
		r.c.Plug(1, h)
		r.c.Plug(2, aReader(usb.SpeedFull))
		r.add()
		time.Sleep(longEnough)
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
				r := newRig(t, usbtest.Model{USB2: 1},
					usbhost.Options{Choose: func(_ []byte, configs [][]byte) int { return choice }})
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

func TestTheConfigurationThatIsChosenWithoutChoose(t *testing.T) {
	vendor, storage := iface(0, 0, 0xFF, 0x81), iface(0, 0, 8, 0x81)
	for _, c := range []struct {
		name    string
		configs [][]byte
		want    byte // bConfigurationValue
	}{
		{name: "the first one", want: 3,
			configs: [][]byte{configuration(3, storage), configuration(1, storage)}},
		{name: "one that is not vendor-specific", want: 2,
			configs: [][]byte{configuration(1, vendor), configuration(2, storage)}},
		{name: "the first one if all are vendor-specific", want: 1,
			configs: [][]byte{configuration(1, vendor), configuration(2, vendor)}},
		{name: "value 0 last", want: 1,
			configs: [][]byte{configuration(0, storage), configuration(1, vendor)}},
		{name: "value 0 if there is no other", want: 0,
			configs: [][]byte{configuration(0, vendor), configuration(0, storage)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
				g := gadget()
				g.Descriptor[17], g.Configs = byte(len(c.configs)), c.configs
				selected := []byte{}
				g.Answer = func(s usb.Setup) ([]byte, error, bool) {
					if s.Request == usb.RequestSetConfiguration {
						selected = append(selected, byte(s.Value))
					}
					return nil, nil, false
				}
				r.c.Plug(1, g)
				r.add()
				r.settle()
				if !slices.Equal(selected, []byte{c.want}) {
					t.Errorf("selected: %d, want %d", selected, c.want)
				}
			})
		})
	}
}

// TestADeviceThatRespondsLateAfterAReset has devices that do not respond at the default address for
// longer than the 10 ms of USB 2.0, 7.1.7.5: each attempt waits longer than the one before.
func TestADeviceThatRespondsLateAfterAReset(t *testing.T) {
	for _, silence := range []int{9, 20, 45, 100, 140} {
		for _, behindHub := range []bool{false, true} {
			name := fmt.Sprintf("%d ms, behind a hub: %v", silence, behindHub)
			t.Run(name, func(t *testing.T) {
				inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
					g := gadget()
					g.Silence = ms(silence)
					want := "1"
					if behindHub {
						h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4})
						h.Plug(3, g)
						r.c.Plug(1, h)
						want = "1 1.3"
					} else {
						r.c.Plug(1, g)
					}
					r.add()
					r.settle()
					r.wantPlaces(want)
				})
			})
		}
	}
}
