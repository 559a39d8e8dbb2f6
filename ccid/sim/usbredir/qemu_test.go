//go:build linux && !tamago

package usbredir

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// setups is a Tap that records the control requests.
type setups struct {
	mu  sync.Mutex
	all []usb.Setup
}

func (s *setups) Control(setup usb.Setup, _ []byte, _ error) {
	s.mu.Lock()
	s.all = append(s.all, setup)
	s.mu.Unlock()
}

func (s *setups) Transfer(uint8, usb.TransferType, int, []byte, error) {}

// requested reports whether a request for a descriptor or, if that is 0, a request was made.
func (s *setups) requested(request, descriptor uint8) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		if x.Request == request && uint8(x.Value>>8) == descriptor {
			return true
		}
	}
	return false
}

func TestQEMUFirmwareEnumeratesTheReader(t *testing.T) {
	if testing.Short() {
		t.Skip("starts QEMU: not in short mode")
	}
	const program = "qemu-system-x86_64"
	if _, err := exec.LookPath(program); err != nil {
		// as for other programs that tests need: board/qemu/harness
		if os.Getenv("QEMU_REQUIRED") != "" {
			t.Fatal(err)
		}
		t.Skip("no " + program + " on this machine")
	}
	for _, tt := range []struct {
		name       string
		controller string
		speed      usb.Speed
	}{
		{"full speed on xHCI", "qemu-xhci", usb.SpeedFull},
		{"high speed on xHCI", "qemu-xhci", usb.SpeedHigh},
		{"super speed on xHCI", "qemu-xhci", usb.SpeedSuper},
		{"high speed on EHCI", "usb-ehci", usb.SpeedHigh},
		{"full speed on UHCI", "piix3-usb-uhci", usb.SpeedFull},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := reader.New(reader.TPDU)
			m.Speed = tt.speed
			d := reader.NewDevice(m)
			d.Reader(0).Insert(0, card.T0())
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			path := filepath.Join(t.TempDir(), "reader")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			tap := &setups{}
			go (&Server{Device: d, Tap: tap}).Listen(ctx, l)
			var out bytes.Buffer
			cmd := exec.CommandContext(ctx, program, "-machine", "pc,accel=tcg", "-m", "64",
				"-nodefaults", "-display", "none",
				"-device", tt.controller+",id=bus", "-chardev", "socket,id=reader,path="+path,
				"-device", "usb-redir,chardev=reader,bus=bus.0")
			cmd.Stderr = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				cmd.Process.Kill()
				cmd.Wait()
				if out.Len() > 0 {
					t.Log("QEMU: " + out.String())
				}
			}()
			for !tap.requested(usb.RequestGetDescriptor, usb.TypeDevice) ||
				!tap.requested(usb.RequestGetDescriptor, usb.TypeConfiguration) {
				if ctx.Err() != nil {
					t.Fatalf("no enumeration, only %v", tap.all)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}
