package image

import (
	"debug/elf"
	"debug/pe"
	"fmt"
)

// A machine is what a program for one processor architecture has of its own.
type machine struct {
	name string
	elf  elf.Machine
	pe   uint16 // [PE], "Machine Types"
	// relative is the dynamic relocation of a 64-bit pointer by the difference between the
	// addresses of linking and loading, without a symbol.
	relative     uint32
	relativeName string
}

// machines is the table of what Convert takes.
var machines = []machine{
	{
		name:         "x86-64",
		elf:          elf.EM_X86_64,
		pe:           pe.IMAGE_FILE_MACHINE_AMD64,
		relative:     uint32(elf.R_X86_64_RELATIVE),
		relativeName: elf.R_X86_64_RELATIVE.String(),
	},
}

// machineOf returns the table's row for an ELF file.
func machineOf(f *elf.File) (*machine, error) {
	for i := range machines {
		if m := &machines[i]; m.elf == f.Machine {
			if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
				return nil, fmt.Errorf("%v %v is not an %s program", f.Class, f.Data, m.name)
			}
			return m, nil
		}
	}
	return nil, fmt.Errorf("%v is not supported", f.Machine)
}
