//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/vscard"
)

// start starts a machine for one test.
func start(t *testing.T, config Config) *Machine {
	t.Helper()
	Require(t)
	m, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestStartReportsTheMessageOfQEMU(t *testing.T) {
	Require(t)
	_, err := Start(t.Context(), Config{Args: []string{"-device", "flux-capacitor"}})
	if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "flux-capacitor") {
		t.Errorf("error %v does not have QEMU's own words", err)
	}
}

func TestMachineEndsAtItsLimit(t *testing.T) {
	m := start(t, Config{Limit: time.Second})
	_, err := m.Shell(within(t, 30*time.Second))
	if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "time limit of 1s") {
		t.Errorf("error %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	m := start(t, Config{})
	m.Close()
	if _, err := os.Stat(m.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", m.dir, err)
	}
	if !isClosed(m.process.done) {
		t.Error("QEMU still runs")
	}
	if err := m.Monitor.Run(within(t, 10*time.Second), "query-status", nil, nil); !errors.Is(err,
		ErrGone) {
		t.Errorf("command after the end: %v, want %v", err, ErrGone)
	}
}

// slow is a reader of the console who is busy with something else.
type slow struct{}

func (slow) Write(b []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return len(b), nil
}

// TestSuite runs cases on one machine; those that break it are in between on purpose.
func TestSuite(t *testing.T) {
	boots := 0
	s := NewSuite(t, Config{
		Volume: volume(t),
		Reader: true,
		Card:   vscard.NewSlot(card.T0()).Serve,
		Output: slow{}, // the guest must not suffer from it
	})
	s.Boot = func(ctx context.Context, sh *Shell) error {
		boots++
		return nil
	}
	const limit = 30 * time.Second
	s.Run("a command's output comes without its echo and the prompt", limit,
		func(t *testing.T, c *Case) {
			r := c.Must("ver -s")
			if strings.TrimSpace(r.Output) != "2.2" {
				t.Errorf("output %q, want the Shell's version alone", r.Output)
			}
		})
	s.Run("map shows the volume", limit, func(t *testing.T, c *Case) {
		if r := c.Must("map"); !strings.Contains(r.Output, "FS0:") {
			t.Errorf("output %q", r.Output)
		}
	})
	s.Run("devices shows the controllers", limit, func(t *testing.T, c *Case) {
		if r := c.Must("devices"); !strings.Contains(r.Output, "PciRoot") {
			t.Errorf("output %q", r.Output)
		}
	})
	s.Run("the firmware has enumerated the reader", limit, func(t *testing.T, c *Case) {
		if r := c.Must("dh -p UsbIo"); !strings.Contains(r.Output, "/USB(") {
			t.Errorf("output %q", r.Output)
		}
	})
	s.Run("a program's status is seen", limit, func(t *testing.T, c *Case) {
		if r := c.Command("succeed.efi"); r.Err() != nil {
			t.Error(r.Err())
		}
		if r := c.Command("notfound.efi"); r.Status != 14 || r.Err() == nil {
			t.Errorf("status %#x of a program that returns EFI_NOT_FOUND", r.Status)
		}
	})
	s.Run("what does not exist has a status", limit, func(t *testing.T, c *Case) {
		if r := c.Command("nosuch.efi"); r.Err() == nil || !strings.Contains(r.Output,
			"not recognized") {
			t.Errorf("%+v", r)
		}
	})
	s.Run("a guest's file is not written to the host", limit, func(t *testing.T, c *Case) {
		c.Must("cp succeed.efi new.efi")
		c.Must("new.efi")
		if _, err := os.Stat(s.config.Volume + "/new.efi"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("on the host: %v", err)
		}
	})
	s.Run("free pages are counted", limit, func(t *testing.T, c *Case) {
		if pages := c.FreePages(); pages < 10_000 || pages > defaultMemory<<8 {
			t.Errorf("%d pages of a machine with %d MiB", pages, defaultMemory)
		}
	})
	s.Run("the reader is unplugged and plugged in again", limit, func(t *testing.T, c *Case) {
		plugged := func() bool {
			text, err := c.Machine.Monitor.HMP(c.Ctx, "info usb")
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(text, "QEMU USB CCID")
		}
		if err := c.Machine.UnplugReader(c.Ctx); err != nil {
			t.Fatal(err)
		}
		if plugged() {
			t.Error("still there after UnplugReader")
		}
		if err := c.Machine.PlugReader(c.Ctx); err != nil {
			t.Fatal(err)
		}
		if !plugged() {
			t.Error("not there after PlugReader")
		}
	})
	s.Run("the card is removed and inserted again", limit, func(t *testing.T, c *Case) {
		for range 3 {
			if err := c.Machine.RemoveCard(c.Ctx); err != nil {
				t.Fatal(err)
			}
			if err := c.Machine.InsertCard(c.Ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.Run("output is seen while a command runs", limit, func(t *testing.T, c *Case) {
		command := c.Background("wait.nsh")
		c.Expect(command, `Enter 'q' to quit, any other key to continue`)
		if _, err := c.Shell.Start(c.Ctx, "ver"); err == nil {
			t.Error("two commands at once")
		}
		if err := c.Machine.Console.Send(c.Ctx, "x"); err != nil {
			t.Fatal(err)
		}
		if r := c.Wait(command); !strings.Contains(r.Output, "any other key") {
			t.Errorf("output %q lacks what was expected before", r.Output)
		}
	})
	s.Run("a driver is loaded and unloaded", limit, func(t *testing.T, c *Case) {
		image := c.Load("resident.efi")
		if image.Base == 0 || image.Base%sectionAlignment != 0 {
			t.Errorf("loaded at %#x", image.Base)
		}
		c.Unload("resident.efi")
		if _, err := c.Shell.Unload(c.Ctx, "resident.efi"); err == nil {
			t.Error("unloaded twice")
		}
		if _, err := c.Shell.Load(c.Ctx, "succeed.efi"); err == nil {
			t.Error("an application was loaded as a driver")
		}
	})
	if boots != 1 {
		t.Errorf("%d boots for cases that all went well", boots)
	}
	s.Run("a hanging program is ended by the deadline", limit, func(t *testing.T, c *Case) {
		if _, err := c.Shell.Run(within(t, 3*time.Second), "hang.efi"); !errors.Is(err,
			ErrTimeout) {
			t.Errorf("error %v, want %v", err, ErrTimeout)
		}
		if _, err := c.Shell.Run(c.Ctx, "ver"); err == nil {
			t.Error("the Shell took a command after it")
		}
	})
	s.Run("an exception in the guest is reported at once", limit, func(t *testing.T, c *Case) {
		if boots != 2 {
			t.Errorf("%d boots: the machine is a new one after a hang", boots)
		}
		_, err := c.Shell.Run(c.Ctx, "crash.efi")
		if guest := (*GuestError)(nil); !errors.As(err, &guest) || !strings.Contains(guest.Report,
			"#UD") {
			t.Errorf("error %v, want an invalid opcode", err)
		}
	})
	s.Run("a machine that ends is noticed", limit, func(t *testing.T, c *Case) {
		if _, err := c.Shell.Run(c.Ctx, "reset -s"); !errors.Is(err, ErrGone) {
			t.Errorf("error %v, want %v", err, ErrGone)
		}
		if err := c.Machine.Wait(c.Ctx); err != nil {
			t.Error(err)
		}
	})
	s.Run("the next case has a machine again", limit, func(t *testing.T, c *Case) {
		c.Must("ver")
	})
}
