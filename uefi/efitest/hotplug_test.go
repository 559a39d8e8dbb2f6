//go:build linux && !tamago

package efitest

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/reader"
)

// TestABadReaderIsPluggedInWhileAProgramRuns plugs readers in while a program uses another one and
// sleeps in between. OVMF's timer interrupt then runs the firmware's bus driver, and so this
// driver, and timers do not run during it (edk2's 8254TimerDxe up to edk2-stable202211 ends the
// interrupt last). The program goes on, and so does the machine.
func TestABadReaderIsPluggedInWhileAProgramRuns(t *testing.T) {
	t.Parallel()
	s := harness.NewSuite(t, harness.Config{Volume: volume})
	s.Boot = func(ctx context.Context, sh *harness.Shell) error {
		_, err := sh.Load(ctx, driverImage)
		return err
	}
	silent := reader.Fault{At: reader.AtAnswer, Times: reader.Forever,
		Do: []reader.Action{reader.Lose()}}
	for _, c := range []struct {
		name, kind string
		fault      reader.Fault
		gone       bool
	}{
		{"it is silent", "extended", silent, false},
		{"it is silent, and vendor specific", "vendor-class", silent, false},
		{"it does not take commands", "extended",
			reader.Fault{At: reader.AtOut, Times: reader.Forever,
				Do: []reader.Action{reader.Block()}}, false},
		{"it goes at the first command", "extended",
			reader.Fault{At: reader.AtCommand, Do: []reader.Action{reader.Unplug()}}, true},
		{"there is nothing wrong with it", "extended", reader.Fault{}, false},
	} {
		s.Run(c.name, 2*time.Minute, func(t *testing.T, k *harness.Case) {
			good, g := virtual(t, "", "extended", 1, "t1")
			var answers atomic.Int64
			g.Inject(reader.Fault{At: reader.AtAnswer, Command: reader.XfrBlock,
				Times: reader.Forever, Do: []reader.Action{
					func(*reader.Event) { answers.Add(1) }}})
			must(t, k.Machine.Plug(k.Ctx, good))
			appears(t, k, true)
			command := k.Background("apdus.efi 1000000 20")
			k.Expect(command, "sending")

			bad, b := virtual(t, "", c.kind, 2, "t1")
			configured := make(chan struct{}, 1)
			b.Inject(c.fault, reader.Fault{At: reader.AtControl, Times: reader.Forever,
				Do: []reader.Action{func(*reader.Event) {
					select {
					case configured <- struct{}{}:
					default:
					}
				}}})
			must(t, k.Machine.Plug(k.Ctx, bad))
			select {
			case <-configured:
			case <-k.Ctx.Done():
				t.Fatal("firmware has not noticed it")
			}
			time.Sleep(3 * time.Second)
			for n := answers.Load() + 20; answers.Load() < n; time.Sleep(10 * time.Millisecond) {
				if k.Ctx.Err() != nil {
					t.Fatal("the program has stopped")
				}
			}
			must(t, k.Machine.DeviceDel(k.Ctx, good.ID))
			const limit = 6000 // the documented bound is 2 s
			if r := k.Wait(command); r.Status == 0 ||
				number(t, r.Output, `after (\d+) ms`) > limit {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
			if c.gone {
				b.Replug()
			}
			b.Heal()
			for { // it works when nothing is wrong with it any more
				r := k.Command("helloworld.efi")
				if r.Status == 0 && strings.Contains(r.Output, "Hello world!") {
					break
				}
				if k.Ctx.Err() != nil {
					t.Fatal(r.Output)
				}
				time.Sleep(100 * time.Millisecond)
			}
			must(t, k.Machine.DeviceDel(k.Ctx, bad.ID))
			appears(t, k, false)
		})
	}
}
