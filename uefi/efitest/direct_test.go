//go:build linux && !tamago

package efitest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
)

// loader is the program that gives a driver load options.
const loader = "loaddriver.efi"

// directly is the command line that loads the driver in direct mode.
const directly = loader + " " + driverImage + " usb=direct"

// Parts of the driver's messages about devices that are no readers.
const unusable = "cannot be used: its host controller is driven directly"

// booting is a Suite's Boot that runs a command line.
func booting(line string) func(ctx context.Context, sh *harness.Shell) error {
	return func(ctx context.Context, sh *harness.Shell) error {
		r, err := sh.Run(ctx, line)
		if err != nil {
			return err
		}
		return r.Err()
	}
}

// direct is a machine with a reader, whose driver is in direct mode.
func direct(t *testing.T, controller harness.Controller, args ...string) *harness.Suite {
	s := harness.NewSuite(t, harness.Config{Volume: volume, Controller: controller, Reader: true,
		Card: insert("t0"), Args: args})
	s.Boot = booting(directly)
	return s
}

// firmwareUSB is the number of handles with EFI_USB_IO_PROTOCOL.
func firmwareUSB(t *testing.T, c *harness.Case) int {
	t.Helper()
	return number(t, c.Must("cabi.efi usb").Output, `(\d+) USB interfaces`)
}

