//go:build linux && !tamago

package efitest

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu"
)

// sessionAPDUs is how many APDUs TestSessions sends on each controller.
var sessionAPDUs = flag.Int("apdus", 3000, "APDUs in TestSessions, for each controller")

// TestSessions uses QEMU's own reader, which powers cards by itself, through firmware's USB stack: no session ends before its card is
// removed, and each removal ends one.
func TestSessions(t *testing.T) {
	t.Parallel()
	const each = 300 // APDUs: longer than the reader's bInterval of 255 ms
	sessions := (*sessionAPDUs + each - 1) / each
	// How long a removed card stays away: it is back before the last notification has come, or long after.
	away := []time.Duration{0, 30 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond}
	for _, controller := range []qemu.Controller{qemu.XHCI, qemu.UHCI} {
		t.Run(string(controller), func(t *testing.T) {
			s := qemu.NewSuite(t, qemu.Config{Volume: volume, Controller: controller, Reader: true, Card: insert("t0"),
				Limit: time.Minute + time.Duration(sessions)*20*time.Second})
			s.Boot = booting("load " + driverImage)
			s.Run(fmt.Sprintf("%d sessions of %d APDUs", sessions, each), time.Duration(sessions)*20*time.Second, func(t *testing.T, c *qemu.Case) {
				command := c.Background(fmt.Sprintf("sessions.efi %d %d", sessions, each))
				for i := range sessions {
					if m := c.Expect(command, fmt.Sprintf(`session %d is ready|sessions: .*`, i+1)); !strings.HasSuffix(m[0], "ready") {
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
