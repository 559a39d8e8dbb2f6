//go:build tamago

// Package inside has the checks that programs inside a machine make on every board.
package inside

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/usbarmory/tamago/soc/intel/pci"
)

// A Check is one line of the program's output.
type Check struct {
	Name string
	Run  func() error
}

// everywhere are the checks that must pass on every QEMU machine.
var everywhere = []Check{
	{"a sleep of 2 ms takes no less", sleep},
	{"timers come no sooner than they are due", timers},
	{"random bytes differ", random},
	{"TamaGo's PCI driver finds the host bridge", hostBridge},
}

// Run makes these checks and the board's own. It ends the program with status 1 when one fails.
func Run(own []Check) {
	checks := append(everywhere, own...)
	failed := 0
	for _, c := range checks {
		if err := c.Run(); err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", c.Name, err)
			continue
		}
		fmt.Printf("ok   %s\n", c.Name)
	}
	fmt.Printf("%d of %d checks failed, %d KiB of memory in use\n", failed, len(checks),
		runtime.BareMemory().Now>>10)
	if failed > 0 {
		os.Exit(1)
	}
}

func sleep() error {
	start := time.Now()
	time.Sleep(2 * time.Millisecond)
	if d := time.Since(start); d < 2*time.Millisecond {
		return fmt.Errorf("took %v", d)
	}
	return nil
}

// timers may fire late, even all at once where the machine is busy, but not early.
func timers() error {
	type tick struct{ due, after time.Duration }
	c := make(chan tick, 3)
	start := time.Now()
	for _, ms := range []time.Duration{6, 2, 4} {
		due := ms * time.Millisecond
		time.AfterFunc(due, func() { c <- tick{due, time.Since(start)} })
	}
	for range cap(c) {
		if t := <-c; t.after < t.due {
			return fmt.Errorf("the timer of %v came after %v", t.due, t.after)
		}
	}
	return nil
}

func random() error {
	var a, b [32]byte
	rand.Read(a[:])
	rand.Read(b[:])
	if a == b || a == [32]byte{} {
		return errors.New("they do not")
	}
	return nil
}

func hostBridge() error {
	const intel = 0x8086 // QEMU's q35 has Intel's
	for _, d := range pci.Devices(0) {
		if d.Slot == 0 && d.Vendor == intel {
			return nil
		}
	}
	return errors.New("it does not")
}
