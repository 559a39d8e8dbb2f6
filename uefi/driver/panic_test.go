//go:build linux && !tamago

package driver

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
	"tamaccid/uefi/pcihost"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

// injectedPanic is a panic of a test's.
type injectedPanic struct{}

// attempt calls a function as package gate does: a panic is EFI_DEVICE_ERROR.
//
//go:uintptrescapes
func attempt(f func(*gate.Args) uefi.Status, args ...uintptr) (st uefi.Status) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			st = uefi.DeviceError
		}
	}()
	return f(gate.NewArgs(args...))
}

// readOnly is a page that can be read, and not written.
func readOnly(t *testing.T) uintptr {
	b, err := syscall.Mmap(-1, 0, uefi.PageSize, syscall.PROT_READ,
		syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(b) })
	return addr(&b[0])
}

func TestConnectThatPanicsLeavesTheReaderFree(t *testing.T) {
	reader := [3]uintptr{uintptr(smartcard.AccessReader)}
	card := [3]uintptr{uintptr(smartcard.AccessCard), uintptr(smartcard.ColdReset),
		uintptr(smartcard.T1)}
	for _, c := range []struct {
		name   string
		args   [3]uintptr
		broken bool // the slot panics
		active bool // the caller's memory can be written
	}{
		{name: "the reader, the caller's memory cannot be written", args: reader},
		{name: "a card, the caller's memory cannot be written", args: card},
		{name: "a card, a panic in the class driver", args: card, broken: true, active: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r, f := fakeReader(t)
			broken := c.broken
			f.connect = func(ccid.Protocol, ccid.Action) (ccid.Protocol, error) {
				if broken {
					panic(injectedPanic{})
				}
				return ccid.T1, nil
			}
			good, at := place(t, smartcard.Protocol(77)), readOnly(t)
			if c.active {
				at = addr(good)
			}
			if st := attempt(d.connect, r.address(), c.args[0], c.args[1], c.args[2],
				at); st == uefi.Success {
				t.Fatal("no failure")
			}
			if r.held != 0 || *good != 77 {
				t.Errorf("taken by %d, active protocol %v", r.held, *good)
			}
			broken = false
			check(t, attempt(d.connect, r.address(), c.args[0], c.args[1], c.args[2],
				addr(good)))
		})
	}
}

func TestDisconnectThatPanicsLeavesTheReaderFree(t *testing.T) {
	d, r, f := fakeReader(t)
	r.held = smartcard.AccessCard
	f.disconnect = func(ccid.Action) error { panic(injectedPanic{}) }
	if st := attempt(d.disconnect, r.address(),
		uintptr(smartcard.Unpower)); st != uefi.DeviceError || r.held != 0 {
		t.Errorf("%v, taken by %d", st, r.held)
	}
}

// fuse is a transport of which the n-th request or command panics.
type fuse struct {
	usb.Transport
	left *int
}

func (f *fuse) burn() {
	if *f.left--; *f.left == 0 {
		panic(injectedPanic{})
	}
}

func (f *fuse) Control(
	ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
) (int, error) {
	f.burn()
	return f.Transport.Control(ctx, setup, data, timeout)
}

func (f *fuse) Out(
	ctx context.Context, endpoint uint8, b []byte, timeout time.Duration,
) (int, error) {
	f.burn()
	return f.Transport.Out(ctx, endpoint, b, timeout)
}

// lightFuse makes the n-th transfer of the class driver panic.
func lightFuse(t *testing.T, n int) {
	before := wrapTransport
	t.Cleanup(func() { wrapTransport = before })
	wrapTransport = func(tr usb.Transport) usb.Transport { return &fuse{tr, &n} }
}

