//go:build linux && !tamago

// Package linux makes the files with which a Linux kernel boots from UEFI firmware in a machine of
// package harness and prints the USB devices that it finds: the kernel, and an initial RAM disk
// with the modules for xHCI and one program, init.
//
// Specifications:
//   - Linux: Documentation/driver-api/early-userspace/buffer-format (the archive),
//     Documentation/admin-guide/efi-stub
package linux

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kernel is the kernel's file in a folder that linux.sh has filled: an EFI application.
const Kernel = "vmlinuz.efi"

// Found is the beginning of init's line for a device, Done its last line.
const (
	Found = "usb device:"
	Done  = "init: all devices found"
)

// root is the module whose dependencies are all that is needed.
const root = "xhci-pci"

// RAMDisk is the archive with init, built from this folder's package of that name, and with the
// modules in folder.
func RAMDisk(folder, init string) ([]byte, error) {
	modules, err := load(filepath.Join(folder, "modules"))
	if err != nil {
		return nil, err
	}
	order, err := modules.order(root)
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return nil, err
	}
	var a archive
	a.add("init", modeProgram, program)
	for _, d := range []string{"dev", "proc", "sys", "modules"} {
		a.add(d, modeFolder, nil)
	}
	for i, name := range order {
		// The names give the order: init loads them alphabetically.
		a.add(fmt.Sprintf("modules/%02d-%s.ko", i, name), modeFile, modules[name].image)
	}
	return a.end(), nil
}

// CommandLine boots the kernel with the RAM disk in a file beside it, on the first serial port.
// init waits for a device for each of wanted, "08e6:4433".
func CommandLine(disk string, wanted ...string) string {
	line := Kernel + ` console=ttyS0 loglevel=4 panic=-1 initrd=\` + disk
	if len(wanted) > 0 {
		line += " -- " + strings.Join(wanted, " ")
	}
	return line
}

type module struct {
	image   []byte
	depends []string
}

type modules map[string]module

func load(folder string) (modules, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.ko"))
	if err != nil {
		return nil, err
	}
	all := modules{}
	for _, path := range paths {
		image, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		depends, err := depends(image)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all[canonical(strings.TrimSuffix(filepath.Base(path), ".ko"))] = module{image, depends}
	}
	return all, nil
}

// canonical returns a module's name with dashes: in file names and dependencies they stand for
// underscores.
func canonical(name string) string { return strings.ReplaceAll(name, "_", "-") }

var errModule = errors.New("no kernel module")

// depends reads a module's dependencies from its .modinfo section, a list of "key=value", each
// ended by a zero byte.
func depends(image []byte) (names []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errModule
	}
	text, err := section.Data()
	if err != nil {
		return nil, err
	}
	for _, entry := range strings.Split(string(text), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			for _, name := range strings.Split(list, ",") {
				names = append(names, canonical(name))
			}
		}
	}
	return names, nil
}

// order lists a module after all that it depends on. A missing module is taken for part of the
// kernel.
func (m modules) order(name string) ([]string, error) {
	if _, ok := m[name]; !ok {
		return nil, fmt.Errorf("%w: %s is not among %d modules", errModule, name, len(m))
	}
	var list []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if _, ok := m[name]; !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, d := range m[name].depends {
			visit(d)
		}
		list = append(list, name)
	}
	visit(name)
	return list, nil
}
