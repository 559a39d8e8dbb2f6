//go:build linux && !tamago

package harness

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Controller is a USB host controller model of QEMU, and options for it behind a comma if need be.
type Controller string

// Controllers for which Debian's OVMF has a driver.
const (
	XHCI    Controller = "qemu-xhci"
	NECXHCI Controller = "nec-usb-xhci"
	EHCI    Controller = "usb-ehci"
	UHCI    Controller = "piix3-usb-uhci"
)

// Identifiers of the devices that this package creates, for device paths in QMP commands.
const (
	// USBBus is the bus that USB devices are plugged into.
	USBBus = controllerID + ".0"
	// ReaderID names QEMU's CCID reader.
	ReaderID = "reader"
	// CardID names the card in that reader.
	CardID = "card"

	controllerID = "usb"
	cardChannel  = "cardsocket"
)

// defaultMemory in MiB suffices for the firmware (about 60) and a Go image (policy).
const defaultMemory = 256

// defaultLimit ends a machine that the caller does not end (policy).
const defaultLimit = 5 * time.Minute

// A Card plays the card side of QEMU's ccid-card-passthru device (the VSCARD protocol) on one
// connection. It returns when the connection or ctx ends.
type Card func(ctx context.Context, conn io.ReadWriteCloser) error

// Config describes a machine. The zero value is a PC with firmware, an xHCI controller and no
// devices.
type Config struct {
	// Arch is the machine's architecture as GOARCH names it; empty means amd64.
	Arch string
	// Memory is the machine's memory in MiB; 0 means 256.
	Memory int
	// Controller is the USB host controller; empty means XHCI.
	Controller Controller
	// Volume is a host directory that the machine has as its FAT volume FS0:. It is read when the
	// machine starts: later changes have no effect. What the guest writes is discarded. Empty means
	// no volume.
	Volume string
	// Reader plugs in QEMU's own CCID reader (usb-ccid).
	Reader bool
	// Card, when set, is in that reader from the start. It is also what PlugReader inserts.
	Card Card
	// Capture, when set, is the file that the reader's USB packets go to (pcap, link type 220).
	Capture string
	// Hubs are ports with a hub on each from the start: "1", and "1.2" for a hub on its second
	// port. A hub comes after the one that it is on. All hubs are full speed and have eight ports.
	Hubs []string
	// Redirected are devices that are plugged in from the start.
	Redirected []Redirected
	// Args are further arguments for QEMU.
	Args []string
	// Firmware replaces the firmware that is installed on this host.
	Firmware Firmware
	// Kernel, when set, is the kernel image that runs on the machine instead of UEFI firmware, with
	// CommandLine. There is no Shell then; Exit returns how the kernel ended.
	Kernel, CommandLine string
	// Output receives a copy of the console's text while it arrives.
	Output io.Writer
	// DebugLog, when set, is the file that a debug build of the firmware logs to (I/O port 0x402).
	DebugLog string
	// Limit is how long the machine may run; 0 means 5 minutes.
	Limit time.Duration

	platform *platform // of Arch
}

// complete fills in the defaults and rejects what QEMU would reject, with errors that are easier to
// understand.
func (c Config) complete() (Config, error) {
	if c.Arch == "" {
		c.Arch = defaultArch
	}
	p, err := platformOf(c.Arch)
	if err != nil {
		return c, err
	}
	c.platform = p
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	if c.Controller == "" {
		c.Controller = XHCI
	}
	if c.Limit == 0 {
		c.Limit = defaultLimit
	}
	if c.Memory < 0 || c.Limit < 0 {
		return c, fmt.Errorf("qemu: memory of %d MiB or a limit of %v is negative", c.Memory,
			c.Limit)
	}
	if c.Card != nil && !c.Reader {
		return c, fmt.Errorf("qemu: a card without a reader")
	}
	if c.Reader && c.Controller == EHCI {
		// QEMU's usb-ccid is full speed only, and an EHCI controller without companions serves high
		// speed only.
		return c, fmt.Errorf("qemu: usb-ccid cannot be plugged into %s", EHCI)
	}
	if c.Volume != "" {
		path, err := filepath.Abs(c.Volume)
		if err != nil {
			return c, fmt.Errorf("qemu: volume: %w", err)
		}
		// vvfat takes everything before the last colon for options.
		if strings.Contains(path, ":") {
			return c, fmt.Errorf("qemu: volume %s: QEMU takes no colon in the path", path)
		}
		c.Volume = path
	}
	if c.Kernel == "" && c.CommandLine != "" {
		return c, fmt.Errorf("qemu: a command line without a kernel")
	}
	if c.Kernel == "" && c.Firmware == (Firmware{}) {
		f, err := c.platform.findFirmware(isFile)
		if err != nil {
			return c, err
		}
		c.Firmware = f
	}
	return c, nil
}

// files are the files of one machine: paths, and the number of an inherited file descriptor.
type files struct {
	vars    string // private variable store
	card    string // socket that the card listens on
	dir     string // of the sockets of redirected devices
	monitor int
}

// arguments is the command line of QEMU for a completed configuration.
func (c Config) arguments(f files) []string {
	args := []string{
		"-nodefaults", "-no-user-config",
		// KVM is often present and not usable in a nested machine; emulation works everywhere.
		"-accel", "tcg,thread=multi",
		"-m", strconv.Itoa(c.Memory),
		"-display", "none", "-vga", "none", "-nic", "none",
		"-no-reboot",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", f.monitor), "-mon",
		"chardev=monitor,mode=control",
		"-device", string(c.Controller) + ",id=" + controllerID,
	}
	args = append(args, c.platform.machine...)
	args = append(args, c.program(f)...)
	if c.Volume != "" {
		// The directory itself is never written: snapshot=on keeps the guest's writes in a
		// temporary file.
		args = append(args,
			"-drive", "if=none,id=volume,format=raw,snapshot=on,file=fat:"+escape(c.Volume),
			"-device", "virtio-blk-pci,drive=volume")
	}
	if c.Card != nil {
		args = append(args, "-chardev", "socket,id="+cardChannel+",path="+escape(f.card))
	}
	if c.Reader {
		reader := "usb-ccid,id=" + ReaderID + ",bus=" + USBBus
		if c.Capture != "" {
			reader += ",pcap=" + escape(c.Capture)
		}
		args = append(args, "-device", reader)
	}
	if c.Card != nil {
		args = append(args, "-device",
			"ccid-card-passthru,id="+CardID+",bus="+ReaderID+".0,chardev="+cardChannel)
	}
	for _, port := range c.Hubs {
		args = append(args, "-device", "usb-hub,id="+HubID(port)+",bus="+USBBus+",port="+port)
	}
	if c.DebugLog != "" {
		args = append(args, "-debugcon", "file:"+c.DebugLog, "-global", "isa-debugcon.iobase=0x402")
	}
	args = append(args, c.Args...)
	for _, r := range c.Redirected { // a bus may be among the further arguments
		args = append(args, r.arguments(f.dir)...)
	}
	return args
}

// program is the part of the command line with the program that the machine starts.
func (c Config) program(f files) []string {
	if c.Kernel == "" {
		return []string{
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + escape(c.Firmware.Code),
			"-drive", "if=pflash,unit=1,format=raw,file=" + escape(f.vars),
		}
	}
	args := []string{"-kernel", c.Kernel, "-device", exitDevice}
	if c.CommandLine != "" {
		args = append(args, "-append", c.CommandLine)
	}
	return args
}

// escape doubles the commas of a value inside one of QEMU's comma-separated options.
func escape(value string) string {
	return strings.ReplaceAll(value, ",", ",,")
}
