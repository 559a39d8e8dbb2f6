package usbhost_test

import (
	"testing"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// Times of the specification, and of the transfers of the virtual controller, in ms.
const (
	debounce        = 100 // USB 2.0, 7.1.7.3
	rootReset       = 50  // 7.1.7.5
	hubReset        = 10
	resetRecovery   = 10 // 7.1.7.5
	addressRecovery = 2  // 9.2.6.3
	rootPower       = 20 // xHCI 1.2, 5.4.8
	address         = 1  // of the virtual controller
	control         = 1  // each
	training        = 15

	// Device descriptor, configuration twice, languages, three strings, SET_CONFIGURATION.
	questions = 1 + 2 + 1 + 3 + 1
)

func TestAReaderIsOfferedAfterTheSpecifiedMinimum(t *testing.T) {
	const usb2 = debounce + rootReset + resetRecovery + address + addressRecovery +
		questions*control
	for _, c := range []struct {
		name  string
		model usbtest.Model
		speed usb.Speed
		want  int
	}{
		{name: "full speed, whose packet size is read first", model: usbtest.Model{USB2: 2},
			speed: usb.SpeedFull, want: usb2 + control},
		{name: "low speed", model: usbtest.Model{USB2: 2}, speed: usb.SpeedLow, want: usb2},
		{name: "high speed", model: usbtest.Model{USB2: 2}, speed: usb.SpeedHigh, want: usb2},
		{name: "high speed on a port that is switched on first",
			model: usbtest.Model{USB2: 2, PowerOff: true}, speed: usb.SpeedHigh,
			want: rootPower + usb2},
		{name: "SuperSpeed, without debouncing and reset", model: usbtest.Model{USB3: 1},
			speed: usb.SpeedSuper,
			want:  training + address + addressRecovery + questions*control},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.model, func(t *testing.T, r *rig) {
				r.c.Plug(1, aReader(c.speed))
				r.add()
				r.settle()
				all := r.offers()
				if len(all) != 1 || all[0].at != ms(c.want) {
					t.Errorf("%v, not after %v; %q\n%s", all, ms(c.want), r.log(),
						describe(r.c.Log()))
				}
				r.wantPlaces("1")
			})
		})
	}
}

func TestEightReadersOnEightPortsOverlap(t *testing.T) {
	// Debouncing, resets and descriptors overlap. The times at the default address do not:
	// recovery, address, recovery, and 3 ms of the estimate.
	const window = resetRecovery + address + addressRecovery + 3
	const one = debounce + rootReset + resetRecovery + address + addressRecovery + (questions+
		1)*control
	for _, c := range []struct {
		name  string
		speed usb.Speed
		model usbtest.Model
		most  int
	}{
		{name: "full speed", speed: usb.SpeedFull, model: usbtest.Model{USB2: 8}, most: one +
			7*window},
		{name: "resets that end at once", speed: usb.SpeedFull,
			model: usbtest.Model{USB2: 8, ResetTime: time.Microsecond}, most: one + 7*window},
		{name: "SuperSpeed", speed: usb.SpeedSuper, model: usbtest.Model{USB3: 8}, most: training +
			8*address + addressRecovery + questions*control},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.model, func(t *testing.T, r *rig) {
				for n := range 8 {
					r.c.Plug(n+1, aReader(c.speed))
				}
				r.add()
				r.settle()
				all := r.offers()
				if len(all) != 8 {
					t.Fatalf("%d offers: %q", len(all), r.log())
				}
				if last := all[7].at; last > ms(c.most) {
					t.Errorf("the last one after %v, more than %v\n%s", last, ms(c.most),
						describe(r.c.Log()))
				}
				if n := r.c.Collisions(); n != 0 {
					t.Errorf("%d devices came to the default address while another one was there",
						n)
				}
				if resets := r.steps("reset"); c.speed != usb.SpeedSuper && resets != 8 {
					t.Errorf("%d resets for 8 devices", resets)
				}
			})
		})
	}
}

// TestRootPortsWaitUntilTheirPowerIsGood: the time is the controller's. Debouncing starts after it.
func TestRootPortsWaitUntilTheirPowerIsGood(t *testing.T) {
	for _, good := range []time.Duration{ms(20), ms(70)} {
		m := usbtest.Model{USB2: 1, PowerOff: true, PowerGood: good}
		inBubble(t, m, func(t *testing.T, r *rig) {
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.add()
			r.settle()
			for _, s := range r.c.Log() {
				if s.Do != "reset" {
					continue
				}
				if s.At != good+ms(100) {
					t.Errorf("power good after %v: reset after %v", good, s.At)
				}
				return
			}
			t.Error("no reset")
		})
	}
}
