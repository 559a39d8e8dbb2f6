//go:build linux && !tamago

package efitest

import (
	"context"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/vscard"
)

// soak runs long loops whole: make soak.
var soak = flag.Bool("soak", false, "run long loops whole")

// volume is the folder of the images.
const volume = "../../build/test/x64"

const (
	driverImage = "SmartCardReader.efi"
	faultImage  = "SmartCardReaderFault.efi"
)

// insert answers as the card of that name on each connection of QEMU.
func insert(name string) harness.Card {
	return func(ctx context.Context, conn io.ReadWriteCloser) error {
		c, err := card.Named(name)
		if err != nil {
			return err
		}
		return vscard.NewSlot(c).Serve(ctx, conn)
	}
}

func machine(t *testing.T, image string) *harness.Suite {
	s := harness.NewSuite(t, harness.Config{Volume: volume, Reader: true, Card: insert("t0")})
	if image != "" {
		s.Boot = func(ctx context.Context, sh *harness.Shell) error {
			_, err := sh.Load(ctx, image)
			return err
		}
	}
	return s
}

// hello reads the card's text.
func hello(t *testing.T, c *harness.Case) {
	t.Helper()
	helloBy(t, c, "helloworld.efi")
}

// helloBy does so with one of the samples: their output is the same.
func helloBy(t *testing.T, c *harness.Case, program string) {
	t.Helper()
	r := c.Command(program)
	for _, want := range []string{"Reader: QEMU", "3B 08 74 61 6D 61 63 63 69 64",
		"00 A4 04 00 0A A0 00 00 00 62 03 01 0C 06 01", "R-APDU: 90 00", "Hello world!"} {
		if !strings.Contains(r.Output, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if r.Status != 0 || t.Failed() {
		t.Fatalf("%s: status %#x\n%s", program, r.Status, r.Output)
	}
}

// refuses runs helloworld where it must fail with a message that contains words.
func refuses(t *testing.T, c *harness.Case, words string) {
	t.Helper()
	r := c.Command("helloworld.efi")
	if r.Status == 0 || !strings.Contains(r.Output, words) {
		t.Fatalf("helloworld: status %#x, want an error and %q\n%s", r.Status, words, r.Output)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, output, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(output)
	if m == nil {
		t.Fatalf("nothing matches %q in\n%s", pattern, output)
	}
	n, err := strconv.Atoi(m[1])
	must(t, err)
	return n
}

func TestTheRuntimeOnTheBoard(t *testing.T) {
	t.Parallel()
	s := harness.NewSuite(t, harness.Config{Volume: volume})
	// The Shell allocates a page for itself now and then: one during these runs, in ten repetitions
	// of ten. Another one is granted, since other firmware may begin a page elsewhere. A leak is a
	// page in each run; one in every second run is too many as well, beside the Shell's one.
	const runs, shells = 4, 2
	lost := 0
	for i := range runs {
		s.Run(fmt.Sprintf("machine checks itself, run %d", i+1), 60*time.Second,
			func(t *testing.T, c *harness.Case) {
				before := c.FreePages()
				r := c.Command("machine.efi")
				if r.Status != 0 {
					t.Errorf("status %#x\n%s", r.Status, r.Output)
				}
				lost += before - c.FreePages()
			})
	}
	if lost > shells {
		t.Errorf("%d pages lost in %d runs, of which %d may be the Shell's", lost, runs, shells)
	}
	s.Run("an unknown command line ends with an error", 30*time.Second,
		func(t *testing.T, c *harness.Case) {
			if r := c.Command("apdus.efi many"); r.Status == 0 ||
				!strings.Contains(r.Output, "usage:") {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
		})
}

func TestWithoutEntropyNothingIsMadeUp(t *testing.T) {
	t.Parallel()
	s := harness.NewSuite(t, harness.Config{Volume: volume,
		Args: []string{"-cpu", "max,-rdrand,-rdseed"}})
	s.Run("crypto/rand ends the program", 60*time.Second, func(t *testing.T, c *harness.Case) {
		r := c.Command("machine.efi")
		if r.Status == 0 || !strings.Contains(r.Output, "failed to read random data") {
			t.Errorf("status %#x\n%s", r.Status, r.Output)
		}
		c.Must("ver") // the Shell goes on
	})
}

func TestDriver(t *testing.T) {
	t.Parallel()
	s := machine(t, driverImage)
	inEachMode(s)
	s.Run("a call keeps the registers that are the caller's", 30*time.Second,
		func(t *testing.T, c *harness.Case) {
			if r := c.Command("cabi.efi registers"); r.Status != 0 {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
		})
	// A call from a completion (a defect that iPXE had): from above TPL_CALLBACK, which is the only
	// way to reach the driver during a call.
	s.Run("a call from an event while another is in progress is refused", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			if r := c.Command("cabi.efi nested 500"); r.Status != 0 {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
			hello(t, c)
		})
	s.Run("10,000 APDUs beside a timer event of 1 ms in another Go image", 3*time.Minute,
		func(t *testing.T, c *harness.Case) {
			_, err := c.Shell.Load(c.Ctx, "goticker.efi")
			must(t, err)
			c.Must("apdus.efi 10000")
			r, err := c.Shell.Unload(c.Ctx, "goticker.efi")
			must(t, err)
			// OVMF's own timer has 10 ms.
			if n := number(t, r.Output, `goticker: (\d+) ticks`); n < 100 {
				t.Errorf("the timer ticked %d times only", n)
			}
			if n := number(t, r.Output, `(\d+) hooks`); n < 100 {
				t.Errorf("the exit hook ran %d times only", n)
			}
		})
	s.Run("10,000 APDUs of a C program beside a timer event of a C driver", 3*time.Minute,
		func(t *testing.T, c *harness.Case) {
			_, err := c.Shell.Load(c.Ctx, "ticker.efi")
			must(t, err)
			c.Must("cabi.efi apdus 10000")
			if r := c.Must("cabi.efi ticks"); number(t, r.Output, `(\d+)`) == 0 {
				t.Errorf("the timer has not ticked\n%s", r.Output)
			}
			_, err = c.Shell.Unload(c.Ctx, "ticker.efi")
			must(t, err)
		})
	s.Run("a C program sees the empty reader", 60*time.Second, func(t *testing.T, c *harness.Case) {
		must(t, c.Machine.RemoveCard(c.Ctx))
		if r := c.Command("cabi.efi nocard"); r.Status != 0 {
			t.Errorf("status %#x\n%s", r.Status, r.Output)
		}
		r := c.Command("hello-c.efi")
		if r.Status == 0 || !strings.Contains(r.Output, "no card in the reader") {
			t.Errorf("the sample: status %#x\n%s", r.Status, r.Output)
		}
		must(t, c.Machine.InsertCard(c.Ctx))
		hello(t, c)
	})
	s.Run("a card is removed in the middle of APDUs", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			fails(t, c, func() error { return c.Machine.RemoveCard(c.Ctx) })
			must(t, c.Machine.InsertCard(c.Ctx))
			hello(t, c)
		})
	s.Run("the driver has names", 30*time.Second, func(t *testing.T, c *harness.Case) {
		r := c.Must("drivers")
		if !strings.Contains(r.Output, "tamaccid Smart Card Reader Driver") {
			t.Errorf("no name in\n%s", r.Output)
		}
	})
}

// inEachMode runs the cases that are the same for both ways to a reader.
func inEachMode(s *harness.Suite) {
	s.Run("an application in Go reads the card", 30*time.Second, hello)
	s.Run("an application in C reads the card", 30*time.Second,
		func(t *testing.T, c *harness.Case) {
			helloBy(t, c, "hello-c.efi")
		})
	s.Run("an application in C calls all six members", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			if r := c.Command("cabi.efi"); r.Status != 0 {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
			hello(t, c)
		})
	s.Run("a card is removed and inserted", 60*time.Second, func(t *testing.T, c *harness.Case) {
		for range 3 {
			must(t, c.Machine.RemoveCard(c.Ctx))
			refuses(t, c, "no card in the reader")
			must(t, c.Machine.InsertCard(c.Ctx))
			hello(t, c)
		}
	})
	s.Run("all drivers leave their devices and come back", 90*time.Second,
		func(t *testing.T, c *harness.Case) {
			for range 4 {
				c.Must("reconnect -r")
				hello(t, c)
			}
		})
	s.Run("a reader is unplugged and plugged in, and has its name again", 90*time.Second,
		func(t *testing.T, c *harness.Case) {
			for range 3 {
				must(t, c.Machine.UnplugReader(c.Ctx))
				appears(t, c, false)
				must(t, c.Machine.PlugReader(c.Ctx))
				appears(t, c, true)
				hello(t, c)
				const name = "Reader: QEMU QEMU USB CCID 0"
				if r := c.Must("helloworld.efi"); !strings.Contains(r.Output, name) {
					t.Errorf("no %q in\n%s", name, r.Output)
				}
			}
		})
	s.Run("a reader is unplugged in the middle of APDUs", 2*time.Minute,
		func(t *testing.T, c *harness.Case) {
			for range 3 {
				fails(t, c, func() error { return c.Machine.UnplugReader(c.Ctx) })
				appears(t, c, false)
				must(t, c.Machine.PlugReader(c.Ctx))
				appears(t, c, true)
				hello(t, c)
			}
		})
}

// fails sends APDUs without end, calls happens, which must make them fail, and checks for an error
// status.
func fails(t *testing.T, c *harness.Case, happens func() error) {
	t.Helper()
	command := c.Background("apdus.efi 1000000")
	c.Expect(command, "sending")
	time.Sleep(100 * time.Millisecond) // of many APDUs
	must(t, happens())
	if r := c.Wait(command); r.Status == 0 {
		t.Fatalf("no error\n%s", r.Output)
	}
}

// appears waits until firmware has noticed that the reader was plugged in or unplugged: it looks at
// its ports periodically.
func appears(t *testing.T, c *harness.Case, want bool) {
	t.Helper()
	for {
		r := c.Command("helloworld.efi")
		if strings.Contains(r.Output, "No smart card reader") != want {
			return
		}
		select {
		case <-c.Ctx.Done():
			t.Fatalf("reader present: want %v\n%s", want, r.Output)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestLoadAndUnload(t *testing.T) {
	t.Parallel()
	s := machine(t, "")
	s.Run("the driver works at two addresses", 60*time.Second, func(t *testing.T, c *harness.Case) {
		first, err := c.Shell.Load(c.Ctx, driverImage)
		must(t, err)
		hello(t, c)
		second, err := c.Shell.Load(c.Ctx, driverImage)
		must(t, err)
		if first.Base == second.Base {
			t.Fatalf("both at %#x", first.Base)
		}
		// The second driver manages the reader when the first one is unloaded.
		for i := range 2 {
			if i > 0 {
				c.Must("reconnect -r")
				hello(t, c)
			}
			r, err := c.Shell.Unload(c.Ctx, driverImage)
			must(t, err)
			must(t, r.Err())
		}
		refuses(t, c, "No smart card reader")
	})
	s.Run("100 times without growth", 5*time.Minute, func(t *testing.T, c *harness.Case) {
		if pages := reload(t, c, 100, ""); pages != 0 {
			t.Errorf("%d pages lost", pages)
		}
	})
}

func TestResidentMemory(t *testing.T) {
	t.Parallel()
	const limit = 16 << 20
	s := machine(t, "")
	s.Run("after HelloWorld", 60*time.Second, func(t *testing.T, c *harness.Case) {
		c.Command("helloworld.efi") // what firmware keeps of a first run is not the driver's
		before := c.FreePages()
		_, err := c.Shell.Load(c.Ctx, driverImage)
		must(t, err)
		hello(t, c)
		taken := (before - c.FreePages()) * 4096
		fmt.Printf("resident memory of the driver after HelloWorld, its image included: %d bytes\n",
			taken)
		if taken > limit {
			t.Errorf("more than %d bytes", limit)
		}
	})
}

// TestCost prints times and checks nothing: make bench runs it.
func TestCost(t *testing.T) {
	t.Parallel()
	s := machine(t, faultImage)
	s.Run("1,000 APDUs", 60*time.Second, func(t *testing.T, c *harness.Case) {
		r := c.Must("apdus.efi 1000")
		total, outside := number(t, r.Output, `(\d+) ns each\s`), number(t, r.Output,
			`(\d+) ns each outside`)
		fmt.Printf("SCardTransmit: %d us each, %d us of it (%.0f %%) outside of USB transfers\n",
			total/1000, outside/1000, 100*float64(outside)/float64(total))
	})
}

func TestFaultInjection(t *testing.T) {
	t.Parallel()
	s := machine(t, faultImage)
	s.Run("a message begins on a line of its own, and ends it", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			r := c.Must("cabi.efi typed")
			lines := `(?m)^one\s*\n.*injected\s*\n.*injected\s*\ntwo\s*\n.*injected\s*\nthree\s*$`
			if !regexp.MustCompile(lines).MatchString(r.Output) {
				t.Errorf("%q", r.Output)
			}
		})
	for _, f := range []struct {
		name     string
		survives bool
	}{
		{"panic", true}, {"nil", true}, {"wait", true}, {"wild", true}, {"gp", true}, {"copy",
			true}, {"nested", true},
		{"wedge", false}, {"fatal", false}, {"memory", false}, {"stack", false},
	} {
		s.Run(f.name, 60*time.Second, func(t *testing.T, c *harness.Case) {
			r := c.Command("fault.efi " + f.name)
			if r.Status != 0 {
				t.Errorf("status %#x\n%s", r.Status, r.Output)
			}
			deaths := strings.Count(r.Output, "the driver is out of use until the next boot")
			if want := map[bool]int{false: 1}[f.survives]; deaths != want ||
				strings.Count(r.Output, "\n") > 3 {
				t.Errorf("%d fatal errors are reported, want %d\n%s", deaths, want, r.Output)
			}
			if f.survives {
				hello(t, c)
				return
			}
			if r = c.Command("helloworld.efi"); r.Status == 0 {
				t.Errorf("helloworld read a card through a dead driver\n%s", r.Output)
			}
			c.Must("ver")                  // the Shell goes on
			must(t, c.Machine.Quit(c.Ctx)) // such a driver stays as it is
			c.Machine.Wait(c.Ctx)
		})
	}
}
