//go:build linux && !tamago

package efitest

import (
	"context"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
)

// TestDriverVariable makes firmware load the driver: a Driver#### variable (UEFI 2.11, 3.1.3), made
// as the README of uefi/driver/SmartCardReader shows, is kept over a reset, and a program finds its
// reader after it.
func TestDriverVariable(t *testing.T) {
	t.Parallel()
	harness.Require(t)
	const limit = 3 * time.Minute // of two boots
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m, err := harness.Start(ctx, harness.Config{
		Volume: volume, Reader: true, Card: insert("t0"), Limit: limit, Args: []string{"-action",
			"reboot=reset"},
	})
	must(t, err)
	defer m.Close()
	sh, err := m.Shell(ctx)
	must(t, err)
	for _, line := range []string{
		`mkdir FS0:\EFI`,
		`mkdir FS0:\EFI\tamaccid`,
		`cp ` + driverImage + ` FS0:\EFI\tamaccid\` + driverImage,
		`bcfg driver add 0 FS0:\EFI\tamaccid\` + driverImage + ` "Smart card readers"`,
	} {
		r, err := sh.Run(ctx, line)
		must(t, err)
		if r.Status != 0 {
			t.Fatalf("%s: status %#x\n%s", line, r.Status, r.Output)
		}
	}
	r, err := sh.Run(ctx, "helloworld.efi")
	must(t, err)
	if !strings.Contains(r.Output, "No smart card reader") {
		t.Fatalf("there is a driver already\n%s", r.Output)
	}
	_, err = sh.Start(ctx, "reset")
	must(t, err)
	sh, err = m.Shell(ctx)
	must(t, err)
	r, err = sh.Run(ctx, "helloworld.efi")
	must(t, err)
	if r.Status != 0 || !strings.Contains(r.Output, "Hello world!") {
		t.Errorf("after the reset: status %#x\n%s", r.Status, r.Output)
	}
	r, err = sh.Run(ctx, "bcfg driver dump")
	must(t, err)
	if !strings.Contains(r.Output, "Smart card readers") {
		t.Errorf("the variable is\n%s", r.Output)
	}
}
