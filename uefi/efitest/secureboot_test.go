//go:build linux && !tamago

package efitest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
)

// Debian's ovmf has a variable store with a test key in db, and the private key.
const (
	snakeoilVars        = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
	snakeoilKey         = "/usr/share/ovmf/PkKek-1-snakeoil.key"
	snakeoilCertificate = "/usr/share/ovmf/PkKek-1-snakeoil.pem"
	snakeoilPassword    = "snakeoil"
)

// signer is a tool for Authenticode signatures.
const signer = "osslsigncode"

// secureBoot is the image that such firmware boots: its Shell is not signed.
const secureBoot = "secureboot.efi"

// signed copies images to a new folder, signed with that key.
func signed(t *testing.T, images ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range images {
		cmd := exec.Command(signer, "sign", "-h", "sha256", "-certs", snakeoilCertificate, "-key",
			snakeoilKey, "-pass", snakeoilPassword,
			"-in", filepath.Join(volume, name), "-out", filepath.Join(folder, name))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("signing %s: %v\n%s", name, err, out)
		}
	}
	return folder
}

// TestSecureBoot starts signed images on firmware that starts no others (UEFI 2.11, 32).
func TestSecureBoot(t *testing.T) {
	t.Parallel()
	harness.Require(t, signer)
	for _, path := range []string{snakeoilVars, snakeoilKey, snakeoilCertificate} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%v: it comes with Debian's ovmf only", err)
		}
	}
	firmware, err := harness.FindFirmware()
	must(t, err)
	firmware.Vars = snakeoilVars
	folder := signed(t, driverImage, "helloworld.efi", secureBoot)
	must(t, os.MkdirAll(filepath.Join(folder, "EFI", "BOOT"), 0o700))
	must(t, os.Rename(filepath.Join(folder, secureBoot),
		filepath.Join(folder, "EFI", "BOOT", "BOOTX64.EFI")))
	image, err := os.ReadFile(filepath.Join(volume, driverImage))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "unsigned.efi"), image, 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m, err := harness.Start(ctx, harness.Config{Firmware: firmware, Volume: folder, Reader: true,
		Card: insert("t0")})
	must(t, err)
	defer m.Close()
	output, _, err := m.Console.Expect(ctx, regexp.MustCompile(`secureboot: end`))
	must(t, err)
	for _, want := range []string{"secureboot: unsigned.efi: EFI_ACCESS_DENIED", "Hello world!"} {
		if !strings.Contains(output, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log(output)
	}
}
