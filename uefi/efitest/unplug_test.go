//go:build linux && !tamago

package efitest

import (
	"context"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/reader"
)

// TestUnplugDuringACommand unplugs a reader whose card has not answered for a while. The call in
// progress ends soon by the clock of the machine, firmware removes the device, and the reader works
// when it is plugged in again.
func TestUnplugDuringACommand(t *testing.T) {
	t.Parallel()
	const (
		before = 30              // APDUs that are answered
		waited = 3 * time.Second // how long the call has been in progress
		// limit is from then on; the documented bound is 2 s, but edk2's EhciDxe counts pauses that
		// are longer here.
		limit = 8 * time.Second
	)
	for _, c := range []struct {
		controller harness.Controller
		kind       string
	}{{harness.XHCI, "extended"}, {harness.UHCI, "extended"}, {harness.EHCI, "high-speed"}} {
		for _, f := range []struct {
			name   string
			action reader.Action
		}{
			{"the reader is silent", reader.Lose()},
			{"the reader asks for more time",
				reader.Extend(reader.Endless, 1, 500*time.Millisecond)},
		} {
			s := harness.NewSuite(t, harness.Config{Volume: volume, Controller: c.controller})
			s.Boot = func(ctx context.Context, sh *harness.Shell) error {
				_, err := sh.Load(ctx, driverImage)
				return err
			}
			s.Run(string(c.controller)+", "+f.name, 3*time.Minute,
				func(t *testing.T, k *harness.Case) {
					device, d := virtual(t, "", c.kind, 1, "t1")
					must(t, k.Machine.Plug(k.Ctx, device))
					appears(t, k, true)
					silent := make(chan struct{}, 1)
					d.Inject(reader.Fault{At: reader.AtAnswer, Command: reader.XfrBlock,
						Skip:  before,
						Times: reader.Forever, Do: []reader.Action{f.action,
							func(*reader.Event) {
								select {
								case silent <- struct{}{}:
								default:
								}
							}}})
					command := k.Background("apdus.efi 1000000")
					select {
					case <-silent:
					case <-k.Ctx.Done():
						t.Fatal("the reader was not used")
					}
					time.Sleep(waited)
					must(t, k.Machine.DeviceDel(k.Ctx, device.ID))
					r := k.Wait(command)
					if r.Status == 0 {
						t.Fatalf("no error\n%s", r.Output)
					}
					if ms := number(t, r.Output,
						`after (\d+) ms`); time.Duration(ms)*time.Millisecond > waited+limit {
						t.Errorf("the call ended after %d ms", ms)
					} else {
						t.Logf("after %d ms", ms)
					}
					appears(t, k, false)
					d.Heal()
					must(t, k.Machine.Plug(k.Ctx, device))
					appears(t, k, true)
					if r := k.Command("helloworld.efi"); r.Status != 0 ||
						!strings.Contains(r.Output, "Hello world!") {
						t.Errorf("status %#x\n%s", r.Status, r.Output)
					}
				})
		}
	}
}

// TestFirmwareRunsDuringACommand sends a command that a card takes long for. Events at TPL_CALLBACK
// run during it, the firmware's bus driver among them, and this driver refuses their calls. A
// reader that is plugged in then is used after the command has ended.
func TestFirmwareRunsDuringACommand(t *testing.T) {
	t.Parallel()
	const before, long = 5, 6 * time.Second
	s := harness.NewSuite(t, harness.Config{Volume: volume})
	s.Boot = func(ctx context.Context, sh *harness.Shell) error {
		_, err := sh.Load(ctx, driverImage)
		return err
	}
	// slow plugs in a reader with a slow card beside others, and returns the device.
	slow := func(t *testing.T, k *harness.Case) (device harness.Redirected, began chan struct{}) {
		device, d := virtual(t, "", "extended", 1, "t1")
		began = make(chan struct{})
		d.Inject(reader.Fault{At: reader.AtAnswer, Command: reader.XfrBlock, Skip: before,
			Do: []reader.Action{reader.Delay(long),
				func(*reader.Event) { close(began) }}})
		must(t, k.Machine.Plug(k.Ctx, device))
		appears(t, k, true)
		return device, began
	}
	s.Run("a program's events run, and their calls are refused", time.Minute,
		func(t *testing.T, k *harness.Case) {
			device, _ := slow(t, k)
			r := k.Command("cabi.efi nested 10 callback")
			if r.Status != 0 {
				t.Fatalf("status %#x\n%s", r.Status, r.Output)
			}
			t.Log(r.Output)
			must(t, k.Machine.DeviceDel(k.Ctx, device.ID))
			appears(t, k, false)
		})
	s.Run("a reader that is plugged in is there after the command", time.Minute,
		func(t *testing.T, k *harness.Case) {
			device, began := slow(t, k)
			command := k.Background("cabi.efi apdus 10")
			select {
			case <-began:
			case <-k.Ctx.Done():
				t.Fatal("the reader was not used")
			}
			second, _ := virtual(t, "", "slots", 2, "")
			must(t, k.Machine.Plug(k.Ctx, second))
			if r := k.Wait(command); r.Status != 0 {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
			for number(t, k.Command("cabi.efi readers").Output, `(\d+) readers`) != 5 {
				if k.Ctx.Err() != nil {
					t.Fatal("the second reader was not found")
				}
			}
			must(t, k.Machine.DeviceDel(k.Ctx, device.ID))
			must(t, k.Machine.DeviceDel(k.Ctx, second.ID))
			appears(t, k, false)
		})
}
