package usbhost_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// rig is a bus with a virtual controller.
type rig struct {
	t     *testing.T
	c     *usbtest.Controller
	b     *usbhost.Bus
	start time.Time

	mu       sync.Mutex
	events   []string
	offered  []offer
	attached int // class drivers that have not returned
}

// offer is an interface and when it was offered.
type offer struct {
	i  *usbhost.Interface
	at time.Duration
}

// inBubble runs f with a rig in virtual time. It checks that the bus violated no rule and released
// all resources.
func inBubble(t *testing.T, m usbtest.Model, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, m, usbhost.Options{})
		defer r.close()
		f(t, r)
	})
}

func newRig(t *testing.T, m usbtest.Model, o usbhost.Options) *rig {
	r := &rig{t: t, c: usbtest.New(m), start: time.Now()}
	if o.Attach == nil {
		o.Attach = func(ctx context.Context, i *usbhost.Interface) {
			i.Ready()
			<-ctx.Done()
		}
	}
	attach := o.Attach
	o.Attach = func(ctx context.Context, i *usbhost.Interface) {
		r.mu.Lock()
		r.offered = append(r.offered, offer{i, time.Since(r.start)})
		r.attached++
		r.mu.Unlock()
		attach(ctx, i)
		r.mu.Lock()
		r.attached--
		r.mu.Unlock()
	}
	o.Report = func(e usbhost.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		line := e.Path + ": " + e.Kind.String()
		if e.Err != nil {
			line += ": " + e.Err.Error()
		}
		r.events = append(r.events, line)
	}
	r.b = usbhost.New(o)
	return r
}

// add puts the controller on the bus.
func (r *rig) add() {
	r.t.Helper()
	if err := r.b.Add(r.c); err != nil {
		r.t.Fatal(err)
	}
}

// longEnough is longer than any bounded wait of the bus.
const longEnough = time.Minute

func (r *rig) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), longEnough)
	defer cancel()
	synctest.Wait() // events that have happened were handled
	if err := r.b.Settle(ctx); err != nil {
		r.t.Fatalf("not settled: %v; %q", err, r.log())
	}
}

// close closes the bus and checks that all resources were released.
func (r *rig) close() {
	r.t.Helper()
	if err := r.b.Close(); err != nil {
		r.t.Error(err)
	}
	for _, v := range r.c.Violations() {
		r.t.Errorf("violation: %s", v)
	}
	if n := r.c.Slots(); n != 0 {
		r.t.Errorf("%d places are still taken", n)
	}
	if r.attached != 0 {
		r.t.Errorf("%d class drivers run after Close", r.attached)
	}
}

func (r *rig) log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.events...)
}

// happened counts the events that contain a text.
func (r *rig) happened(text string) (n int) {
	for _, e := range r.log() {
		if strings.Contains(e, text) {
			n++
		}
	}
	return n
}

// offers are the interfaces that were offered.
func (r *rig) offers() []offer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]offer(nil), r.offered...)
}

// last is the interface that was offered last.
func (r *rig) last() *usbhost.Interface {
	r.t.Helper()
	all := r.offers()
	if len(all) == 0 {
		r.t.Fatalf("nothing was offered: %q", r.log())
	}
	return all[len(all)-1].i
}

// places are the devices on the bus, by the port numbers on the path.
func (r *rig) places() string {
	var s []string
	for _, d := range r.b.Devices() {
		_, place, _ := strings.Cut(d.Device.Path, "port ")
		s = append(s, place)
	}
	return strings.Join(s, " ")
}

// wantPlaces compares places.
func (r *rig) wantPlaces(want string) {
	r.t.Helper()
	if got := r.places(); got != want {
		r.t.Errorf("devices at %q, not %q; %q", got, want, r.log())
	}
}

// at is a virtual reader of a speed, with a card.
func at(speed usb.Speed) *reader.Device {
	m := reader.New(reader.ShortAPDU)
	m.Speed = speed
	d := reader.NewDevice(m)
	d.Reader(0).Insert(0, card.T1())
	return d
}

func aReader(speed usb.Speed) usbtest.Device { return usbtest.Reader(at(speed)) }

// gadget is a full-speed device with an interface of class FFh and two bulk endpoints.
func gadget() *usbtest.Gadget {
	return &usbtest.Gadget{At: usb.SpeedFull,
		Descriptor: []byte{18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 3, 0, 0, 1, 1, 2, 0, 1},
		Configs:    [][]byte{configuration(1, iface(0, 0, 0xFF, 0x81, 0x02))},
		Strings:    map[uint8][]byte{0: {4, 3, 9, 4}, 1: text("maker"), 2: text("thing")},
	}
}

// configuration puts a configuration descriptor in front of others.
func configuration(value byte, parts ...[]byte) []byte {
	b := []byte{9, 2, 0, 0, byte(len(parts)), value, 0, 0x80, 50}
	for _, p := range parts {
		b = append(b, p...)
	}
	b[2], b[3] = byte(len(b)), byte(len(b)>>8)
	return b
}

// iface is an interface with bulk endpoints of 64 bytes.
func iface(number, alt, class byte, endpoints ...byte) []byte {
	b := []byte{9, 4, number, alt, byte(len(endpoints)), class, 0, 0, 0}
	for _, e := range endpoints {
		b = append(b, 7, 5, e, 2, 64, 0, 0)
	}
	return b
}

func text(s string) []byte {
	b := []byte{byte(2 + 2*len(s)), 3}
	for _, c := range []byte(s) {
		b = append(b, c, 0)
	}
	return b
}

// steps counts the steps of a kind, or the control transfers with a request type and request.
func (r *rig) steps(do string, request ...byte) (n int) {
	for _, s := range r.c.Log() {
		if s.Do == do &&
			(len(request) < 2 || s.Setup.RequestType == request[0] &&
				s.Setup.Request == request[1]) {
			n++
		}
	}
	return n
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func describe(log []usbtest.Step) string {
	var b strings.Builder
	for _, s := range log {
		fmt.Fprintf(&b, "%v %s %s %+v\n", s.At, s.Port, s.Do, s.Setup)
	}
	return b.String()
}
