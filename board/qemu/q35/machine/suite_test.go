//go:build linux && !tamago

// Package machine tests board q35 on a QEMU machine: the board itself with the program beside this
// file, and the samples on it.
package machine

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/vscard"
)

// Where make puts the images.
const (
	kernels = "../../../../build/q35"
	volume  = "../../../../build/test/x64"
)

// limit bounds a machine: most are done in a second (policy).
const limit = 2 * time.Minute

// insert simulates the named card on each connection from QEMU.
func insert(name string) harness.Card {
	return func(ctx context.Context, conn io.ReadWriteCloser) error {
		c, err := card.Named(name)
		if err != nil {
			return err
		}
		return vscard.NewSlot(c).Serve(ctx, conn)
	}
}

// start starts a kernel.
func start(t *testing.T, name, line string, config harness.Config) *harness.Machine {
	t.Helper()
	harness.Require(t)
	config.Kernel, config.CommandLine, config.Limit = filepath.Join(kernels, name), line, limit
	m, err := harness.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// end waits for a kernel's end, and checks its status and that its output has these words.
func end(t *testing.T, m *harness.Machine, status int, words ...string) (output string) {
	t.Helper()
	got, err := m.Exit(t.Context())
	output = m.Console.Log()
	if err != nil || got != status {
		t.Fatalf("status %d, %v, want %d\n%s", got, err, status, output)
	}
	for _, w := range words {
		if !strings.Contains(output, w) {
			t.Errorf("output lacks %q:\n%s", w, output)
		}
	}
	return output
}

func TestTheMachineFromInside(t *testing.T) {
	t.Parallel()
	end(t, start(t, "machine", "checks", harness.Config{}), 0, "\n0 of ",
		"ok   the processor sleeps")
}

// TestEnds has the ways in which a program ends: status and output of the machine.
func TestEnds(t *testing.T) {
	t.Parallel()
	const fatal = 2
	for _, c := range []struct {
		name   string
		line   string
		config harness.Config
		status int
		words  []string
	}{
		{"arguments come from the command line", `args one 'two  three'`, harness.Config{}, 0,
			[]string{`["args" "one" "two  three"]`}},
		{"no arguments", "", harness.Config{}, 1, []string{"unknown argument"}},
		{"a status of the program's own", "status", harness.Config{}, 42, nil},
		{"a status that is too large", "large", harness.Config{}, 127, nil},
		{"a panic is reported", "panic", harness.Config{}, fatal,
			[]string{"panic: on purpose", "goroutine 1 [running]"}},
		{"a nil dereference is reported", "nil", harness.Config{}, fatal,
			[]string{"nil pointer dereference", "main.main()"}},
		{"the end of memory is reported", "memory", harness.Config{}, fatal,
			[]string{"out of memory"}},
		{"a deadlock is found", "deadlock", harness.Config{}, fatal, []string{"deadlock"}},
		{"data is not executed", "data", harness.Config{}, fatal,
			[]string{"unexpected fault address"}},
		{"a stack overflow is reported", "overflow", harness.Config{}, fatal,
			[]string{"stack overflow"}},
		{"an exception in the dispatcher ends the machine", "dispatcher", harness.Config{}, fatal,
			[]string{"fatal error: CPU exception 0xe"}},
		{"without a generator crypto/rand fails", "random",
			harness.Config{Args: []string{"-cpu", "max,-rdrand,-rdseed"}}, fatal,
			[]string{"failed to read random data"}},
		{"a small machine", "args", harness.Config{Memory: 32}, 0, nil},
		{"memory above 4 GiB", "args", harness.Config{Memory: 5000}, 0, nil},
		{"a processor without a local APIC", "args",
			harness.Config{Args: []string{"-cpu", "max,-apic"}}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			end(t, start(t, "machine", c.line, c.config), c.status, c.words...)
		})
	}
}

// hello is what helloworld must print.
var hello = []string{"ATR:    3B 08 74 61 6D 61 63 63 69 64\n",
	"C-APDU: 00 A4 04 00 0A A0 00 00 00 62 03 01 0C 06 01\nR-APDU: 90 00\n",
	"C-APDU: 00 00 00 00\n", "Text:   Hello world!\n"}

func TestHelloWorld(t *testing.T) {
	t.Parallel()
	behind := func(controller string) []string {
		return []string{
			"-device", "pcie-root-port,id=way,chassis=1,slot=1,addr=5.0",
			"-device", controller + ",id=far,bus=way",
			"-device", "usb-ccid,id=reader,bus=far.0",
		}
	}
	for _, c := range []struct {
		name   string
		config harness.Config
		status int
		words  []string
	}{
		{"on qemu-xhci", harness.Config{Reader: true, Card: insert("t0")}, 0, hello},
		{"on nec-usb-xhci", harness.Config{Controller: "nec-usb-xhci", Reader: true,
			Card: insert("t0")}, 0, hello},
		{"with 64-bit addresses, above 4 GiB",
			harness.Config{Memory: 5000, Reader: true, Card: insert("t0")}, 0, hello},
		{"with one more controller, and a keyboard",
			harness.Config{Reader: true, Card: insert("t0"),
				Args: []string{"-device", "nec-usb-xhci,id=more", "-device",
					"usb-kbd,bus=more.0"}}, 0,
			hello},
		{"without a card", harness.Config{Reader: true}, 1,
			[]string{"There is no card in the reader."}},
		{"without a reader", harness.Config{}, 1, []string{"No smart card reader found."}},
		{"without a controller that has a driver", harness.Config{Controller: harness.UHCI}, 1,
			[]string{"no USB host controller that can be used"}},
		{"behind a PCI bridge", harness.Config{Controller: harness.UHCI, Args: behind("qemu-xhci")},
			1, []string{"There is no card in the reader."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			end(t, start(t, "helloworld", "", c.config), c.status, c.words...)
		})
	}
}

func TestTheConversationIsTheOneUnderUEFI(t *testing.T) {
	t.Parallel()
	config := harness.Config{Reader: true, Card: insert("t0")}
	bare := end(t, start(t, "helloworld", "", config), 0)
	config.Volume = volume
	s := harness.NewSuite(t, config)
	s.Boot = func(ctx context.Context, sh *harness.Shell) error {
		_, err := sh.Load(ctx, "SmartCardReader.efi")
		return err
	}
	s.Run("helloworld", time.Minute, func(t *testing.T, c *harness.Case) {
		got := c.Must("helloworld.efi").Output
		if strings.TrimSpace(got) != strings.TrimSpace(bare) || bare == "" {
			t.Errorf("under UEFI:\n%s\nwithout firmware:\n%s", got, bare)
		}
	})
}

func TestExchange(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"t0", "t1"} {
		t.Run(name, func(t *testing.T) {
			m := start(t, "exchange", "-quick QEMU",
				harness.Config{Reader: true, Card: insert(name)})
			end(t, m, 0, "1 reader: 1 passed, 0 failed")
		})
	}
}
