//go:build linux && !tamago

package vscard

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tamaccid/ccid/sim/card"
)

// startQEMU starts a machine with a CCID reader and without a system to boot. The card is at the
// character device.
func startQEMU(t *testing.T, ctx context.Context, chardev string) {
	t.Helper()
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
	cmd := exec.CommandContext(ctx, program, "-machine", "q35,accel=tcg", "-m", "32", "-nodefaults",
		"-display", "none",
		"-device", "qemu-xhci", "-device", "usb-ccid", "-chardev", chardev, "-device",
		"ccid-card-passthru,chardev=card")
	out := &bytes.Buffer{}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if s := out.String(); s != "" {
			t.Log("QEMU: " + s)
		}
	})
}

func (s *Slot) waitAcks(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		acks := s.acks
		s.mu.Unlock()
		if acks >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("QEMU has acknowledged %d messages, expected %d", acks, n)
		}
	}
}

func TestQEMUAcceptsReaderCardAndReplacement(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(t *testing.T, ctx context.Context, s *Slot, path string) (chardev string)
	}{
		{"QEMU listens", func(t *testing.T, ctx context.Context, s *Slot, path string) string {
			go s.Dial(ctx, "unix", path)
			return "socket,id=card,server=on,wait=off,nodelay=on,path=" + path
		}},
		{"QEMU connects", func(t *testing.T, ctx context.Context, s *Slot, path string) string {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			go s.Listen(ctx, l)
			return "socket,id=card,nodelay=on,path=" + path
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			s := NewSlot(card.T0())
			startQEMU(t, ctx, tt.serve(t, ctx, s, filepath.Join(t.TempDir(), "card")))
			s.waitAcks(t, 2) // ReaderAdd, ATR
			if err := s.Remove(); err != nil {
				t.Fatal(err)
			}
			s.waitAcks(t, 3)
			if err := s.Insert(card.T1()); err != nil {
				t.Fatal(err)
			}
			s.waitAcks(t, 4)
			if err := s.Insert(card.T0()); err != nil { // removal and insertion at once
				t.Fatal(err)
			}
			s.waitAcks(t, 6)
		})
	}
}
