package dmamem

import "testing"

func TestNeedIsRefusedForWhatNothingCanHave(t *testing.T) {
	for _, c := range []struct {
		name        string
		size, align int
	}{
		{name: "no bytes", align: 16},
		{name: "fewer than no bytes", size: -1, align: 16},
		{name: "more than a buffer may have", size: maxSize + 1, align: 16},
		{name: "an alignment that is no power of two", size: 64, align: 48},
		{name: "a negative alignment", size: 64, align: -64},
		{name: "an alignment beyond all memory", size: 64, align: maxSize << 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, ok := needOf(c.size, c.align, 0); ok {
				t.Errorf("%d bytes on %d: %+v", c.size, c.align, n)
			}
		})
	}
}

// Wherever the allocator places a block, the buffer in it has the alignment of an hcd.Buffer.
func TestABufferIsAlignedOnTheBusAndCrossesNoBoundary(t *testing.T) {
	for _, delta := range []uint64{0, 1 << 32, 1<<64 - 1<<33, pageSize, 3 * pageSize,
		1<<64 - pageSize, 5*boundary + 7*pageSize} {
		for _, size := range []int{1, 8, 16, 17, 64, 100, 1024, 2112, 4096, 5000, 33 << 10,
			boundary, boundary + 1, 300 << 10} {
			for _, align := range []int{0, 1, 16, 64, 4096, 16 << 10, boundary, 2 * boundary} {
				n, ok := needOf(size, align, delta)
				if !ok {
					t.Fatalf("%d bytes on %d are refused", size, align)
				}
				step := uintptr(n.align)
				for base := (uintptr(0x12345678)/step +
					1) * step; base < 0x12345678+40*step; base += step {
					off := n.offset(base, delta)
					bus := uint64(base) + uint64(off) + delta
					if align > 0 && bus%uint64(align) != 0 {
						t.Fatalf("%d bytes on %d, distance %#x: bus address %#x", size, align,
							delta, bus)
					}
					if uint(off)+uint(size) > n.size {
						t.Fatalf("%d bytes on %d, distance %#x: end behind what was reserved", size,
							align, delta)
					}
					if size <= boundary && bus/boundary != (bus+uint64(size)-1)/boundary {
						t.Fatalf("%d bytes on %d at %#x cross a boundary", size, align, bus)
					}
				}
			}
		}
	}
}

func TestFitsAsksForWhatTheAllocatorWillTake(t *testing.T) {
	n := need{size: 0x1000, align: 0x1000}
	for _, c := range []struct {
		name string
		free map[uint]uint
		want bool
	}{
		{name: "nothing is free"},
		{name: "one block, as it must be", free: map[uint]uint{0x4000: 0x1000}, want: true},
		{name: "a block one byte short", free: map[uint]uint{0x4000: 0xfff}},
		{name: "a block whose aligned part is too short", free: map[uint]uint{0x4010: 0x1000}},
		{name: "a block with room for alignment", free: map[uint]uint{0x4010: 0x1ff0}, want: true},
		{name: "a block smaller than its own alignment", free: map[uint]uint{0x4010: 0x20}},
		{name: "pieces that are enough together only",
			free: map[uint]uint{0x4000: 0x800, 0x6000: 0x800}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fits(c.free, n); got != c.want {
				t.Errorf("fits = %v", got)
			}
		})
	}
}

func TestAChunkThatIsNotWhatWasAskedForIsRefused(t *testing.T) {
	good := Chunk{CPU: 0x100000, Bus: 0x100000, Size: chunkSize}
	if !good.valid(chunkSize) {
		t.Error("a good chunk is refused")
	}
	for name, change := range map[string]func(*Chunk){
		"too small":                      func(c *Chunk) { c.Size-- },
		"of negative size":               func(c *Chunk) { c.Size = -1 },
		"at address 0":                   func(c *Chunk) { c.CPU = 0 },
		"not on a page":                  func(c *Chunk) { c.CPU += 8 },
		"not on a page of the bus":       func(c *Chunk) { c.Bus += 8 },
		"beyond the processor's memory":  func(c *Chunk) { c.CPU = ^uintptr(0) &^ (pageSize - 1) },
		"beyond the bus's address space": func(c *Chunk) { c.Bus = ^uint64(0) &^ (pageSize - 1) },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			if c.valid(chunkSize) {
				t.Errorf("%+v is taken", c)
			}
		})
	}
}
