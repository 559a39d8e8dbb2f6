//go:build tamago

// Command machine checks the Go runtime on the board that it runs on: one line for each check, exit
// status 0 when all pass.
package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"github.com/usbarmory/tamago/bits"
	"github.com/usbarmory/tamago/dma"
	"github.com/usbarmory/tamago/soc/intel/uart"

	"tamaccid/board/qemu/harness/inside"
	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
)

var checks = []inside.Check{
	{Name: "goroutines exchange values", Run: goroutines},
	{Name: "the wall clock is firmware's", Run: wallClock},
	{Name: "garbage is collected, memory stays bounded", Run: garbage},
	{Name: "objects outlive collections while goroutines come and go", Run: survivors},
	{Name: "stacks grow and shrink", Run: stacks},
	{Name: "pointers that are none survive growing stacks and collections", Run: strangePointers},
	{Name: "a nil dereference is a panic", Run: nilDereference},
	{Name: "an index out of range is a panic", Run: outOfRange},
	{Name: "floating point survives firmware calls and goroutine switches", Run: floats},
	{Name: "events of firmware are seen", Run: events},
	{Name: "files there are none", Run: files},
	{Name: "TamaGo's memory for DMA comes from firmware", Run: dmaMemory},
	{Name: "TamaGo's UART driver writes to the serial port", Run: serialPort},
}

func main() { inside.Run(checks) }

func goroutines() error {
	const n = 1000
	c := make(chan int)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { c <- i })
	}
	go func() { wg.Wait(); close(c) }()
	sum := 0
	for i := range c {
		sum += i
	}
	if sum != n*(n-1)/2 {
		return fmt.Errorf("sum %d", sum)
	}
	return nil
}

func wallClock() error {
	now, err := uefi.Runtime().GetTime()
	if err != nil {
		return err
	}
	// Less than any error of time zone or calendar, more than a busy machine stops for (policy).
	const apart = time.Minute
	if d := time.Since(now).Abs(); d > apart {
		return fmt.Errorf("off by %v", d)
	}
	return nil
}

var kept [64][]byte

func garbage() error {
	for i := range 100_000 {
		kept[i%len(kept)] = make([]byte, 1000)
	}
	if m := runtime.BareMemory(); m.Now > 32<<20 {
		return fmt.Errorf("%d bytes in use", m.Now)
	}
	return nil
}

// tree is memory that only a goroutine's stack refers to.
type tree struct {
	mark        uint64
	left, right *tree
	leaf        []byte
}

func grow(depth int) *tree {
	t := &tree{mark: uint64(depth), leaf: make([]byte, 10+13*depth)}
	if depth > 0 {
		t.left, t.right = grow(depth-1), grow(depth-1)
	}
	return t
}

func (t *tree) whole(depth int) bool {
	return t != nil && t.mark == uint64(depth) && len(t.leaf) == 10+13*depth &&
		(depth == 0 || t.left.whole(depth-1) && t.right.whole(depth-1))
}

func survivors() error {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	const rounds, at, depth = 150, 8, 8
	for range rounds {
		ok := make(chan bool)
		for range at {
			go func() {
				t := grow(depth)
				runtime.Gosched()
				ok <- t.whole(depth)
			}()
		}
		for range at {
			if !<-ok {
				return errors.New("they do not")
			}
		}
	}
	return nil
}

func stacks() error {
	done := make(chan int)
	go func() { done <- deep(5000) }()
	if n := <-done; n != 5000 {
		return fmt.Errorf("depth %d", n)
	}
	runtime.GC()
	return nil
}

func deep(n int) int {
	var frame [64]int
	if n == 0 {
		return 0
	}
	frame[n%64] = deep(n-1) + 1
	return frame[n%64]
}

// panics runs f and returns the value of its panic.
func panics(f func()) (err error) {
	defer func() {
		if v, ok := recover().(runtime.Error); ok {
			err = v
		}
	}()
	f()
	return nil
}

var (
	none *[256]int
	word int
)

// strangePointers holds pointers that a caller in C may pass: a small number, and the address of
// memory that the Go runtime does not use.
func strangePointers() error {
	big := make([]byte, 1<<20)
	at := uintptr(unsafe.Pointer(&big[0]))
	big = nil
	runtime.GC()
	runtime.GC()
	done := make(chan int)
	go func() {
		small, unused := uefi.At[byte](8), uefi.At[byte](at)
		depth := deep(5000)
		runtime.GC()
		runtime.KeepAlive(small)
		runtime.KeepAlive(unused)
		done <- depth
	}()
	<-done
	return nil
}

func nilDereference() error {
	for range 3 { // it must work again and again
		if panics(func() { word = none[17] }) == nil || panics(func() { none[17] = 1 }) == nil {
			return errors.New("no panic")
		}
	}
	return nil
}

func outOfRange() error {
	if panics(func() { kept[word+len(kept)] = nil }) == nil {
		return errors.New("no panic")
	}
	return nil
}

func floats() error {
	var wg sync.WaitGroup
	sums := [4]float64{}
	for i := range sums {
		wg.Go(func() {
			x := float64(i + 1)
			for range 2000 {
				x = math.Sqrt(x*x + 1)
				uefi.Boot().RestoreTPL(uefi.Boot().RaiseTPL(uefi.TPLCallback))
				runtime.Gosched()
			}
			sums[i] = x
		})
	}
	wg.Wait()
	for i, got := range sums {
		want := math.Sqrt(float64((i+1)*(i+1)) + 2000)
		if math.Abs(got-want) > 1e-9 {
			return fmt.Errorf("%v, want %v", got, want)
		}
	}
	return nil
}

func events() error {
	boot := uefi.Boot()
	ev, err := boot.CreateEvent(uefi.EventTimer, uefi.TPLCallback, 0, 0)
	if err != nil {
		return err
	}
	defer boot.CloseEvent(ev)
	if err := boot.SetTimer(ev, uefi.TimerRelative, time.Millisecond); err != nil {
		return err
	}
	_, err = boot.WaitForEvent(ev)
	return err
}

func files() error {
	if _, err := os.ReadFile("/etc/passwd"); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("error %v", err)
	}
	return nil
}

func dmaMemory() error {
	const pages = 16
	addr, err := uefi.Boot().AllocatePages(uefi.AllocateAnyPages, uefi.BootServicesData, pages, 0)
	if err != nil {
		return err
	}
	defer uefi.Boot().FreePages(addr, pages)
	region, err := dma.NewRegion(uint(addr), pages<<12, false)
	if err != nil {
		return err
	}
	at, b := region.Reserve(4096, 4096)
	defer region.Release(at)
	if at%4096 != 0 || at < uint(addr) || at+4096 > uint(addr)+pages<<12 || len(b) != 4096 {
		return fmt.Errorf("%d bytes at %#x of %#x", len(b), at, addr)
	}
	return nil
}

func serialPort() error {
	const lineStatusEmpty = 5 // PC16550D, 8.6.3: THR empty
	port := uart.UART{Index: 1, Base: 0x3f8}
	port.Tx('\r')
	status := uint32(port.Base)
	bits.SetTo(&status, lineStatusEmpty, true)
	if !bits.Get(&status, lineStatusEmpty) {
		return errors.New("a bit that was set is clear")
	}
	return nil
}