func TestStartThatPanicsLeavesNothingBehind(t *testing.T) {
	t.Run("in a transfer", func(t *testing.T) {
		for n := 1; ; n++ {
			fw, d := newDriver(t)
			u := fw.plug(withSlots(2), 0)
			before := fw.State()
			lightFuse(t, n)
			st := attempt(d.start, 0, uintptr(u.Handle), 0)
			if st == uefi.Success {
				if n == 1 {
					t.Error("Start makes no transfer")
				}
				break
			}
			if after := fw.State(); after != before || len(d.bound) != 0 || u.Polled != 0 {
				t.Fatalf("transfer %d: before %s, after %s", n, before, after)
			}
			if st := attempt(d.start, 0, uintptr(u.Handle), 0); st != uefi.Success {
				t.Fatalf("transfer %d: the next Start: %v", n, st)
			}
		}
	})
	for _, service := range []string{"install", "open"} {
		for n := 1; n <= 3; n++ {
			t.Run(fmt.Sprintf("%s, call %d", service, n), func(t *testing.T) {
				fw, d := newDriver(t)
				u := fw.plug(withSlots(3), 0)
				before := fw.State()
				left := n
				if service == "open" {
					left++ // the first one is for the driver itself
				}
				fw.Refuse = func(s string, _ uefi.Handle, guid uefi.GUID) uefi.Status {
					if s == service && guid != uefi.DevicePathGUID {
						if left--; left == 0 {
							panic(injectedPanic{})
						}
					}
					return uefi.Success
				}
				if st := attempt(d.start, 0, uintptr(u.Handle), 0); st != uefi.DeviceError &&
					left <= 0 {
					t.Errorf("status %v", st)
				}
				if left > 0 {
					return // there are fewer calls
				}
				if after := fw.State(); after != before || len(d.bound) != 0 || u.Polled != 0 {
					t.Errorf("before %s, after %s", before, after)
				}
			})
		}
	}
}

func TestAPanicCostsOneReaderOfAHost(t *testing.T) {
	// panics makes the n-th call of a service for a slot's handle panic.
	panics := func(service string, n int) func(t *testing.T, fw *firmware) {
		return func(_ *testing.T, fw *firmware) {
			fw.Refuse = func(s string, _ uefi.Handle, guid uefi.GUID) uefi.Status {
				if s == service && guid != uefi.DevicePathGUID {
					if n--; n == 0 {
						panic(injectedPanic{})
					}
				}
				return uefi.Success
			}
		}
	}
	for _, c := range []struct {
		name  string
		panic func(t *testing.T, fw *firmware)
	}{
		{"in a transfer", func(t *testing.T, _ *firmware) { lightFuse(t, 1) }},
		{"when its first slot is installedSlot", panics("install", 1)},
		{"when its second slot is installedSlot", panics("install", 2)},
		{"when the controller is opened for its second slot", panics("open", 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDirect(t)
				f := fw.plugHost()
				must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
				before := fw.State()
				c.panic(t, fw)
				f.virtual.Plug(1, usbtest.Reader(withSlots(2)))
				later()
				if after := fw.State(); after != before {
					t.Errorf("before %s, after %s", before, after)
				}
				fw.Refuse = nil
				f.virtual.Plug(2, usbtest.Reader(withSlots(2)))
				later()
				if handles := fw.readerHandles(); len(handles) != 2 {
					t.Errorf("%d slots of another reader", len(handles))
				} else if err := d.use(t, fw, handles[1]); err != nil {
					t.Error(err)
				}
				check(t, d.stopHost(f))
			})
		})
	}
}

func TestStartOfAHostThatPanicsLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		works := newHostController
		newHostController = func(*pcihost.Function, hcd.Memory) (usbhost.Controller, error) {
			panic(injectedPanic{})
		}
		if st := attempt(func(a *gate.Args) uefi.Status {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.start(a)
		}, 0, uintptr(f.Handle), 0); st != uefi.DeviceError {
			t.Fatal(st)
		}
		ours := slices.ContainsFunc(fw.Opened,
			func(o uefitest.Opening) bool { return o.Agent == ourImage })
		if ours || len(d.bound) != 0 || len(d.allHosts()) != 0 || fw.Armed() != 0 ||
			f.Has != 0x100 {
			t.Errorf("left: %s, attributes %#x", fw.State(), f.Has)
		}
		newHostController = works
		check(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		check(t, d.stopHost(f))
	})
}
