package ccid

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sim "tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

func TestMatch(t *testing.T) {
	model := func(change func(m *sim.Model)) []byte {
		m := sim.New(sim.TPDU)
		change(&m)
		return m.ConfigDescriptor()
	}
	for _, c := range []struct {
		name   string
		config []byte
		number uint8
		alt    uint8
		ok     bool
	}{
		{name: "a reader", config: model(func(*sim.Model) {}), ok: true},
		{name: "another interface of it", config: model(func(*sim.Model) {}), number: 1},
		{name: "a vendor-specific reader", ok: true,
			config: model(func(m *sim.Model) { m.Functions[0].Class = sim.ClassVendor })},
		{name: "a vendor-specific interface without a class descriptor",
			config: model(func(m *sim.Model) {
				m.Functions[0].Class, m.Functions[0].CCID = sim.ClassVendor, nil
			})},
		{name: "class 0x0B without a class descriptor: Open reports it", ok: true,
			config: model(func(m *sim.Model) { m.Functions[0].CCID = nil })},
		{name: "a keyboard with a reader's class descriptor",
			config: model(func(m *sim.Model) { m.Functions[0].Class = 3 })},
		{name: "a reader in alternate setting 1, class 0x0B in both settings", alt: 1, ok: true,
			config: model(func(m *sim.Model) { m.Functions[0].Setting = 1 })},
		{name: "a vendor-specific reader in alternate setting 2", alt: 2, ok: true,
			config: model(func(m *sim.Model) {
				m.Functions[0].Class, m.Functions[0].Setting = sim.ClassVendor, 2
			})},
		{name: "a reader in alternate setting 1 of the second interface", number: 1, alt: 1,
			ok: true,
			config: model(func(m *sim.Model) {
				m.Functions = []sim.Function{{Class: 3, Endpoints: 1}, m.Functions[0]}
				m.Functions[1].Setting = 1
			})},
		{name: "no configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if alt, ok := Match(c.config, c.number); alt != c.alt || ok != c.ok {
				t.Errorf("setting %d, %v; want %d, %v", alt, ok, c.alt, c.ok)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	one := func(value byte, change func(m *sim.Model)) []byte {
		m := sim.New(sim.TPDU)
		change(&m)
		b := m.ConfigDescriptor()
		b[5] = value
		return b
	}
	reader := func(m *sim.Model) {}
	vendorReader := func(m *sim.Model) { m.Functions[0].Class = sim.ClassVendor }
	other := func(class byte) func(m *sim.Model) {
		return func(m *sim.Model) { m.Functions[0].Class, m.Functions[0].CCID = class, nil }
	}
	for _, c := range []struct {
		name    string
		configs [][]byte
		want    int
	}{
		{name: "storage, then a reader", want: 1,
			configs: [][]byte{one(1, other(8)), one(2, reader)}},
		{name: "a vendor-specific reader, then network", want: 0,
			configs: [][]byte{one(1, vendorReader), one(2, other(2))}},
		{name: "a reader with value 0, then a vendor-specific interface", want: 0,
			configs: [][]byte{one(0, reader), one(1, other(0xFF))}},
		{name: "no reader", want: -1, configs: [][]byte{one(1, other(8)), one(2, other(2))}},
		{name: "damaged configurations", want: -1, configs: [][]byte{nil, {9}, {9, 2, 9, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := Choose(nil, c.configs); n != c.want {
				t.Errorf("%d, want %d", n, c.want)
			}
		})
	}
}

func TestScreen(t *testing.T) {
	for _, c := range []struct {
		name  string
		class uint8
		want  Likelihood
	}{
		{name: "a reader", class: 0x0B, want: CertainReader},
		{name: "a vendor-specific interface", class: 0xFF, want: PerhapsReader},
		{name: "a keyboard", class: 3, want: NotReader},
		{name: "a storage device", class: 8, want: NotReader},
	} {
		if got := Screen(c.class); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestUnitsAreTheLowestFreeNumbers(t *testing.T) {
	var u Units
	take := func(want int) {
		t.Helper()
		if n := u.Take(); n != want {
			t.Errorf("unit %d, want %d", n, want)
		}
	}
	take(0)
	take(1)
	take(2)
	u.Release(1)
	take(1)
	take(3)
	u.Release(0)
	u.Release(2)
	take(0)
	take(2)
}

// port is an interface on a host of the test: one device. log is the order of what happens.
type port struct {
	device *sim.Device
	claims []error // of the next calls of ClaimSetting; nil succeeds
	log    []string
}

func (p *port) note(format string, a ...any) { p.log = append(p.log, fmt.Sprintf(format, a...)) }

func (p *port) Device() *usb.Device {
	m := p.device.Model()
	return &usb.Device{Descriptor: m.DeviceDescriptor(), Config: m.ConfigDescriptor()}
}

func (p *port) ClaimSetting(_ context.Context, alt uint8) (usb.Transport, error) {
	p.note("claim %d", alt)
	if len(p.claims) > 0 {
		err := p.claims[0]
		if p.claims = p.claims[1:]; err != nil {
			return nil, err
		}
	}
	t, err := p.device.Open(0)
	return &closing{t, p}, err
}

func (p *port) Ready() { p.note("ready") }

type closing struct {
	usb.Transport
	p *port
}

func (c *closing) Close() error {
	c.p.note("close")
	return c.Transport.Close()
}

// TestServe has a case for each end of a reader's life.
func TestServe(t *testing.T) {
	induced := errors.New("induced")
	for _, c := range []struct {
		name   string
		change func(p *port, s *Service, unplug func())
		model  func(m *sim.Model)
		want   string // what happens, in its order
		err    error
		panics bool
	}{
		{name: "the device is unplugged", want: "claim 0, attached, ready, detached, close",
			change: func(p *port, _ *Service, unplug func()) {
				time.AfterFunc(time.Minute, unplug)
			}},
		{name: "it is an alternate setting", want: "claim 1, attached, ready, detached, close",
			model: func(m *sim.Model) { m.Functions[0].Setting = 1 },
			change: func(p *port, _ *Service, unplug func()) {
				time.AfterFunc(time.Minute, unplug)
			}},
		{name: "it is not a reader", want: "", err: ErrNotReader,
			model: func(m *sim.Model) { m.Functions[0].Class = 3 }},
		{name: "the interface is claimed", want: "claim 0", err: induced,
			change: func(p *port, _ *Service, _ func()) { p.claims = []error{induced} }},
		{name: "its descriptors are wrong", want: "claim 0, close", err: ErrDescriptor,
			model: func(m *sim.Model) { m.Functions[0].CCID = nil }},
		{name: "the program refuses it", want: "claim 0, attached, detached, close", err: induced,
			change: func(p *port, s *Service, _ func()) {
				s.Attached = func(*Reader) error { p.note("attached"); return induced }
			}},
		{name: "the program panics", want: "claim 0, attached, detached, close", panics: true,
			change: func(p *port, s *Service, _ func()) {
				s.Attached = func(*Reader) error { p.note("attached"); panic(induced) }
			}},
		{name: "the device is unplugged while the reader is opened", want: "claim 0",
			change: func(p *port, _ *Service, unplug func()) {
				p.claims = []error{induced}
				unplug()
			}},
		{name: "two attempts fail, the third succeeds",
			want: "claim 0, failed 1, ready, claim 0, failed 2, ready, claim 0, attached, ready, " +
				"detached, close",
			change: func(p *port, s *Service, unplug func()) {
				p.claims = []error{induced, induced}
				s.Retry = func(err error, failed int) bool {
					p.note("failed %d", failed)
					return errors.Is(err, induced)
				}
				time.AfterFunc(time.Minute, unplug)
			}},
		{name: "the device is unplugged between two attempts", want: "claim 0, ready",
			change: func(p *port, s *Service, unplug func()) {
				p.claims = []error{induced}
				s.Retry = func(error, int) bool { return true }
				time.AfterFunc(attachRetry/2, unplug)
			}},
		{name: "a failure that is not repeated", want: "claim 0", err: induced,
			change: func(p *port, s *Service, unplug func()) {
				p.claims = []error{induced}
				s.Retry = func(error, int) bool { return false }
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := sim.New(sim.TPDU)
				if c.model != nil {
					c.model(&m)
				}
				p, units := &port{device: sim.NewDevice(m)}, new(Units)
				units.Take() // another reader's
				s := Service{
					Options: Options{Notifications: true},
					Units:   units,
					Attached: func(r *Reader) error {
						p.note("attached")
						if !strings.HasSuffix(r.Name(), " 1") {
							t.Errorf("the reader is %q", r.Name())
						}
						return nil
					},
					Detached: func(r *Reader) {
						p.note("detached")
						if n := units.Take(); n != 1 {
							t.Errorf("the number is not free: the next reader has %d", n)
						}
						units.Release(1)
					},
				}
				ctx, unplug := context.WithCancel(t.Context())
				defer unplug()
				if c.change != nil {
					c.change(p, &s, unplug)
				}
				err := func() (err error) {
					defer func() {
						if v := recover(); (v != nil) != c.panics {
							t.Errorf("panic: %v", v)
						}
					}()
					return Serve(ctx, p, s)
				}()
				if !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if got := strings.Join(p.log, ", "); got != c.want {
					t.Errorf("%s\nwant %s", got, c.want)
				}
				if n := slices.Index(units.taken, false); n != 1 && len(units.taken) > 1 {
					t.Errorf("numbers %v are taken", units.taken)
				}
			})
		})
	}
}
