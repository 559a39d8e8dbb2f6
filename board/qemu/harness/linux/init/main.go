//go:build linux && !tamago

// Command init is the only program of a Linux machine that lists USB devices: it loads the modules
// in /modules, prints each device that the kernel finds, waits until there is one for each of its
// arguments, VENDOR:PRODUCT, and switches the machine off.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"tamaccid/board/qemu/harness/linux"
)

const (
	finitModule = 313    // SYS_finit_module of x86-64
	tcsbrk      = 0x5409 // ioctl of a terminal
	tcdrain     = 1      // its argument that waits for output and sends no break
	devices     = "/sys/bus/usb/devices"

	waitLimit = 60 * time.Second       // for all devices (policy)
	interval  = 200 * time.Millisecond // between two polls (policy)
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("init:", err)
	}
	// Wait until the last line has left the serial port.
	syscall.Syscall(syscall.SYS_IOCTL, uintptr(syscall.Stdout), tcsbrk, tcdrain)
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func run(wanted []string) error {
	if err := syscall.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("sysfs: %w", err)
	}
	modules, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, path := range modules { // in alphabetical order
		if err := load(path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	seen := map[string]bool{}
	for end := time.Now().Add(waitLimit); time.Now().Before(end); time.Sleep(interval) {
		list(seen, &wanted)
		if len(wanted) == 0 {
			fmt.Println(linux.Done)
			return nil
		}
	}
	return fmt.Errorf("no device %s", strings.Join(wanted, ", "))
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	parameters := [1]byte{} // none
	if _, _, errno := syscall.Syscall(finitModule, f.Fd(), uintptr(unsafe.Pointer(&parameters)),
		0); errno != 0 && errno != syscall.EEXIST {
		return errno
	}
	return nil
}

// list prints the devices that are new, and removes each from wanted.
func list(seen map[string]bool, wanted *[]string) {
	entries, err := os.ReadDir(devices)
	if err != nil {
		return // the bus may not exist yet
	}
	for _, e := range entries {
		name := e.Name()
		read := func(attribute string) string {
			// a device need not have all attributes
			text, _ := os.ReadFile(filepath.Join(devices, name, attribute))
			return strings.TrimSpace(string(text))
		}
		vendor := read("idVendor")
		// An interface has no vendor; a device is configured last.
		if seen[name] || vendor == "" || read("bConfigurationValue") == "" {
			continue
		}
		seen[name] = true
		id := vendor + ":" + read("idProduct")
		fmt.Printf("%s %s %s %s Mb/s %q\n", linux.Found, name, id, read("speed"), read("product"))
		if at := slices.Index(*wanted, id); at >= 0 {
			*wanted = slices.Delete(*wanted, at, at+1)
		}
	}
}
