//go:build !tamago && !race

package usbio

import (
	"testing"
	"time"

	"tamaccid/uefi/uefitest"
)

func TestTransferAllocatesNothing(t *testing.T) {
	f := reader(t)
	tr := f.open()
	f.Log = make([]string, 0, 1000)
	buf, ctx := make([]byte, 320), bg
	empty := testing.AllocsPerRun(100, func() {
		f.streams = append(f.streams[:0], answer{Data: buf[:10]})
		f.Log = f.Log[:0]
		tr.io.Bulk(&tr.pipes[0x82].transfer, 0x82, 1000, buf)
	})
	got := testing.AllocsPerRun(100, func() {
		f.streams = append(f.streams[:0], answer{Data: buf[:10]})
		f.Log = f.Log[:0]
		if n, err := tr.In(ctx, 0x82, buf, time.Second); n != 10 || err != nil {
			t.Fatal(n, err)
		}
	})
	if got > empty {
		t.Errorf("%v allocations beside the %v of the test's firmware", got-empty, empty)
	}
}

func TestANotificationCostsNoMemory(t *testing.T) {
	f := reader(t)
	tr := f.open()
	uefitest.Must(t, tr.Listen(2))
	seen := 0
	take := func(b []byte) { seen += len(b) }
	if n := testing.AllocsPerRun(100, func() {
		f.send(0x50, 3)
		tr.Notifications(take)
	}); n != 0 || seen == 0 {
		t.Errorf("%v allocations", n)
	}
}
