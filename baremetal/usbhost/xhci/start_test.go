package xhci

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
)

func TestControllersThatDoNotStart(t *testing.T) {
	for _, k := range []struct {
		name   string
		o      xhcitest.Options
		limit  int // of memory
		want   error
		within time.Duration
	}{
		{name: "never ready (CNR)", o: xhcitest.Options{Faults: xhcitest.Faults{NeverReady: true}},
			want: errNotReady, within: 12 * time.Second},
		{name: "reset without end", o: xhcitest.Options{Faults: xhcitest.Faults{NeverReset: true}},
			want: errNoReset, within: 3 * time.Second},
		{name: "does not stop", o: xhcitest.Options{Faults: xhcitest.Faults{NeverHalts: true}},
			want: errNoHalt, within: time.Second},
		{name: "does not run", o: xhcitest.Options{Faults: xhcitest.Faults{NeverRuns: true}},
			want: errNoRun, within: 3 * time.Second},
		{name: "no page size",
			o: xhcitest.Options{Scratchpads: 1,
				Faults: xhcitest.Faults{Read: map[uint32]uint32{0x48: 0}}}, want: ErrRegisters,
			within: time.Second},
		{name: "no memory at all", limit: 1, want: usbhost.ErrNoMemory, within: time.Second},
		{name: "no memory for scratchpads", o: xhcitest.Options{Scratchpads: 1000}, limit: 100_000,
			want: usbhost.ErrNoMemory, within: time.Second},
	} {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k.o.Fail = t.Errorf
				mem := xhcitest.NewMemory(busBase, t.Errorf)
				mem.Limit(k.limit)
				hw := xhcitest.New(mem, k.o)
				began := time.Now()
				c, err := New(hw, mem, hcd.Options{Size: xhcitest.Size})
				if c != nil || !errors.Is(err, k.want) {
					t.Errorf("%v", err)
				}
				if d := time.Since(began); d > k.within {
					t.Errorf("after %v", d)
				}
				if k.want == errNoRun || k.want == usbhost.ErrNoMemory || k.want == ErrRegisters {
					if n := mem.InUse(); n != 0 {
						t.Errorf("%d bytes not given back", n)
					}
				}
				hw.Close()
			})
		})
	}
}

func TestMemoryThatTheControllerCannotAddress(t *testing.T) {
	for _, wide := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			mem := xhcitest.NewMemory(0xFFFF_F000, t.Errorf)
			hw := xhcitest.New(mem, xhcitest.Options{Wide: wide, Fail: t.Errorf})
			c, err := New(hw, mem, hcd.Options{})
			switch {
			case wide && err != nil:
				t.Error(err)
			case wide:
				b := (&rig{t: t, c: c, hw: hw, mem: mem}).bench()
				b.works(bulkIn)
				c.Close()
			case !errors.Is(err, usbhost.ErrNoMemory) || mem.InUse() != 0:
				t.Errorf("%v, %d bytes out", err, mem.InUse())
			}
			hw.Close()
		})
	}
}

func TestFirmwareThatDoesNotRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := xhcitest.NewMemory(busBase, t.Errorf)
		hw := xhcitest.New(mem,
			xhcitest.Options{Firmware: true, Fail: t.Errorf,
				Faults: xhcitest.Faults{KeepsFirmware: true}})
		messages := ""
		began := time.Now()
		c, err := New(hw, mem, hcd.Options{Report: func(s string) { messages += s }})
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < time.Second || d > 2*time.Second ||
			!strings.Contains(messages, "firmware") {
			t.Errorf("after %v: %q", d, messages)
		}
		if v := hw.Read32(0x4000); v&0x01010000 != 0x01000000 {
			t.Errorf("USBLEGSUP %#x", v)
		}
		if v := hw.Read32(0x4004); v != 0 {
			t.Errorf("SMIs %#x", v)
		}
		c.Close()
		hw.Close()
	})
}