// firmwareHas waits until there are that many handles with EFI_USB_IO_PROTOCOL: firmware enumerates
// devices from a timer event.
func firmwareHas(t *testing.T, c *harness.Case, want int) {
	t.Helper()
	for firmwareUSB(t, c) != want {
		select {
		case <-c.Ctx.Done():
			t.Fatalf("firmware does not offer %d USB interfaces", want)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestDirect(t *testing.T) {
	t.Parallel()
	for _, controller := range []harness.Controller{harness.XHCI, harness.NECXHCI} {
		t.Run(string(controller), func(t *testing.T) {
			s := direct(t, controller)
			s.Run("firmware's USB stack has left the controller", 30*time.Second,
				func(t *testing.T, c *harness.Case) {
					if n := firmwareUSB(t, c); n != 0 {
						t.Errorf("firmware offers %d USB interfaces", n)
					}
				})
			s.Run("each APDU case", 2*time.Minute, func(t *testing.T, c *harness.Case) {
				if r := c.Command("exchange.efi -quick"); r.Status != 0 {
					t.Errorf("status %#x\n%s", r.Status, r.Output)
				}
			})
			s.Run("controller and reader have names", 30*time.Second,
				func(t *testing.T, c *harness.Case) {
					out := c.Must("devtree").Output
					if at := strings.Index(out, "xHCI 1."); at < 0 ||
						!strings.Contains(out[at:], "QEMU QEMU USB CCID 0") {
						t.Errorf("no reader below a controller in\n%s", out)
					}
				})
			inEachMode(s)
		})
	}
}

func TestDirectBesideAKeyboard(t *testing.T) {
	t.Parallel()
	s := harness.NewSuite(t, harness.Config{Volume: volume, Reader: true, Card: insert("t0"),
		Args: []string{"-device", "usb-kbd,bus=" + harness.USBBus}})
	s.Run("the keyboard is named once, and firmware has it again after Unload", 90*time.Second,
		func(t *testing.T, c *harness.Case) {
			firmwareHas(t, c, 2)
			r := c.Must(directly)
			if n := strings.Count(r.Output, unusable); n != 1 ||
				!strings.Contains(r.Output, `the keyboard "QEMU USB Keyboard"`) {
				t.Errorf("%d warnings\n%s", n, r.Output)
			}
			firmwareHas(t, c, 0)
			hello(t, c)
			_, err := c.Shell.Unload(c.Ctx, driverImage)
			must(t, err)
			refuses(t, c, "No smart card reader")
			firmwareHas(t, c, 2)
		})
	s.Run("firmware's stack serves the reader afterwards", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			_, err := c.Shell.Load(c.Ctx, driverImage)
			must(t, err)
			hello(t, c)
			firmwareHas(t, c, 2)
		})
	s.Run("a second driver takes the controller from the first, with its reader", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			c.Must(directly)
			firmwareHas(t, c, 0)
			hello(t, c)
		})
	s.Run("unknown options are named", 60*time.Second, func(t *testing.T, c *harness.Case) {
		r := c.Must(loader + " " + driverImage + " usb=firmware speed=high")
		if !strings.Contains(r.Output, `unknown load options: "speed=high"`) {
			t.Errorf("no warning\n%s", r.Output)
		}
		hello(t, c)
	})
}

// readers waits until there are that many readers: a device is enumerated first.
func readers(t *testing.T, c *harness.Case, want int) {
	t.Helper()
	for {
		n := number(t, c.Must("cabi.efi readers").Output, `(\d+) readers`)
		if n == want {
			return
		}
		select {
		case <-c.Ctx.Done():
			t.Fatalf("%d readers, want %d", n, want)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestDirectDisconnectAndConnect(t *testing.T) {
	t.Parallel()
	s := direct(t, harness.XHCI, "-device", "usb-ccid,bus="+harness.USBBus)
	s.Run("a child that is disconnected is made again by connect", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			readers(t, c, 2)
			c.Must("cabi.efi disconnect child")
			readers(t, c, 1)
			c.Must("connect -r")
			readers(t, c, 2)
			hello(t, c)
		})
	s.Run("a controller that is disconnected stays so until connect", 90*time.Second,
		func(t *testing.T, c *harness.Case) {
			c.Must("cabi.efi disconnect controller")
			// By then firmware's driver would manage the controller, if it had been connected.
			c.Must("stall 2000000")
			readers(t, c, 0)
			if n := firmwareUSB(t, c); n != 0 {
				t.Errorf("firmware offers %d USB interfaces", n)
			}
			c.Must("connect -r")
			readers(t, c, 2)
			hello(t, c)
		})
	s.Run("Unload gives the controller to firmware", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			r, err := c.Shell.Unload(c.Ctx, driverImage)
			must(t, err)
			must(t, r.Err())
			firmwareHas(t, c, 2)
		})
}

func TestDirectWhereFirmwareHasNoDriver(t *testing.T) {
	t.Parallel()
	s := machine(t, "")
	s.Run("a controller without a driver is taken unasked", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			c.Must("orphan.efi")
			_, err := c.Shell.Load(c.Ctx, driverImage)
			must(t, err)
			hello(t, c)
			if n := firmwareUSB(t, c); n != 0 {
				t.Errorf("firmware offers %d USB interfaces", n)
			}
			r, err := c.Shell.Unload(c.Ctx, driverImage)
			must(t, err)
			must(t, r.Err())
		})
	s.Run("but not when the load options forbid it", 60*time.Second,
		func(t *testing.T, c *harness.Case) {
			c.Must(loader + " " + driverImage + " usb=firmware")
			refuses(t, c, "No smart card reader")
		})
}

// reload loads the driver, exchanges commands with a card and unloads it, many times, and returns
// how many pages were lost between the 10th and the last round: before that firmware's own tables
// grow. A program in C does it, because the Shell's own commands lose memory.
func reload(t *testing.T, c *harness.Case, rounds int, options string) (pages int) {
	t.Helper()
	r := c.Command(fmt.Sprintf("cabi.efi reload %s %d %s", driverImage, rounds, options))
	if r.Status != 0 {
		t.Fatalf("status %#x\n%s", r.Status, r.Output)
	}
	t.Log(r.Output)
	return lost(t, r.Output, rounds)
}

func lost(t *testing.T, output string, rounds int) (pages int) {
	t.Helper()
	return number(t, output, `round 10: (\d+) pages`) - number(t, output,
		fmt.Sprintf(`round %d: (\d+) pages`, rounds))
}

// TestDirectLoadAndUnload looks for lost memory. Where firmware has a driver for the controller,
// each round stops and starts that one too. edk2's loses up to 256 bytes for each device that it
// enumerates: this share is measured on a machine without the driver.
func TestDirectLoadAndUnload(t *testing.T) {
	t.Parallel()
	t.Run("firmware without a driver", func(t *testing.T) {
		s := machine(t, "")
		s.Run("100 times without growth", 5*time.Minute, func(t *testing.T, c *harness.Case) {
			c.Must("orphan.efi")
			if pages := reload(t, c, 100, "usb=direct"); pages != 0 {
				t.Errorf("%d pages lost", pages)
			}
		})
	})
	t.Run("firmware with a driver", func(t *testing.T) {
		const rounds = 30
		s := machine(t, "")
		s.Run("no more growth than firmware's own", 5*time.Minute,
			func(t *testing.T, c *harness.Case) {
				firmwares := lost(t, c.Must(fmt.Sprintf("cabi.efi restart %d", rounds)).Output,
					rounds)
				// One page more may be one that was begun before.
				if with := reload(t, c, rounds, "usb=direct"); with > firmwares+1 {
					t.Errorf("%d pages lost, %d without the driver", with, firmwares)
				}
			})
	})
}
