//go:build linux && !tamago

package efitest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
)

// In MiB: littleMemory is more than the driver and its image need, and less than twice that; above
// mostRoom the driver allocates as much as with all memory free.
const (
	littleMemory = 12
	mostRoom     = 24
)

// refuse makes each firmware call of the driver fail once. room is the memory in MiB that is left,
// 0 for all. Of USB transfers and register accesses only some fail: the distance to the next one is
// 1/step of the number of the last.
func refuse(t *testing.T, c *harness.Case, options, phases string, step, room int) {
	t.Helper()
	r := c.Command(fmt.Sprintf("cabi.efi refuse %s %s %s %d %d", driverImage, options, phases, step,
		room))
	t.Log(r.Output)
	if r.Status != 0 || !strings.Contains(r.Output, "unload: ") ||
		!strings.Contains(r.Output, "\n0 violations") {
		t.Errorf("status %#x", r.Status)
	}
}

// TestEachFirmwareCallFails makes call 1, 2, ... of the driver fail, in each phase from its load to
// its unload: the machine goes on, the status is right, nothing is lost, and the next attempt
// succeeds. A refusal of memory to the Go runtime costs one call and not the driver.
func TestEachFirmwareCallFails(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		name    string
		orphan  bool // firmware has no driver for the controller
		options string
		phases  string
		step    int
	}{
		{name: "firmware's USB stack", options: "usb=firmware", phases: "lsctdpu", step: 2},
		{name: "a controller that firmware has no driver for", orphan: true, options: "usb=direct",
			phases: "lsctdpu", step: 1},
		// Each time firmware enumerates its devices again, which takes seconds.
		{name: "a controller that firmware's driver leaves", options: "usb=direct", phases: "lspu",
			step: 1},
	} {
		t.Run(m.name, func(t *testing.T) {
			limit := 10 * time.Minute
			if *soak {
				limit = time.Hour
			}
			s := harness.NewSuite(t, harness.Config{Volume: volume, Reader: true,
				Card: insert("t0"), Limit: 26 * limit})
			rooms := []int{0, littleMemory}
			if *soak {
				for room := 1; room <= mostRoom; room++ {
					rooms = append(rooms, room)
				}
			}
			for n, room := range rooms {
				phases, step := "lsu", m.step // the phases that take memory
				if room == 0 || *soak && n < 2 {
					phases = m.phases
				}
				if *soak && n < 2 {
					step = 1 << 30
				}
				s.Run(fmt.Sprintf("memory left: %d MiB", room), limit,
					func(t *testing.T, c *harness.Case) {
						if m.orphan && room == 0 {
							c.Must("orphan.efi")
						}
						refuse(t, c, m.options, phases, step, room)
						c.Must("ver")
					})
			}
		})
	}
}

// TestLittleMemory loads the driver, and runs an application, with all memory allocated but 24, 23,
// ... 1 MiB: they work, or end with EFI_OUT_OF_RESOURCES, and work when the memory is free again.
func TestLittleMemory(t *testing.T) {
	t.Parallel()
	s := machine(t, "")
	for _, options := range []string{"usb=firmware", "usb=direct"} {
		s.Run(options, 4*time.Minute, func(t *testing.T, c *harness.Case) {
			r := c.Command("cabi.efi short " + driverImage + " " + options)
			t.Log(r.Output)
			if r.Status != 0 || !strings.Contains(r.Output, "\n0 violations") {
				t.Errorf("status %#x", r.Status)
			}
		})
	}
	s.Run("an application", 2*time.Minute, func(t *testing.T, c *harness.Case) {
		_, err := c.Shell.Load(c.Ctx, driverImage)
		must(t, err)
		r := c.Command("cabi.efi short helloworld.efi")
		t.Log(r.Output)
		if r.Status != 0 || !strings.Contains(r.Output, "out of memory: the program cannot start") {
			t.Errorf("status %#x", r.Status)
		}
		hello(t, c)
	})
}

// TestMemoryThatIsRefusedCostsOneCall makes the driver allocate memory that the firmware refuses,
// and more than its limit.
func TestMemoryThatIsRefusedCostsOneCall(t *testing.T) {
	t.Parallel()
	s := machine(t, "")
	for _, options := range []string{"usb=firmware", "usb=direct"} {
		s.Run(options, 2*time.Minute, func(t *testing.T, c *harness.Case) {
			r := c.Command("cabi.efi starve " + faultImage + " " + options)
			t.Log(r.Output)
			if r.Status != 0 || !strings.Contains(r.Output, "\n0 violations") {
				t.Errorf("status %#x", r.Status)
			}
		})
	}
}

// TestSmallMachine runs on a machine with little free memory, in pieces.
func TestSmallMachine(t *testing.T) {
	t.Parallel()
	for _, mib := range []int{64, 72, 80} {
		s := harness.NewSuite(t, harness.Config{Volume: volume, Memory: mib, Reader: true,
			Card: insert("t0")})
		s.Run(fmt.Sprintf("%d MiB", mib), 90*time.Second, func(t *testing.T, c *harness.Case) {
			if r := c.Command("load " + driverImage); strings.Contains(r.Output, "Success") {
				// The application needs as much again.
				if r := c.Command("helloworld.efi"); r.Status != 0 &&
					!strings.Contains(r.Output, "out of memory") {
					t.Errorf("status %#x\n%s", r.Status, r.Output)
				}
			} else if !strings.Contains(r.Output, "Out of Resources") {
				t.Errorf("neither loaded nor refused for lack of memory\n%s", r.Output)
			}
			c.Must("ver")
		})
	}
}
