//go:build linux && !tamago

package efitest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/board/qemu/harness/linux"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/usbredir"
)

// kernel is the folder of a Linux kernel, and of the program that lists its devices.
const (
	kernel     = "../../build/linux"
	kernelInit = kernel + "/init"
)

// ramDisk is the name of its RAM disk.
const ramDisk = "initrd.cpio"

// linuxMemory is what a Linux kernel needs, in MiB (policy).
const linuxMemory = 512

// withLinux is a volume with these images, the kernel and its RAM disk.
func withLinux(t *testing.T, images ...string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(kernel, linux.Kernel)); err != nil &&
		os.Getenv(harness.RequiredVariable) == "" {
		t.Skipf("%v (make build/linux/vmlinuz.efi fetches it)", err)
	}
	folder := t.TempDir()
	ram, err := linux.RAMDisk(kernel, kernelInit)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, ramDisk), ram, 0o644))
	for _, path := range append([]string{filepath.Join(kernel, linux.Kernel)},
		in(volume, images)...) {
		file, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(folder, filepath.Base(path)), file, 0o644))
	}
	return folder
}

func in(folder string, names []string) (paths []string) {
	for _, name := range names {
		paths = append(paths, filepath.Join(folder, name))
	}
	return paths
}

// bootLinux starts the kernel from the Shell, and returns what it prints about the devices that it
// found, when there is one for each of wanted, "VENDOR:PRODUCT".
func bootLinux(t *testing.T, c *harness.Case, wanted ...string) string {
	t.Helper()
	// The machine ends with this command, so the case does not wait for it.
	command := c.Background(linux.CommandLine(ramDisk, wanted...))
	before, end, err := command.Expect(c.Ctx, regexp.MustCompile(`(?m)^init: .*$|Kernel panic.*`))
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Machine.Console.Tail())
	}
	if end[0] != linux.Done {
		t.Fatalf("%s\n%s", end[0], before)
	}
	must(t, c.Machine.Wait(c.Ctx))
	return strings.Join(regexp.MustCompile(`(?m)^`+linux.Found+`.*$`).FindAllString(before, -1),
		"\n")
}

// virtual is a reader of the catalogue with a card in it, on a port.
func virtual(
	t *testing.T, port, kind string, product uint16, cardName string,
) (harness.Redirected, *reader.Device) {
	t.Helper()
	m, err := reader.Named(kind)
	must(t, err)
	id := fmt.Sprintf("%s-%d", kind, product)
	m.Product, m.Manufacturer, m.ProductName = product, "Virtual", id
	d := reader.NewDevice(m)
	if cardName != "" {
		c, err := card.Named(cardName)
		must(t, err)
		d.Reader(0).Insert(0, c)
	}
	return harness.Redirected{ID: id, Port: port, Serve: (&usbredir.Server{Device: d}).Serve}, d
}

func TestLinuxFindsTheDevicesAfterDirectMode(t *testing.T) {
	t.Parallel()
	high, _ := virtual(t, "2", "high-speed", 2, "t1")
	super, _ := virtual(t, "3", "super-speed", 3, "t1")
	hubbed, _ := virtual(t, "4.1", "short", 4, "t1")
	s := harness.NewSuite(t, harness.Config{Volume: withLinux(t, driverImage, loader,
		"helloworld.efi"), Memory: linuxMemory, Reader: true,
		Card: insert("t0"), Hubs: []string{"4"},
		Redirected: []harness.Redirected{high, super, hubbed}})
	s.Run("all speeds, and behind a hub", 2*time.Minute, func(t *testing.T, c *harness.Case) {
		c.Must(directly)
		c.Must("helloworld.efi")
		t.Log(bootLinux(t, c, "08e6:4433", "1209:0002", "1209:0003", "1209:0004"))
	})
}
