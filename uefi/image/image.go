// Package image writes UEFI images: it turns the ELF program that Go's linker makes into a PE32+
// file that firmware loads, relocates, protects and verifies.
//
// Specifications, by the tags used in this package:
//
//	[PE]    Microsoft PE Format (learn.microsoft.com/windows/win32/debug/pe-format)
//	[ELF]   System V ABI, generic (gABI 4.1) and AMD64 supplement 1.0
//	[UEFI]  UEFI Specification 2.11, 2.1 "UEFI Images"
//	[SBAT]  rhboot/shim, SBAT.md
//	[NX]    Microsoft, "New UEFI CA memory mitigation requirements for signing" (2022)
//
// What goes in is a position-independent executable (go build -buildmode=pie with CGO_ENABLED=0)
// whose only dynamic relocations are those of the table machines, or an executable linked for a
// fixed address. What comes out has one section for each loadable segment: code is R-X, constants
// are R--, and so is data that is constant once it has been relocated (PT_GNU_RELRO); variables are
// RW-. Nothing is both writable and executable.
//
// Distances between ELF addresses are kept, because code refers to data relative to the instruction
// pointer: the page of the first section that is needed at run time gets RVA 0x1000 and the PE
// headers take the page before it. Go links a position-independent program for 0x400000 with its
// code at 0x401000, so there an RVA is the ELF address less 0x400000: a debugger that loads the ELF
// file's symbols at image base - 0x400000 shows the right lines.
//
// What only the dynamic linker, the ELF loader or a debugger reads (relocations, dynamic symbols,
// interpreter, notes, section names, symbols, DWARF) is left out, or zeroed where its place must
// stay.
package image

import "fmt"

// Subsystem is the kind of an image ([UEFI], 2.1.1).
type Subsystem uint16

// Subsystem values ([PE], "Windows Subsystem"; the same numbers are in [UEFI], 2.1.1).
const (
	// Application is unloaded when its entry point returns or it calls Exit.
	Application Subsystem = 10
	// BootServiceDriver may stay in memory until ExitBootServices.
	BootServiceDriver Subsystem = 11
)

// String is the subsystem in words.
func (s Subsystem) String() string {
	switch s {
	case Application:
		return "application"
	case BootServiceDriver:
		return "boot service driver"
	}
	return fmt.Sprintf("subsystem %d", uint16(s))
}

// Options are properties of an image that are not in the ELF file.
type Options struct {
	Subsystem Subsystem
	SBAT      SBAT
}

// Convert returns the PE32+ image of an ELF program. The same program and options always give the
// same bytes. The argument is not changed and not kept. A damaged ELF file is an
// error, and so is one that needs what firmware does not offer; the error gives the reason.
func Convert(program []byte, options Options) ([]byte, error) {
	if s := options.Subsystem; s != Application && s != BootServiceDriver {
		return nil, fmt.Errorf("%v is not supported", s)
	}
	sbat, err := options.SBAT.encode()
	if err != nil {
		return nil, fmt.Errorf("SBAT: %w", err)
	}
	p, err := readProgram(program)
	if err != nil {
		return nil, fmt.Errorf("ELF: %w", err)
	}
	f, err := layout(p)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	f.subsystem = options.Subsystem
	if !p.fixed {
		f.addRelocations()
	}
	f.addSection(".sbat", flagsSBAT, sbat)
	f.closeHoles()
	out, err := f.encode()
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	return out, nil
}
