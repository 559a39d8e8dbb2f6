//go:build linux && !tamago

package harness

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// ErrMissing is wrapped by errors about something that is not installed on this host.
var ErrMissing = errors.New("not installed")

// Firmware is a UEFI firmware build: the code, and a pristine variable store that is copied for
// each machine.
type Firmware struct {
	Code, Vars string
}

// A platform is what the machines of one architecture need on this host, and how they differ.
type platform struct {
	emulator        string   // QEMU's program
	emulatorPackage string   // of Debian
	machine         []string // arguments for QEMU: machine and processor
	// exceptionMark is how edk2 firmware begins its report of an unhandled exception.
	exceptionMark string
	// lowMemory is how much memory, in MiB, the machine has in one piece from address 0 on.
	lowMemory int

	firmwarePackage string // of Debian
	// firmwares lists where distributions install the firmware, Debian and Ubuntu first.
	firmwares []Firmware
}

// platforms is the table of what this package starts, by GOARCH of the programs that run there.
var platforms = map[string]*platform{"amd64": &amd64}

// defaultArch is the architecture of a Config without one.
const defaultArch = "amd64"

func platformOf(arch string) (*platform, error) {
	if p := platforms[arch]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("qemu: no machine for architecture %q: it is one of %s", arch,
		strings.Join(slices.Sorted(maps.Keys(platforms)), ", "))
}

// FindFirmware returns the first firmware for x86-64 that is installed on this host. The error
// wraps ErrMissing and names the Debian package.
func FindFirmware() (Firmware, error) { return platforms[defaultArch].findFirmware(isFile) }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (p *platform) findFirmware(exists func(string) bool) (Firmware, error) {
	var tried []string
	for _, f := range p.firmwares {
		if exists(f.Code) && exists(f.Vars) {
			return f, nil
		}
		tried = append(tried, f.Code)
	}
	return Firmware{},
		fmt.Errorf("UEFI firmware for QEMU is %w: Debian's package is %s (looked for %s)",
			ErrMissing, p.firmwarePackage, strings.Join(tried, ", "))
}

// findEmulator returns the path of QEMU. The error wraps ErrMissing and names the Debian package.
func (p *platform) findEmulator() (string, error) {
	path, err := exec.LookPath(p.emulator)
	if err != nil {
		return "", fmt.Errorf("%s is %w: Debian's package is %s", p.emulator, ErrMissing,
			p.emulatorPackage)
	}
	return path, nil
}
