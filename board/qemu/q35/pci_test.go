package q35

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// chip is a function's configuration space. Bits of sizes are those of its base address registers
// that do not change.
type chip struct {
	words [64]uint32
	sizes [2]uint32
}

// pciBus is the configuration space of some functions.
type pciBus map[address]*chip

func (b pciBus) read(a address, offset uint8) uint32 {
	if c := b[a]; c != nil {
		return c.words[offset/4]
	}
	return absent
}

func (b pciBus) write(a address, offset uint8, v uint32) {
	c := b[a]
	switch i := int(offset-pciBar0) / 4; {
	case c == nil:
	case offset == pciCommand:
		// the status bits are cleared by ones
		c.words[1] = c.words[1]&^commandBits&^(v&^commandBits) | v&commandBits
	case offset >= pciBar0 && i < len(c.sizes):
		c.words[offset/4] = v&c.sizes[i] | c.words[offset/4]&^c.sizes[i]
	default:
		c.words[offset/4] = v
	}
}

const (
	status    = 0x0010 << 16
	classXHCI = 0x0c0330 // any class
)

func newChip(class, header uint32) *chip {
	c := &chip{}
	c.words[0] = 0x00101b36
	c.words[1] = status
	c.words[2] = class << 8
	c.words[3] = header << 16
	return c
}

func newBridge(secondary uint32) *chip {
	c := newChip(0x060400, 1)
	c.words[6] = secondary << 8
	return c
}

// newXHCI is a controller whose BAR 0 has that size, and 64 bits.
func newXHCI(base, size uint64) *chip {
	c := newChip(classXHCI, 0)
	mask := -size
	c.sizes = [2]uint32{uint32(mask), uint32(mask >> 32)}
	c.words[4], c.words[5] = uint32(base)|barType64, uint32(base>>32)
	return c
}

func TestScanFindsAllFunctions(t *testing.T) {
	deep := pciBus{{0, 0, 0}: newChip(0x060000, 0)}
	for bus := range uint8(20) {
		deep[address{bus, 1, 0}] = newBridge(uint32(bus) + 1)
	}
	deep[address{20, 0, 0}] = newXHCI(0x80000000, 0x4000)
	for _, c := range []struct {
		name    string
		bus     pciBus
		want    []string // controllers
		bridges int      // on the way to the last
	}{
		{"nothing", pciBus{}, nil, 0},
		{"on the root bus", pciBus{{0, 3, 0}: newXHCI(0, 0x1000)}, []string{"PCI 0000:00:03.0"}, 0},
		{"as a further function", pciBus{{0, 3, 0}: newChip(0, 0x80),
			{0, 3, 5}: newXHCI(0, 0x1000)}, []string{"PCI 0000:00:03.5"}, 0},
		{"a second function of a device without the bit for several",
			pciBus{{0, 3, 0}: newChip(0, 0), {0, 3, 5}: newXHCI(0, 0x1000)}, nil, 0},
		{"a further function without a first", pciBus{{0, 3, 5}: newXHCI(0, 0x1000)}, nil, 0},
		{"behind a bridge", pciBus{{0, 2, 0}: newBridge(1), {1, 0, 0}: newXHCI(0, 0x1000)},
			[]string{"PCI 0000:01:00.0"}, 1},
		{"behind a bridge without a number",
			pciBus{{0, 2, 0}: newBridge(0), {1, 0, 0}: newXHCI(0, 0x1000)}, nil, 0},
		{"behind two bridges to one bus",
			pciBus{{0, 2, 0}: newBridge(1), {0, 4, 0}: newBridge(1), {1, 0, 0}: newXHCI(0, 0x1000)},
			[]string{"PCI 0000:01:00.0"}, 1},
		{"behind a bridge that leads back",
			pciBus{{0, 2, 0}: newBridge(1), {1, 2, 0}: newBridge(1), {1, 3, 0}: newXHCI(0, 0x1000)},
			[]string{"PCI 0000:01:03.0"}, 1},
		{"behind twenty bridges", deep, []string{"PCI 0000:14:00.0"}, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			bridges := 0
			for _, f := range scan(c.bus) {
				if f.class == classXHCI {
					got = append(got, f.address.String())
					bridges = len(f.bridges)
				}
			}
			if !slices.Equal(got, c.want) || bridges != c.bridges {
				t.Errorf("%q, %d bridges", got, bridges)
			}
		})
	}
}

func TestBAR0(t *testing.T) {
	at := address{1, 2, 3}
	narrow := newChip(classXHCI, 0)
	narrow.sizes = [2]uint32{0xffff0000, 0}
	narrow.words[4] = 0xfebf0000
	io := newChip(classXHCI, 0)
	io.words[4] = 0xe001
	for _, c := range []struct {
		name string
		chip *chip
		want window
		err  error
	}{
		{"32 bits", narrow, window{0xfebf0000, 0x10000}, nil},
		{"64 bits, below 4 GiB", newXHCI(0xfebf0000, 0x4000), window{0xfebf0000, 0x4000}, nil},
		{"64 bits, above", newXHCI(0x38_0000_0000, 0x4000), window{0x38_0000_0000, 0x4000}, nil},
		{"8 GiB", newXHCI(0x40_0000_0000, 8<<30), window{0x40_0000_0000, 8 << 30}, nil},
		{"not assigned", newXHCI(0, 0x4000), window{}, errUnassigned},
		{"ports", io, window{}, errNotMemory},
		{"no function", nil, window{}, errNotMemory},
		{"no size", newXHCI(0x1000, 1<<63), window{}, errSize},
		{"a size that is no power of two", newXHCI(0xfebf0000, 0x3000), window{}, errSize},
		{"an address that no processor has", newXHCI(1<<62, 0x4000), window{}, errSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus := pciBus{}
			if c.chip != nil {
				c.chip.words[1] |= commandMemory
				bus[at] = c.chip
			}
			var before chip
			if c.chip != nil {
				before = *c.chip
			}
			w, err := memoryBAR(bus, at, 0)
			if !errors.Is(err, c.err) || err == nil && w != c.want {
				t.Errorf("%#x, %v", w, err)
			}
			if err != nil && !strings.Contains(err.Error(), "PCI 0000:01:02.3: BAR 0") {
				t.Errorf("%v does not name the function", err)
			}
			if c.chip != nil && *c.chip != before {
				t.Error("configuration space is not as it was")
			}
		})
	}
}

func TestEnableSetsFunctionAndBridges(t *testing.T) {
	bus := pciBus{{0, 2, 0}: newBridge(1), {1, 0, 0}: newBridge(2),
		{2, 0, 0}: newXHCI(0x80000000, 0x4000), {0, 3, 0}: newBridge(9)}
	for _, f := range scan(bus) {
		if f.class == classXHCI {
			enable(bus, f)
		}
	}
	for a, want := range map[address]uint32{
		{0, 2, 0}: status | commandMemory | commandMaster,
		{1, 0, 0}: status | commandMemory | commandMaster,
		{2, 0, 0}: status | commandMemory | commandMaster | commandNoINTx,
		{0, 3, 0}: status,
	} {
		if got := bus.read(a, pciCommand); got != want {
			t.Errorf("%v: command and status %#x, want %#x", a, got, want)
		}
	}
}

func TestSilenceEndsBusMastering(t *testing.T) {
	bus := pciBus{{0, 3, 0}: newXHCI(0x80000000, 0x4000)}
	enable(bus, scan(bus)[0])
	silence(bus, address{0, 3, 0})
	if got := bus.read(address{0, 3, 0}, pciCommand); got != status|commandMemory|commandNoINTx {
		t.Errorf("command and status %#x", got)
	}
}
