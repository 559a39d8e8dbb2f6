package q35

import (
	"errors"
	"fmt"

	"tamaccid/baremetal/cpu/amd64"
)

// Configuration space (PCI, 6.1 and 6.2.5; PCI bridge, 3.2).
const (
	pciID      = 0x00
	pciCommand = 0x04
	pciClass   = 0x08 // class code in bits 31:8
	pciHeader  = 0x0c // header type in bits 23:16
	pciBar0    = 0x10 // base address registers, 4 bytes each
	pciBuses   = 0x18 // of a bridge: secondary bus in bits 15:8

	commandMemory    = 1 << 1
	commandMaster    = 1 << 2
	commandNoINTx    = 1 << 10
	commandDecode    = 0b11   // memory and I/O
	commandBits      = 0xffff // the status register behind them clears what is written as 1
	headerBridge     = 1
	headerFunctions  = 1 << 23 // the device has more than one function
	barIO            = 1 << 0
	barTypeMask      = 0b110
	barType64        = 0b100
	barAddress       = ^uint32(0xf)
	absent           = 0xffffffff
	slots, functions = 32, 8
)

// An address is bus, slot and number of a function.
type address struct{ bus, slot, function uint8 }

func (a address) String() string {
	return fmt.Sprintf("PCI 0000:%02x:%02x.%d", a.bus, a.slot, a.function)
}

// config reads and writes configuration space; offsets are multiples of 4. What is not there reads
// as all ones.
type config interface {
	read(a address, offset uint8) uint32
	write(a address, offset uint8, v uint32)
}

// pciFunction is a function and the bridges on the way to it, the one at the root first.
type pciFunction struct {
	address
	class   uint32
	bridges []address
}

// scan lists all functions, from bus 0 through the bridges whose buses were numbered.
func scan(c config) []pciFunction {
	s := &scanner{config: c}
	s.bus(0, nil)
	return s.found
}

type scanner struct {
	config
	seen  [256]bool // buses
	found []pciFunction
}

func (s *scanner) bus(bus uint8, bridges []address) {
	s.seen[bus] = true
	for slot := range uint8(slots) {
		for fn := range uint8(functions) {
			a := address{bus, slot, fn}
			if id := s.read(a, pciID); id == absent || id == 0 {
				if fn == 0 {
					break
				}
				continue
			}
			header := s.read(a, pciHeader)
			s.found = append(s.found, pciFunction{a, s.read(a, pciClass) >> 8, bridges})
			if header>>16&0x7f == headerBridge {
				// A bridge leads to a bus with a higher number (PCI bridge, 3.2.5.3), and no two to
				// one.
				if next := uint8(s.read(a, pciBuses) >> 8); next > bus && !s.seen[next] {
					s.bus(next, append(bridges[:len(bridges):len(bridges)], a))
				}
			}
			if fn == 0 && header&headerFunctions == 0 {
				break
			}
		}
	}
}

// A window is a range of a function's memory.
type window struct{ base, size uint64 }

var (
	errNotMemory  = errors.New("not memory")
	errUnassigned = errors.New("has no address: none was assigned")
	errSize       = errors.New("has an invalid size")
)

// memoryBAR reads the address of the memory of base address register n. It finds the size (PCI,
// 6.2.5.1) with the function's decoders disabled.
func memoryBAR(c config, a address, n uint8) (w window, err error) {
	bar := pciBar0 + 4*n
	low := c.read(a, bar)
	if low == absent || low&barIO != 0 {
		return w, fmt.Errorf("%v: BAR %d: %w", a, n, errNotMemory)
	}
	wide := low&barTypeMask == barType64
	command := c.read(a, pciCommand) & commandBits
	c.write(a, pciCommand, command&^commandDecode)
	w.base = uint64(low & barAddress)
	c.write(a, bar, absent)
	mask := uint64(c.read(a, bar)&barAddress) | 0xffffffff<<32
	c.write(a, bar, low)
	if wide {
		high := c.read(a, bar+4)
		w.base |= uint64(high) << 32
		c.write(a, bar+4, absent)
		mask = mask&0xffffffff | uint64(c.read(a, bar+4))<<32
		c.write(a, bar+4, high)
	}
	c.write(a, pciCommand, command)
	w.size = -mask
	switch {
	case w.base == 0:
		return w, fmt.Errorf("%v: BAR %d %w", a, n, errUnassigned)
	case w.size < pageSize || w.size&(w.size-1) != 0 || w.base%w.size != 0 ||
		w.base > amd64.EndOfLowerHalf-w.size:
		return w, fmt.Errorf("%v: BAR %d at %#x, %#x bytes: %w", a, n, w.base, w.size, errSize)
	}
	return w, nil
}

// enable lets a function, and the bridges on the way, answer and use memory. Its interrupt pin
// stays silent.
func enable(c config, f pciFunction) {
	for _, b := range f.bridges {
		c.write(b, pciCommand, c.read(b, pciCommand)&commandBits|commandMemory|commandMaster)
	}
	c.write(f.address, pciCommand,
		c.read(f.address, pciCommand)&commandBits|commandMemory|commandMaster|commandNoINTx)
}

// silence ends a function's access to memory.
func silence(c config, a address) {
	c.write(a, pciCommand, c.read(a, pciCommand)&commandBits&^commandMaster)
}
