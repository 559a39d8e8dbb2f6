package native_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/sclib"
	"tamaccid/sclib/native"
)

// wakeLimit is how long after an event GetStatusChange may return.
const wakeLimit = 5 * time.Millisecond

// onBus is a reader on a USB host, the backend of that host and a context.
func onBus(t *testing.T, kind string) (*reader.Device, *usbtest.Controller, *sclib.Context) {
	t.Helper()
	m, err := reader.Named(kind)
	if err != nil {
		t.Fatal(err)
	}
	d, c := reader.NewDevice(m), usbtest.New(usbtest.Model{USB2: 2})
	c.Plug(1, usbtest.Reader(d))
	b, err := native.New(native.Options{Start: board(c)})
	if err != nil {
		t.Fatal(err)
	}
	sc := sclib.New(b)
	t.Cleanup(func() { sc.Release() })
	return d, c, sc
}

// now are the states of a reader and of the list of readers, for the next call of GetStatusChange.
func now(t *testing.T, sc *sclib.Context, names ...string) []sclib.ReaderState {
	t.Helper()
	var states []sclib.ReaderState
	for _, n := range names {
		states = append(states, sclib.ReaderState{Reader: n})
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	// For the list of readers alone, it has no reason to return.
	_ = sc.GetStatusChange(short, states)
	for i := range states {
		states[i].CurrentState = states[i].EventState &^ sclib.StateChanged
	}
	return states
}

// commands counts the commands that a reader gets from now on.
func commands(d *reader.Device) *atomic.Int32 {
	n := new(atomic.Int32)
	d.Inject(reader.Fault{At: reader.AtCommand, Times: reader.Forever,
		Do: []reader.Action{func(*reader.Event) { n.Add(1) }}})
	return n
}

func TestCardEventsWakeGetStatusChange(t *testing.T) {
	const wait = time.Minute
	for _, c := range []struct {
		name   string
		kind   string
		before func(t *testing.T, d *reader.Device, sc *sclib.Context)
		event  func(d *reader.Device)
		want   sclib.StateFlags
		within time.Duration
		silent bool // no command is sent while GetStatusChange waits
	}{
		{name: "a card is inserted", kind: "tpdu", within: wakeLimit, silent: true,
			want:  sclib.StatePresent | sclib.StateUnpowered,
			event: func(d *reader.Device) { d.Reader(0).Insert(0, card.T1()) }},
		{name: "a card is removed", kind: "tpdu", within: wakeLimit, silent: true,
			want: sclib.StateEmpty,
			before: func(t *testing.T, d *reader.Device, _ *sclib.Context) {
				d.Reader(0).Insert(0, card.T1())
			},
			event: func(d *reader.Device) { d.Reader(0).Remove(0) }},
		{name: "a card in use is removed", kind: "tpdu", within: wakeLimit, silent: true,
			want: sclib.StateEmpty | sclib.StateInUse,
			before: func(t *testing.T, d *reader.Device, sc *sclib.Context) {
				d.Reader(0).Insert(0, card.T1())
				_, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
				if err != nil {
					t.Fatal(err)
				}
			},
			event: func(d *reader.Device) { d.Reader(0).Remove(0) }},
		{name: "a card is inserted into the last slot of four", kind: "slots", within: wakeLimit,
			silent: true,
			want:   sclib.StatePresent | sclib.StateUnpowered,
			event:  func(d *reader.Device) { d.Reader(0).Insert(3, card.T1()) }},
		{name: "a reader without an interrupt endpoint", kind: "two-endpoints",
			within: 250 * time.Millisecond,
			want:   sclib.StatePresent | sclib.StateUnpowered,
			event:  func(d *reader.Device) { d.Reader(0).Insert(0, card.T1()) }},
		{name: "a reader whose interrupt endpoint fails for good", kind: "tpdu",
			within: 300 * time.Millisecond,
			want:   sclib.StatePresent | sclib.StateUnpowered,
			before: func(t *testing.T, d *reader.Device, _ *sclib.Context) {
				d.Inject(reader.Fault{At: reader.AtNotify, Times: reader.Forever,
					Do: []reader.Action{reader.Corrupt()}})
				for range 12 { // ccid's Listen ends with the 11th failure in a row
					d.Reader(0).Insert(0, card.T1())
					time.Sleep(150 * time.Millisecond)
					d.Reader(0).Remove(0)
					time.Sleep(150 * time.Millisecond)
				}
			},
			event: func(d *reader.Device) { d.Reader(0).Insert(0, card.T1()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, sc := onBus(t, c.kind)
				if c.before != nil {
					c.before(t, d, sc)
					time.Sleep(time.Second)
				}
				watched := name
				if c.kind == "slots" {
					watched += ", 3"
				}
				states := now(t, sc, watched)
				sent := commands(d)
				done := make(chan error, 1)
				go func() { done <- sc.GetStatusChange(t.Context(), states) }()
				time.Sleep(wait)
				if n := sent.Load(); n > 0 && c.silent || len(done) > 0 {
					t.Errorf("%d commands in a minute without events; returned: %d", n, len(done))
				}
				start := time.Now()
				c.event(d)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("returned after %v", took)
				}
				if got := states[0].EventState & 0xFFFF; got != c.want|sclib.StateChanged {
					t.Errorf("state %#x, want %#x", got, c.want)
				}
			})
		})
	}
}

func TestReadersThatComeAndGoWakeGetStatusChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backend(t)
		sc := sclib.New(b)
		defer sc.Release()
		woken := func(names ...string) func() {
			states := now(t, sc, names...)
			done := make(chan time.Time, 1)
			go func() {
				if err := sc.GetStatusChange(t.Context(), states); err != nil {
					t.Error(err)
				}
				done <- time.Now()
			}()
			time.Sleep(time.Minute)
			return func() {
				t.Helper()
				if took := -time.Until(<-done); took != 0 {
					t.Errorf("returned %v ago", took)
				}
			}
		}
		d := reader.NewDevice(reader.New(reader.TPDU))
		for range 2 {
			wait := woken(sclib.PnPNotification)
			start := time.Now()
			detach := attach(t, b, &port{device: d})
			wait()
			if took := time.Since(start); took > wakeLimit {
				t.Errorf("a reader came: returned after %v", took)
			}
			for _, watched := range []string{sclib.PnPNotification, name} {
				wait := woken(watched)
				start = time.Now()
				if err := detach(); err != nil {
					t.Fatal(err)
				}
				wait()
				if took := time.Since(start); took > wakeLimit {
					t.Errorf("a reader went, %s: returned after %v", watched, took)
				}
				detach = attach(t, b, &port{device: d})
			}
			wait = woken(name)
			start = time.Now()
			d.Unplug() // the host takes its time to end the context
			wait()
			if took := time.Since(start); took > wakeLimit {
				t.Errorf("a reader was unplugged: returned after %v", took)
			}
			d.Replug()
			if err := detach(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNoReaderIsAskedWhileNothingWaits(t *testing.T) {
	for _, kind := range []string{"tpdu", "two-endpoints", "iccd-b"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, sc := onBus(t, kind)
				now(t, sc, name)
				sent := commands(d)
				time.Sleep(time.Minute)
				if n := sent.Load(); n > 0 {
					t.Errorf("%d commands", n)
				}
			})
		})
	}
}
