//go:build linux && !tamago

package efitest

import (
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/usbredir"
)

// TestASwapBetweenTwoCommandsIsNoticed changes the card of a reader that powers cards by itself:
// only its notification reports the change.
func TestASwapBetweenTwoCommandsIsNoticed(t *testing.T) {
	t.Parallel()
	const noticed = 2 * time.Second // firmware polls the interrupt endpoint, the driver has a timer
	for _, c := range []struct{ name, load string }{
		{"through firmware's USB stack", loader + " " + driverImage + " usb=firmware"},
		{"on a controller of our own", directly},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := reader.New(reader.ShortAPDU)
			m.Functions[0].CCID.Features |= reader.AutoActivation | reader.AutoVoltage
			d := reader.NewDevice(m)
			d.Reader(0).Insert(0, card.T1())
			s := harness.NewSuite(t, harness.Config{Volume: volume,
				Redirected: []harness.Redirected{{ID: "auto",
					Serve: (&usbredir.Server{Device: d}).Serve}}})
			s.Boot = booting(c.load)
			s.Run("swap", 60*time.Second, func(t *testing.T, c *harness.Case) {
				for _, change := range []struct {
					name  string
					do    func()
					after string
				}{
					{"the card is left alone", func() {}, `after: 90 00, <nil>`},
					{"another card",
						func() { d.Reader(0).Remove(0); d.Reader(0).Insert(0, card.T1()) },
						`after: , .*EFI_NOT_READY`},
					{"no card", func() { d.Reader(0).Remove(0) }, `after: , .*EFI_NO_MEDIA`},
				} {
					t.Log(change.name)
					command := c.Background("swap.efi")
					c.Expect(command, `before: 90 00`)
					change.do()
					time.Sleep(noticed)
					must(t, c.Machine.Console.Send(c.Ctx, "\r"))
					c.Expect(command, change.after)
					c.Wait(command)
				}
			})
		})
	}
}
