//go:build linux && !tamago

package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// emulator is the program for x86-64 machines.
const emulator = "qemu-system-x86_64"

// ErrMissing is wrapped by errors about something that is not installed on this host.
var ErrMissing = errors.New("not installed")

// Firmware is a UEFI firmware build: the code, and a pristine variable store that is copied for each machine.
type Firmware struct {
	Code, Vars string
}

// firmwares lists where distributions put OVMF, Debian and Ubuntu first. The 4M builds come first: newer
// releases ship nothing else.
var firmwares = []Firmware{
	{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
	{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
	{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
}

// FindFirmware returns the first firmware installed on this host.
// The error wraps ErrMissing and names the Debian package.
func FindFirmware() (Firmware, error) {
	return findFirmware(firmwares, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Mode().IsRegular()
	})
}

func findFirmware(list []Firmware, exists func(string) bool) (Firmware, error) {
	var tried []string
	for _, f := range list {
		if exists(f.Code) && exists(f.Vars) {
			return f, nil
		}
		tried = append(tried, f.Code)
	}
	return Firmware{}, fmt.Errorf("UEFI firmware for QEMU is %w: Debian's package is ovmf (looked for %s)",
		ErrMissing, strings.Join(tried, ", "))
}

// FindEmulator returns the path of QEMU for x86-64.
// The error wraps ErrMissing and names the Debian package.
func FindEmulator() (string, error) {
	path, err := exec.LookPath(emulator)
	if err != nil {
		return "", fmt.Errorf("%s is %w: Debian's package is qemu-system-x86", emulator, ErrMissing)
	}
	return path, nil
}
