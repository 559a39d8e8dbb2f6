package native_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/sclib"
)

// TestNotificationsThatAreReadLaterWakeGetStatusChange adds a reader whose interrupt endpoint is
// read only from some time after Add on.
func TestNotificationsThatAreReadLaterWakeGetStatusChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := reader.NewDevice(reader.New(reader.TPDU)), backend(t)
		transport, err := d.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ccid.Open(t.Context(), transport, ccid.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.Add(r)
		sc := sclib.New(b)
		defer sc.Release()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Listen(ctx)
		time.Sleep(time.Second)

		states := now(t, sc, name)
		limited, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		done := make(chan error, 1)
		go func() { done <- sc.GetStatusChange(limited, states) }()
		time.Sleep(10 * time.Second)
		start := time.Now()
		d.Reader(0).Insert(0, card.T1())
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 300*time.Millisecond {
			t.Errorf("returned after %v", took)
		}
	})
}

// TestReaderWhoseNotificationsEndIsNotAskedWhileNothingWaits has the interrupt endpoint fail until
// the class driver reads it no more.
func TestReaderWhoseNotificationsEndIsNotAskedWhileNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, sc := onBus(t, "tpdu")
		now(t, sc, name)
		d.Inject(reader.Fault{At: reader.AtNotify, Times: reader.Forever,
			Do: []reader.Action{reader.Corrupt()}})
		for range 12 { // ccid's Listen ends with the 11th failure in a row
			d.Reader(0).Insert(0, card.T1())
			time.Sleep(150 * time.Millisecond)
			d.Reader(0).Remove(0)
			time.Sleep(150 * time.Millisecond)
		}
		sent := commands(d)
		time.Sleep(time.Minute)
		if n := sent.Load(); n > 0 {
			t.Errorf("%d commands in a minute in which nothing waits", n)
		}
	})
}
