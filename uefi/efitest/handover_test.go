//go:build linux && !tamago

package efitest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu"
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
	s := machine(t, "")
	directMode := func(c *qemu.Case) { c.Must(directly) }
	s.Run("direct mode: controllers are halted and without access to memory, which stays as it is", time.Minute, func(t *testing.T, c *qemu.Case) {
		directMode(c)
		output := handOver(t, c, "")
		for _, moment := range []string{"after", "later"} {
			states := regexp.MustCompile(`(?m)^handover: `+moment+`: .*$`).FindAllString(output, -1)
			if len(states) != 1 || !strings.HasSuffix(states[0], stopped) {
				t.Errorf("%s: %q, want %q", moment, states, stopped)
			}
		}
		if !regexp.MustCompile(`memory: unchanged, bytes [0-9a-f]{3,}`).MatchString(output) {
			t.Error(output)
		}
		t.Log(output)
	})
	s.Run("direct mode: a controller that was let run on would be seen", time.Minute, func(t *testing.T, c *qemu.Case) {
		directMode(c)
		if output := handOver(t, c, " restart"); !strings.Contains(output, "memory: changed") {
			t.Error(output)
		}
	})
}
