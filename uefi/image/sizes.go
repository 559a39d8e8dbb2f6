package image

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"strings"
)

// Sizes are the sizes of an image.
type Sizes struct {
	File     int    // bytes in the file, signatures included
	Image    uint32 // bytes of memory: SizeOfImage
	Sections []SectionSize
}

// SectionSize is the size of one section.
type SectionSize struct {
	Name       string
	RVA        uint32
	File       uint32 // bytes in the file
	Memory     uint32 // bytes of memory, before rounding up to pages
	Protection string // "r-x", "r--", "rw-"
}

// Measure reads the sizes of any PE32+ image.
func Measure(b []byte) (*Sizes, error) {
	f, err := pe.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil, errors.New("not a PE32+ image")
	}
	s := &Sizes{File: len(b), Image: h.SizeOfImage}
	for _, row := range f.Sections {
		s.Sections = append(s.Sections, SectionSize{
			Name: row.Name, RVA: row.VirtualAddress, File: row.Size, Memory: row.VirtualSize,
			Protection: protection(row.Characteristics),
		})
	}
	return s, nil
}

func protection(flags uint32) string {
	p := []byte("---")
	for i, bit := range []uint32{pe.IMAGE_SCN_MEM_READ, pe.IMAGE_SCN_MEM_WRITE,
		pe.IMAGE_SCN_MEM_EXECUTE} {
		if flags&bit != 0 {
			p[i] = "rwx"[i]
		}
	}
	return string(p)
}

// String returns a table with one line a section and one for the image.
func (s *Sizes) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %10s %10s %10s\n", "section", "rva", "file", "memory")
	for _, x := range s.Sections {
		fmt.Fprintf(&b, "%-8s %#10x %10d %10d  %s\n", x.Name, x.RVA, x.File, x.Memory, x.Protection)
	}
	fmt.Fprintf(&b, "%-8s %10s %10d %10d\n", "total", "", s.File, s.Image)
	return b.String()
}
