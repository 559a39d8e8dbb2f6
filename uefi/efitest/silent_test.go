//go:build linux && !tamago

package efitest

import (
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/usbredir"
)

// TestUnloadOfSilentReaders powers the cards of two readers that do not answer from their first
// IccPowerOff on, and unloads the driver. Without a deadline that the readers share this takes more
// than 30 s.
func TestUnloadOfSilentReaders(t *testing.T) {
	t.Parallel()
	const hang = 20 * time.Second // the driver takes 2 s, on a slow machine the rest more
	for _, mode := range []struct{ name, options string }{
		{"through firmware's USB stack", " usb=firmware"},
		{"on a controller of our own", " usb=direct"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			var redirected []harness.Redirected
			for _, id := range []string{"first", "second"} {
				m, err := reader.Named("silent-at-power-off")
				must(t, err)
				d := reader.NewDevice(m)
				d.Reader(0).Insert(0, card.T1())
				redirected = append(redirected,
					harness.Redirected{ID: id, Serve: (&usbredir.Server{Device: d}).Serve})
			}
			s := harness.NewSuite(t, harness.Config{Volume: volume, Redirected: redirected})
			s.Boot = booting(loader + " " + driverImage + mode.options)
			s.Run("unload", 2*time.Minute, func(t *testing.T, c *harness.Case) {
				if r := c.Command("exchange.efi -quick"); !strings.Contains(r.Output,
					"2 readers: 2 passed") {
					t.Fatalf("status %#x\n%s", r.Status, r.Output)
				}
				began := time.Now()
				c.Unload(driverImage)
				if took := time.Since(began); took > hang {
					t.Errorf("Unload took %v", took)
				}
			})
		})
	}
}
