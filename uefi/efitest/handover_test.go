//go:build linux && !tamago

package efitest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu"
	"tamaccid/ccid/sim/reader"
)

// handOver runs handover. When boot services have ended it gives the controller reasons to write: a card that is removed and inserted,
// a reader that is unplugged. It returns what was printed.
func handOver(t *testing.T, c *qemu.Case, arguments string) string {
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
	time.Sleep(300 * time.Millisecond) // of a bus that looks at its interrupt endpoints each few milliseconds
	must(t, c.Machine.Console.Send(c.Ctx, "x"))
	output += expect(`handover: end`)
	must(t, c.Machine.Wait(c.Ctx))
	return output
}

// stopped is what handover says of a controller that neither runs nor reaches memory.
const stopped = "run 0 halted 1 master 0"

func TestNothingRunsOnAfterExitBootServices(t *testing.T) {
	t.Parallel()
	// Two controllers, of which one has nothing on it.
	s := qemu.NewSuite(t, qemu.Config{Volume: volume, Reader: true, Card: insert("t0"), Args: []string{"-device", string(qemu.NECXHCI)}})
	s.Run("direct mode: controllers are halted and without access to memory, which stays as it is", time.Minute, func(t *testing.T, c *qemu.Case) {
		c.Must(directly)
		// A device that answers nothing has the driver in the middle of a control transfer.
		mute, d := virtual(t, "3", "short", 3, "")
		d.Inject(reader.Fault{At: reader.AtControl, Times: reader.Forever, Do: []reader.Action{reader.Block()}})
		must(t, c.Machine.Plug(c.Ctx, mute))
		output := handOver(t, c, "")
		for _, moment := range []string{"after", "later"} {
			states := regexp.MustCompile(`(?m)^handover: `+moment+`: .*$`).FindAllString(output, -1)
			if len(states) != 2 || !strings.HasSuffix(states[0], stopped) || !strings.HasSuffix(states[1], stopped) {
				t.Errorf("%s: %q, want two controllers with %q", moment, states, stopped)
			}
		}
		if !regexp.MustCompile(`memory: unchanged, bytes [0-9a-f]{3,}`).MatchString(output) {
			t.Error(output)
		}
		t.Log(output)
	})
	s.Run("direct mode: a controller that was let run on would be seen", time.Minute, func(t *testing.T, c *qemu.Case) {
		c.Must(directly)
		if output := handOver(t, c, " restart"); !strings.Contains(output, "memory: changed") {
			t.Error(output)
		}
	})
}
