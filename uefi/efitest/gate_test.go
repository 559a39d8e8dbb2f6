//go:build linux && !tamago

package efitest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
)

// usages are the load options for the two ways to a reader.
var usages = []string{"usb=firmware", "usb=direct"}

// TestCallersErrorsCostTheirCall calls functions of the protocol with invalid addresses and in
// unusual processor states.
func TestCallersErrorsCostTheirCall(t *testing.T) {
	t.Parallel()
	for _, usage := range usages {
		t.Run(usage, func(t *testing.T) {
			s := machine(t, "")
			s.Boot = booting(loader + " " + driverImage + " " + usage)
			for _, mode := range []string{"modes", "wild", "registers"} {
				s.Run(mode, 2*time.Minute, func(t *testing.T, c *harness.Case) {
					if r := c.Command("cabi.efi " + mode); r.Status != 0 {
						t.Errorf("status %#x\n%s", r.Status, r.Output)
					}
					hello(t, c)
				})
			}
		})
	}
}

// TestEndOfBootServicesAnywhere ends boot services at unusual moments. The driver has stopped its
// controllers then, and refuses calls. At TPL_NOTIFY, where ExitBootServices must not be called
// (UEFI 2.11, 7.1), firmware calls no notification function: calls are refused, but controllers run
// on.
func TestEndOfBootServicesAnywhere(t *testing.T) {
	t.Parallel()
	for _, usage := range usages {
		t.Run(usage, func(t *testing.T) {
			s := machine(t, "")
			s.Boot = booting(loader + " " + driverImage + " " + usage)
			places := []string{"application", "callback", "notify"}
			if usage == "usb=direct" {
				// During a transfer of firmware's USB stack the firmware crashes: edk2's UsbBusDxe
				// calls RestoreTPL after the event, in a table that ExitBootServices has zeroed.
				places = append(places, "inside")
			}
			for _, where := range places {
				s.Run(where, time.Minute, func(t *testing.T, c *harness.Case) {
					output := ends(t, c, where)
					if usage == "usb=direct" && where != "notify" {
						state := map[string]string{"before": running, "after": stopped,
							"later": stopped}
						if where == "inside" {
							state["inside"] = stopped
						}
						for moment, want := range state {
							if !strings.Contains(output, "exit: "+moment+": "+want) {
								t.Errorf("%s: want %q", moment, want)
							}
						}
					}
					want := 6
					if where == "inside" {
						want++
					}
					if n := strings.Count(output, ": device error"); n != want ||
						strings.Contains(output, "another status") {
						t.Errorf("%d calls of %d are refused", n, want)
					}
					t.Log(output)
				})
			}
		})
	}
}

// ends ends boot services and with them the machine, and returns what was printed.
func ends(t *testing.T, c *harness.Case, where string) string {
	t.Helper()
	command := c.Background("cabi.efi exit " + where)
	before, match, err := command.Expect(c.Ctx, regexp.MustCompile(`exit: end`))
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Machine.Console.Tail())
	}
	must(t, c.Machine.Wait(c.Ctx))
	return before + match[0]
}
