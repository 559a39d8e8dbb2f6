//go:build linux && !tamago

package efitest

import (
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/reader"
)

// TestAnEventMeddlesDuringACommand connects and disconnects readers and unloads the driver from a
// program's timer event, while a card takes long for a command. The command succeeds, and so do
// those after it.
func TestAnEventMeddlesDuringACommand(t *testing.T) {
	t.Parallel()
	const before, long = 5, 6 * time.Second
	for _, usage := range usages {
		s := harness.NewSuite(t, harness.Config{Volume: volume})
		s.Boot = booting(loader + " " + driverImage + " " + usage)
		for _, what := range []string{"connect", "disconnect", "unload"} {
			if usage == "usb=direct" && what != "unload" {
				continue // there is no handle that anything manages
			}
			s.Run(usage+", "+what, 2*time.Minute, func(t *testing.T, k *harness.Case) {
				device, d := virtual(t, "", "extended", 1, "t1")
				must(t, k.Machine.Plug(k.Ctx, device))
				appears(t, k, true)
				d.Inject(reader.Fault{At: reader.AtAnswer, Command: reader.XfrBlock, Skip: before,
					Do: []reader.Action{reader.Delay(long)}})
				if r := k.Command("cabi.efi meddle 10 " + what); r.Status != 0 {
					t.Errorf("status %#x\n%s", r.Status, r.Output)
				} else {
					t.Log(r.Output)
				}
				if r := k.Command("cabi.efi apdus 10"); r.Status != 0 {
					t.Errorf("status %#x\n%s", r.Status, r.Output)
				}
				must(t, k.Machine.DeviceDel(k.Ctx, device.ID))
				appears(t, k, false)
			})
		}
	}
}
