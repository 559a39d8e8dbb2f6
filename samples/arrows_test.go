//go:build !tamago

// Package samples is the folder of programs to copy from; each is in a folder of its own. The
// package itself holds the test of which folder of this module imports which.
//
// The test is here because the samples are at the top of the design: they may import every other
// folder and none imports them. In a folder below, a table that names all folders would itself
// depend on what is above it.
package samples

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// rooms is the table of allowed imports. Imports point downwards, from applications to the wire.
// Whoever adds a folder adds its row; whoever adds an import to a row checks it against the rule.
var rooms = []room{
	{
		name: "ccid",
		rule: "The class driver knows nothing about UEFI, PCI, Linux or a host controller: " +
			"it reaches a reader through the Transport of ccid/usb, which is below all others.",
		rows: []row{
			{
				folder:  "ccid",
				imports: "ccid/apdu ccid/atr ccid/t0 ccid/t1 ccid/usb",
				tests:   "ccid/sim/...",
			},
			{folder: "ccid/apdu"},
			{folder: "ccid/atr"},
			{folder: "ccid/t0", imports: "ccid/apdu"},
			{folder: "ccid/t1"},
			{folder: "ccid/usb"},
		},
	},
	{
		name: "ccid/sim",
		rule: "The simulator shares the wire types of ccid/usb with the class driver that it tests, " +
			"and no code: an error in shared code would cancel out.",
		rows: []row{
			{folder: "ccid/sim/capture", imports: "ccid/usb", tests: "ccid/sim/..."},
			{folder: "ccid/sim/card"},
			{folder: "ccid/sim/ifd", imports: "ccid/sim/card"},
			{folder: "ccid/sim/reader", imports: "ccid/sim/card ccid/sim/ifd ccid/usb"},
			{
				folder:  "ccid/sim/usbredir",
				imports: "ccid/sim/reader ccid/usb net",
				tests:   "ccid/sim/...",
			},
			{folder: "ccid/sim/vscard", imports: "ccid/sim/card ccid/sim/ifd net"},
		},
	},
	{
		name: "baremetal",
		rule: "The USB host and its controller drivers know nothing about smart cards, UEFI or a " +
			"board. Of ccid they share the wire types in ccid/usb.",
		rows: []row{
			{folder: "baremetal/overlay", imports: "os/..."},
			{
				folder:  "baremetal/usb",
				imports: "ccid/usb",
				tests:   "baremetal/usb/usbtest ccid ccid/sim/...",
			},
			{
				folder:  "baremetal/usb/dmamem",
				imports: "baremetal/usb github.com/usbarmory/tamago/dma unsafe",
			},
			{
				folder:  "baremetal/usb/xhci",
				imports: "baremetal/usb ccid/usb unsafe",
				tests:   "baremetal/usb/xhci/xhcitest ccid ccid/sim/...",
			},
			// Virtual controllers, for tests only. The devices on them are virtual readers.
			{folder: "baremetal/usb/usbtest", imports: "baremetal/usb ccid/sim/reader ccid/usb"},
			{
				folder:  "baremetal/usb/xhci/xhcitest",
				imports: "baremetal/usb ccid/sim/reader ccid/usb unsafe",
			},
		},
	},
	{
		name: "sclib",
		rule: "PC/SC for Go knows nothing about UEFI or a board. A backend imports what it serves.",
		rows: []row{
			{folder: "sclib", imports: "ccid/usb", tests: "sclib/sclibtest"},
			{folder: "sclib/core", imports: "ccid ccid/usb sclib", tests: "ccid/sim/... sclib/iso7816"},
			{folder: "sclib/efi", imports: "sclib"}, // see exceptions
			{folder: "sclib/iso7816", imports: "ccid/apdu"},
			{folder: "sclib/pcsclite", imports: "net os sclib"},
			{folder: "sclib/sclibtest", imports: "sclib"},
			{
				folder:  "sclib/usbhost",
				imports: "baremetal/usb sclib/core",
				tests:   "baremetal/usb/usbtest ccid/sim/... ccid/usb sclib sclib/iso7816",
			},
		},
	},
	{
		name: "uefi",
		rule: "The driver uses ccid directly for the slot, which it owns; everything above a slot " +
			"comes from sclib. Only programs and tests import a board.",
		rows: []row{
			{folder: "uefi", imports: "uefi/gate uefi/internal/abi unsafe", tests: "board/uefi/x64"},
			{folder: "uefi/gate", imports: "runtime/goos syscall unsafe"},
			{folder: "uefi/image"},
			{folder: "uefi/image/cmd/mkefi", imports: "os uefi/image"},
			{folder: "uefi/internal/abi", imports: "uefi/gate unsafe"},
			{
				folder:  "uefi/pciusb",
				imports: "baremetal/usb baremetal/usb/dmamem uefi uefi/gate unsafe",
				tests:   "uefi/internal/abi",
			},
			{folder: "uefi/smartcard", imports: "uefi uefi/internal/abi unsafe"},
			{
				folder:  "uefi/usbio",
				imports: "ccid/usb uefi unsafe",
				tests:   "board/uefi/x64 uefi/gate uefi/internal/abi",
			},
			{
				folder: "uefi/driver",
				imports: "baremetal/usb baremetal/usb/xhci ccid ccid/usb uefi uefi/gate uefi/pciusb " +
					"uefi/smartcard uefi/usbio github.com/u-root/u-root/pkg/shlex unsafe",
				tests: "baremetal/usb/usbtest ccid/sim/... uefi/internal/abi",
			},
			{
				folder:  "uefi/driver/SmartCardReader",
				imports: "board/uefi/x64 runtime/goos uefi uefi/driver uefi/gate",
			},
			// The tests start machines; the folders below hold the programs that run on them.
			{folder: "uefi/efitest", tests: "board/qemu/... ccid/sim/... ccid/usb"},
			{
				folder: "uefi/efitest/*",
				imports: "board/qemu/inside board/uefi/x64 uefi uefi/driver uefi/gate uefi/pciusb " +
					"uefi/smartcard github.com/usbarmory/tamago/... os unsafe",
			},
		},
	},
	{
		name: "board",
		rule: "A board knows nothing about smart cards.",
		rows: []row{
			{
				folder: "board/q35",
				imports: "baremetal/usb baremetal/usb/dmamem baremetal/usb/xhci " +
					"board/q35/internal/bootinfo board/x86 github.com/u-root/u-root/pkg/shlex " +
					"github.com/usbarmory/tamago/... os runtime/goos unsafe",
			},
			{folder: "board/q35/cmd/mkkernel", imports: "board/q35/kernel os"},
			{folder: "board/q35/internal/bootinfo"},
			{folder: "board/q35/kernel", imports: "board/q35/internal/bootinfo"},
			{
				// The test of the machine: the program, and what starts it in QEMU with readers.
				folder:  "board/q35/machine",
				imports: "board/q35 board/qemu/inside os runtime/goos unsafe",
				tests:   "board/qemu/... ccid/sim/...",
			},
			{
				folder: "board/uefi/x64",
				imports: "board/x86 uefi uefi/gate github.com/u-root/u-root/pkg/shlex os runtime/goos " +
					"unsafe",
			},
			{folder: "board/x86"},
		},
	},
	{
		name: "board/qemu",
		rule: "The test harness is no board: it starts machines and attaches virtual readers and " +
			"cards to them. It knows the simulator; only its agent, a test program, knows sclib.",
		rows: []row{
			{folder: "board/qemu", imports: "net os/... syscall", tests: "ccid/sim/..."},
			{
				folder:  "board/qemu/agent",
				imports: "board/q35 board/uefi/x64 os sclib/... uefi",
			},
			{
				folder:  "board/qemu/cmd/efitest",
				imports: "board/qemu board/qemu/cmd/internal/program ccid/sim/... os/... uefi/image",
			},
			{folder: "board/qemu/cmd/internal/program", imports: "os/... syscall"},
			{
				folder:  "board/qemu/cmd/run",
				imports: "board/qemu board/qemu/cmd/internal/program ccid/sim/... os",
			},
			{folder: "board/qemu/inside", imports: "github.com/usbarmory/tamago/... os"},
			{folder: "board/qemu/linux", imports: "os"},
			{folder: "board/qemu/linux/init", imports: "board/qemu/linux os syscall unsafe"},
			{folder: "board/qemu/usbhost", imports: "board/qemu ccid/sim/... ccid/usb os"},
		},
	},
	{
		name: "samples",
		rule: "A sample imports sclib and the boards that it runs on.",
		rows: []row{
			{folder: "samples"}, // this test
			{
				folder:  "samples/exchange",
				imports: "board/q35 board/uefi/x64 os sclib/...",
				tests:   "ccid ccid/sim/...",
			},
			{folder: "samples/helloworld", imports: "board/q35 board/uefi/x64 os sclib/..."},
			// A UEFI boot loader, which loads the driver and uses no card.
			{folder: "samples/loaddriver", imports: "board/uefi/x64 os uefi"},
			// A virtual reader for other programs: a sample of the simulator.
			{folder: "samples/vreader", imports: "ccid/sim/... ccid/usb net os/... syscall"},
		},
	},
}

// exceptions are imports that break the rule of their room, each with the planned move that ends
// it. An exception that no file needs is a failure, so that it does not outlive the move.
var exceptions = []exception{
	{folder: "sclib/efi", imports: "uefi", until: "this backend moves to uefi/pcsc"},
	{folder: "sclib/efi", imports: "uefi/smartcard", until: "this backend moves to uefi/pcsc"},
}

// TestArrows reports every import of this module that the table does not allow, in every file of
// every package, whatever its build constraints.
func TestArrows(t *testing.T) {
	module, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	faults, err := checkImports(os.DirFS(".."), strings.TrimSpace(string(module)), rooms, exceptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}
