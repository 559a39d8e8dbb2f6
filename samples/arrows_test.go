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
// A new folder needs a row; an import that is added to a row must obey the rule of its room.
var rooms = []room{
	{
		name: "ccid",
		rule: "The class driver is independent of UEFI, PCI, Linux and host controllers: " +
			"it reaches a reader through the Transport of ccid/usb, which is below all others.",
		rows: []row{
			{
				folder: "ccid",
				imports: "ccid/apdu ccid/atr ccid/internal/... ccid/quirk ccid/scard ccid/t0 " +
					"ccid/t1 ccid/usb",
				tests: "ccid/sim/...",
			},
			{folder: "ccid/apdu"},
			{folder: "ccid/atr"},
			{folder: "ccid/internal/pipe", imports: "ccid/atr ccid/internal/wait ccid/usb"},
			{folder: "ccid/internal/wait"},
			// Numbers that ccid, sclib and uefi/smartcard share.
			{folder: "ccid/scard"},
			{folder: "ccid/quirk", imports: "ccid/atr ccid/scard"},
			{folder: "ccid/t0", imports: "ccid/apdu"},
			{folder: "ccid/t1", imports: "ccid/apdu"},
			{folder: "ccid/usb"},
		},
	},
	{
		name: "ccid/sim",
		rule: "The simulator shares the wire types of ccid/usb with the class driver that it " +
			"tests, and no code: an error in shared code would cancel out.",
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
		rule: "The USB host and its controller drivers are independent of smart cards, UEFI and " +
			"boards. Of ccid they share the wire types in ccid/usb.",
		rows: []row{
			{folder: "baremetal/overlay", imports: "os/..."},
			{folder: "baremetal/cpu"},
			{folder: "baremetal/cpu/*", imports: "baremetal/cpu unsafe"},
			{
				folder:  "baremetal/usbhost",
				imports: "ccid/usb",
				tests:   "baremetal/usbhost/usbtest ccid ccid/sim/...",
			},
			// The table of drivers. Only who finds controllers imports it, and no driver does.
			{
				folder:  "baremetal/usbhost/controllers",
				imports: "baremetal/usbhost baremetal/usbhost/hcd baremetal/usbhost/xhci",
			},
			{
				folder: "baremetal/usbhost/dmamem",
				imports: "baremetal/usbhost baremetal/usbhost/hcd " +
					"github.com/usbarmory/tamago/dma unsafe",
			},
			{folder: "baremetal/usbhost/hcd", imports: "unsafe"},
			{
				folder:  "baremetal/usbhost/xhci",
				imports: "baremetal/usbhost baremetal/usbhost/hcd ccid/usb unsafe",
				tests: "baremetal/usbhost/usbtest baremetal/usbhost/xhci/xhcitest ccid " +
					"ccid/sim/...",
			},
			// Virtual controllers, for tests only. The devices on them are virtual readers.
			{
				folder:  "baremetal/usbhost/usbtest",
				imports: "baremetal/usbhost ccid/sim/reader ccid/usb",
			},
			{
				folder: "baremetal/usbhost/xhci/xhcitest",
				imports: "baremetal/usbhost baremetal/usbhost/hcd baremetal/usbhost/usbtest " +
					"ccid/usb unsafe",
			},
		},
	},
	{
		name: "sclib",
		rule: "PC/SC for Go is independent of UEFI and boards. A backend imports what it serves.",
		rows: []row{
			{folder: "sclib", imports: "ccid/scard ccid/usb", tests: "sclib/sclibtest"},
			{folder: "sclib/iso7816", imports: "ccid/apdu"},
			{
				folder:  "sclib/native",
				imports: "baremetal/usbhost ccid ccid/usb sclib",
				tests:   "baremetal/usbhost/usbtest ccid/sim/... sclib/iso7816",
			},
			{folder: "sclib/pcsclite", imports: "net os sclib"},
			{folder: "sclib/sclibtest", imports: "sclib"},
		},
	},
	{
		name: "uefi",
		rule: "The driver uses ccid directly for the slot, which it owns; everything above a " +
			"slot comes from sclib. Only programs and tests import a board.",
		rows: []row{
			{
				folder:  "uefi",
				imports: "uefi/gate uefi/internal/abi unsafe",
				tests:   "board/uefi uefi/uefitest",
			},
			{folder: "uefi/gate", imports: "baremetal/cpu/amd64 runtime/goos syscall unsafe"},
			{folder: "uefi/image"},
			{folder: "uefi/image/cmd/mkefi", imports: "os uefi/image"},
			{folder: "uefi/internal/abi", imports: "uefi/gate unsafe"},
			{
				folder: "uefi/pcihost",
				imports: "baremetal/usbhost baremetal/usbhost/controllers " +
					"baremetal/usbhost/dmamem baremetal/usbhost/hcd uefi uefi/gate unsafe",
				tests: "uefi/uefitest",
			},
			{
				folder:  "uefi/pcsc",
				imports: "sclib uefi uefi/smartcard",
				tests:   "sclib/... uefi/uefitest",
			},
			{
				folder:  "uefi/smartcard",
				imports: "ccid/scard uefi uefi/internal/abi unsafe",
				tests:   "uefi/uefitest",
			},
			{
				folder:  "uefi/usbio",
				imports: "ccid/usb uefi unsafe",
				tests:   "board/uefi uefi/gate uefi/internal/abi uefi/uefitest",
			},
			{
				folder: "uefi/driver",
				imports: "baremetal/usbhost baremetal/usbhost/hcd ccid ccid/scard ccid/usb uefi " +
					"uefi/gate uefi/pcihost uefi/smartcard uefi/usbio " +
					"github.com/u-root/u-root/pkg/shlex unsafe",
				tests: "baremetal/usbhost/usbtest ccid/sim/... uefi/uefitest",
			},
			{
				folder:  "uefi/driver/SmartCardReader",
				imports: "board/uefi runtime/goos uefi uefi/driver uefi/gate",
			},
			// The firmware of host tests.
			{
				folder:  "uefi/uefitest",
				imports: "ccid/usb uefi uefi/internal/abi uefi/smartcard unsafe",
			},
			// The tests start machines; the folders below hold the programs that run on them.
			{folder: "uefi/efitest", tests: "board/qemu/harness/... ccid/sim/... ccid/usb"},
			{
				folder: "uefi/efitest/*",
				imports: "board/qemu/harness/inside board/uefi uefi uefi/driver uefi/gate " +
					"uefi/pcihost uefi/smartcard github.com/usbarmory/tamago/... os unsafe",
			},
		},
	},
	{
		name: "board",
		rule: "A board is independent of smart cards. Only board/auto is not: it chooses the " +
			"backend that belongs to a board.",
		rows: []row{
			{
				folder:  "board/auto",
				imports: "board/qemu/q35 board/uefi sclib sclib/native sclib/pcsclite uefi/pcsc",
			},
			{
				folder: "board/qemu/q35",
				imports: "baremetal/cpu baremetal/cpu/amd64 baremetal/usbhost " +
					"baremetal/usbhost/controllers baremetal/usbhost/dmamem " +
					"baremetal/usbhost/hcd board/qemu/q35/internal/bootinfo " +
					"github.com/u-root/u-root/pkg/shlex github.com/usbarmory/tamago/... os " +
					"runtime/goos unsafe",
			},
			{folder: "board/qemu/q35/cmd/mkkernel", imports: "board/qemu/q35/kernel os"},
			{folder: "board/qemu/q35/internal/bootinfo"},
			{
				folder:  "board/qemu/q35/kernel",
				imports: "baremetal/cpu/amd64 board/qemu/q35/internal/bootinfo",
			},
			{
				// The test of the machine: the program, and what starts it in QEMU with readers.
				folder:  "board/qemu/q35/machine",
				imports: "board/qemu/q35 board/qemu/harness/inside os runtime/goos unsafe",
				tests:   "board/qemu/harness/... ccid/sim/...",
			},
			{
				folder: "board/uefi",
				imports: "baremetal/cpu baremetal/cpu/amd64 uefi uefi/gate " +
					"github.com/u-root/u-root/pkg/shlex os runtime/goos unsafe",
			},
		},
	},
	{
		name: "board/qemu/harness",
		rule: "The test harness is no board: it starts machines and attaches virtual readers and " +
			"cards to them. It imports the simulator; only its agent, a test program, " +
			"imports sclib.",
		rows: []row{
			{folder: "board/qemu/harness", imports: "net os/... syscall", tests: "ccid/sim/..."},
			{
				folder:  "board/qemu/harness/agent",
				imports: "board/auto board/qemu/q35 os sclib/... uefi",
			},
			{
				folder: "board/qemu/harness/cmd/efitest",
				imports: "board/qemu/harness board/qemu/harness/cmd/internal/program " +
					"ccid/sim/... os/... uefi/image",
			},
			{folder: "board/qemu/harness/cmd/internal/program", imports: "os/... syscall"},
			{
				folder: "board/qemu/harness/cmd/run",
				imports: "board/qemu/harness board/qemu/harness/cmd/internal/program " +
					"ccid/sim/... os",
			},
			{folder: "board/qemu/harness/inside", imports: "github.com/usbarmory/tamago/... os"},
			{folder: "board/qemu/harness/linux", imports: "os"},
			{
				folder:  "board/qemu/harness/linux/init",
				imports: "board/qemu/harness/linux os syscall unsafe",
			},
			{
				folder:  "board/qemu/harness/usbcases",
				imports: "board/qemu/harness ccid/sim/... ccid/usb os",
			},
		},
	},
	{
		name: "samples",
		rule: "A sample imports sclib and board/auto, or the board that it is for.",
		rows: []row{
			{folder: "samples"}, // this test
			{
				folder:  "samples/exchange",
				imports: "board/auto os sclib/...",
				tests:   "ccid ccid/sim/...",
			},
			{folder: "samples/helloworld", imports: "board/auto os sclib/..."},
			// A UEFI boot loader, which loads the driver and uses no card.
			{folder: "samples/loaddriver", imports: "board/uefi os uefi", tests: "uefi/uefitest"},
			// A virtual reader for other programs: a sample of the simulator.
			{folder: "samples/vreader", imports: "ccid/sim/... ccid/usb net os/... syscall"},
		},
	},
}

// exceptions are imports that break the rule of their room, each with the planned move that ends
// it. An exception that no file needs is a failure, so that it does not outlive the move.
var exceptions []exception

// TestArrows reports every import of this module that the table does not allow, in every file of
// every package, whatever its build constraints.
func TestArrows(t *testing.T) {
	module, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	faults, err := checkImports(os.DirFS(".."), strings.TrimSpace(string(module)), rooms,
		exceptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}
