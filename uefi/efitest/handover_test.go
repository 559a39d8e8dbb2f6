//go:build linux && !tamago

package efitest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/reader"
)

// handOver runs handover. After the end of boot services it gives the controller reasons to write:
// a card that is removed and inserted, a reader that is unplugged. It returns what was printed.
func handOver(t *testing.T, c *harness.Case, arguments string) string {
	t.Helper()
	command := c.Background("handover.efi" + arguments)
	expect := func(pattern string) string {
		before, match, err := command.Expect(c.Ctx, regexp.MustCompile(pattern))
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Machine.Console.Tail())
		}
		return before + match[0]
	}
	output := expect(`handover: waiting`)
	must(t, c.Machine.RemoveCard(c.Ctx))
	must(t, c.Machine.InsertCard(c.Ctx))
	must(t, c.Machine.UnplugReader(c.Ctx))
	time.Sleep(300 * time.Millisecond) // the bus polls interrupt endpoints every few milliseconds
	must(t, c.Machine.Console.Send(c.Ctx, "x"))
	output += expect(`handover: end`)
	must(t, c.Machine.Wait(c.Ctx))
	return output
}

// What handover prints for a controller that runs, and for one that neither runs nor reaches
// memory.
const (
	running = "run 1 halted 0 master 1"
	stopped = "run 0 halted 1 master 0"
)

// twoControllers is a machine with a reader on one of two controllers, and nothing on the other.
func twoControllers(t *testing.T) *harness.Suite {
	return harness.NewSuite(t, harness.Config{Volume: volume, Reader: true, Card: insert("t0"),
		Args: []string{"-device", string(harness.NECXHCI)}})
}

// wantBoth checks the state of both controllers at a moment in what handover has printed.
func wantBoth(t *testing.T, output, moment, state string) {
	t.Helper()
	states := regexp.MustCompile(`(?m)^handover: `+moment+`: .*$`).FindAllString(output, -1)
	if len(states) != 2 || !strings.HasSuffix(states[0], state) ||
		!strings.HasSuffix(states[1], state) {
		t.Errorf("%s: %q, want two controllers with %q", moment, states, state)
	}
}

func TestNothingRunsOnAfterExitBootServices(t *testing.T) {
	t.Parallel()
	s := twoControllers(t)
	s.Run("direct mode: controllers are halted and without access to memory, which stays as it is",
		time.Minute, func(t *testing.T, c *harness.Case) {
			c.Must(directly)
			// With a device that does not answer the driver is in a control transfer.
			mute, d := virtual(t, "3", "short", 3, "")
			d.Inject(reader.Fault{At: reader.AtControl, Times: reader.Forever,
				Do: []reader.Action{reader.Block()}})
			must(t, c.Machine.Plug(c.Ctx, mute))
			output := handOver(t, c, "")
			wantBoth(t, output, "before", running)
			wantBoth(t, output, "after", stopped)
			wantBoth(t, output, "later", stopped)
			if !regexp.MustCompile(`memory: unchanged, bytes [0-9a-f]{3,}`).MatchString(output) {
				t.Error(output)
			}
			t.Log(output)
		})
	s.Run("direct mode: a controller that was let run on would be seen", time.Minute,
		func(t *testing.T, c *harness.Case) {
			c.Must(directly)
			if output := handOver(t, c, " restart"); !strings.Contains(output, "memory: changed") {
				t.Error(output)
			}
		})
}

// TestNothingRunsOnAfterTheDriverHasDied ends the driver by each kind of fatal error while boot
// services go on. The memory to which its controllers write is not managed after that.
func TestNothingRunsOnAfterTheDriverHasDied(t *testing.T) {
	t.Parallel()
	s := twoControllers(t)
	for _, death := range []string{"fatal", "stack", "wedge"} {
		s.Run(death, time.Minute, func(t *testing.T, c *harness.Case) {
			c.Must(loader + " " + faultImage + " usb=direct")
			hello(t, c)
			wantBoth(t, c.Must("handover.efi look").Output, "now", running)
			c.Must("fault.efi " + death)
			wantBoth(t, c.Must("handover.efi look").Output, "now", stopped)
			must(t, c.Machine.Quit(c.Ctx)) // such a driver stays as it is
			c.Machine.Wait(c.Ctx)
		})
	}
}
