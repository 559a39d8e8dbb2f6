//go:build linux && !tamago

package efitest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
)

// APDUs that TestSessions sends on each machine, in make test and in make soak.
const (
	sessionAPDUs     = 2_000
	sessionAPDUsSoak = 100_000
)

// TestSessions uses QEMU's own reader, which powers cards by itself: no session ends before its
// card is removed, and each removal ends one.
func TestSessions(t *testing.T) {
	t.Parallel()
	const each = 300
	sessions := (sessionAPDUs + each - 1) / each
	if *soak {
		sessions = (sessionAPDUsSoak + each - 1) / each
	}
	// How long a removed card stays away: it is back before the last notification has arrived, or
	// long after.
	away := []time.Duration{0, 30 * time.Millisecond, 100 * time.Millisecond,
		400 * time.Millisecond}
	for _, m := range []struct {
		name       string
		controller harness.Controller
		load       string
	}{
		{"firmware's stack, xHCI", harness.XHCI, loader + " " + driverImage + " usb=firmware"},
		{"firmware's stack, UHCI", harness.UHCI, loader + " " + driverImage + " usb=firmware"},
		{"a controller of our own, xHCI", harness.XHCI, directly},
	} {
		t.Run(m.name, func(t *testing.T) {
			s := harness.NewSuite(t, harness.Config{Volume: volume, Controller: m.controller,
				Reader: true, Card: insert("t0"),
				Limit: time.Minute + time.Duration(sessions)*20*time.Second})
			s.Boot = booting(m.load)
			s.Run(fmt.Sprintf("%d sessions of %d APDUs", sessions, each),
				time.Duration(sessions)*20*time.Second, func(t *testing.T, c *harness.Case) {
					command := c.Background(fmt.Sprintf("sessions.efi %d %d", sessions, each))
					for i := range sessions {
						if m := c.Expect(command,
							fmt.Sprintf(`session %d is ready|sessions: .*`,
								i+1)); !strings.HasSuffix(m[0], "ready") {
							t.Error(m[0])
							break
						}
						must(t, c.Machine.RemoveCard(c.Ctx))
						c.Expect(command, fmt.Sprintf(`session %d ended`, i+1))
						time.Sleep(away[i%len(away)])
						must(t, c.Machine.InsertCard(c.Ctx))
					}
					c.Wait(command)
				})
		})
	}
}
