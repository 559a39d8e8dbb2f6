//go:build tamago

package dmamem

import (
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
)

// board gives chunks of the Go heap, whose objects do not move, and counts.
type board struct {
	t      *testing.T
	delta  uint64
	limit  int // chunks
	given  map[uintptr][]byte
	asked  int
	report error
}

func newBoard(t *testing.T, delta uint64) *board {
	return &board{t: t, delta: delta, limit: 100, given: map[uintptr][]byte{}}
}

func (b *board) more(size int) (Chunk, error) {
	b.asked++
	if len(b.given) >= b.limit {
		return Chunk{}, b.report
	}
	mem := make([]byte, size+pageSize)
	for i := range mem {
		mem[i] = 0xa5
	}
	cpu := (uintptr(unsafe.Pointer(&mem[0])) + pageSize - 1) &^ (pageSize - 1)
	b.given[cpu] = mem
	return Chunk{CPU: cpu, Bus: uint64(cpu) + b.delta, Size: size, Handle: cpu + 1}, nil
}

func (b *board) give(c Chunk) {
	if _, ok := b.given[c.CPU]; !ok || c.Handle != c.CPU+1 {
		b.t.Errorf("a chunk comes back that was not given: %+v", c)
	}
	delete(b.given, c.CPU)
}

func alloc(t *testing.T, m *Memory, size, align int) hcd.Buffer {
	t.Helper()
	b, err := m.Alloc(size, align)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuffersAreClearApartAndWhereTheyMustBe(t *testing.T) {
	for _, delta := range []uint64{0, 1 << 32, 3 * pageSize} {
		t.Run(fmt.Sprintf("bus addresses %#x above", delta), func(t *testing.T) {
			b := newBoard(t, delta)
			m := New(b.more, b.give)
			var all []hcd.Buffer
			for _, size := range []int{1, 64, 2112, 4096, 33 << 10, 64 << 10, 100 << 10, 64 << 10,
				300 << 10, 16} {
				for _, align := range []int{1, 64, 4096, 64 << 10} {
					u := alloc(t, m, size, align)
					if len(u.Bytes) != size || cap(u.Bytes) != size {
						t.Fatalf("%d bytes: length %d, capacity %d", size, len(u.Bytes),
							cap(u.Bytes))
					}
					if at := uint64(uintptr(unsafe.Pointer(&u.Bytes[0]))) + delta; at != u.Bus ||
						at%uint64(align) != 0 {
						t.Fatalf("%d bytes on %d: bus address %#x, should be %#x", size, align,
							u.Bus, at)
					}
					for i := range u.Bytes {
						if u.Bytes[i] != 0 {
							t.Fatalf("byte %d of %d on %d is %#x", i, size, align, u.Bytes[i])
						}
						u.Bytes[i] = 0x5a
					}
					all = append(all, u)
				}
			}
			for _, u := range all {
				m.Free(u)
			}
			if len(b.given) != 1 {
				t.Errorf("%d chunks are kept for nothing", len(b.given))
			}
			m.Close()
			if len(b.given) != 0 {
				t.Errorf("%d chunks remain after Close", len(b.given))
			}
		})
	}
}

func TestFreedBuffersAreUsedAgainAndWiped(t *testing.T) {
	b := newBoard(t, 0)
	m := New(b.more, b.give)
	first := alloc(t, m, 4096, 4096)
	for range 1000 {
		u, v := alloc(t, m, 64<<10, 64), alloc(t, m, 1024, 64)
		u.Bytes[0], v.Bytes[1023] = 1, 1
		m.Free(u)
		m.Free(v)
		if u.Bytes[0] != 0 || v.Bytes[1023] != 0 {
			t.Fatal("a buffer that was freed is not wiped")
		}
	}
	if b.asked != 1 {
		t.Errorf("the board was asked %d times", b.asked)
	}
	m.Free(first)
	m.Close()
}

func TestMemoryEndsWithAnErrorAndGoesOn(t *testing.T) {
	b := newBoard(t, 0)
	b.limit, b.report = 1, errors.New("the board has no more")
	m := New(b.more, b.give)
	var all []hcd.Buffer
	for {
		u, err := m.Alloc(64<<10, 64)
		if err != nil {
			if !errors.Is(err, usbhost.ErrNoMemory) || !errors.Is(err, b.report) {
				t.Errorf("error %v", err)
			}
			break
		}
		if all = append(all, u); len(all) > 1000 {
			t.Fatal("memory without end")
		}
	}
	m.Free(all[0])
	if _, err := m.Alloc(64<<10, 64); err != nil {
		t.Errorf("what was freed is not there: %v", err)
	}
	m.Close()
	if _, err := m.Alloc(16, 16); !errors.Is(err, usbhost.ErrNoMemory) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAForeignOrFreedBufferIsLeftAlone(t *testing.T) {
	b := newBoard(t, 0)
	m := New(b.more, b.give)
	u := alloc(t, m, 64, 64)
	own := []byte{1, 2, 3}
	m.Free(hcd.Buffer{})
	m.Free(hcd.Buffer{Bytes: own})
	m.Free(u)
	m.Free(u)
	if own[0] != 1 || len(b.given) != 1 {
		t.Error("something was taken that is not this memory's")
	}
	m.Close()
	m.Free(u)
}

func TestABadChunkGoesBackToTheBoard(t *testing.T) {
	b := newBoard(t, 8)
	m := New(b.more, b.give)
	if _, err := m.Alloc(64, 64); !errors.Is(err, usbhost.ErrNoMemory) {
		t.Errorf("error %v", err)
	}
	if len(b.given) != 0 {
		t.Error("the chunk was kept")
	}
}

func TestWhatIsInUseIsWipedByClose(t *testing.T) {
	b := newBoard(t, 0)
	m := New(b.more, b.give)
	u := alloc(t, m, 64, 64)
	u.Bytes[5] = 1
	m.Close()
	if u.Bytes[5] != 0 {
		t.Error("the buffer was not wiped")
	}
}
