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

func TestNothingRunsOnAfterExitBootServices(t *testing.T) {
	s := machine(t, driverImage)
	s.Run("firmware mode", time.Minute, func(t *testing.T, c *qemu.Case) {
		t.Log(handOver(t, c, ""))
	})
	s.Run("a controller that runs on is seen", time.Minute, func(t *testing.T, c *qemu.Case) {
		output := handOver(t, c, " restart")
		if !strings.Contains(output, "memory: changed") {
			t.Error(output)
		}
	})
}
