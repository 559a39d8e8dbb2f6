//go:build tamago

// Command machine checks board q35 from inside. Its argument chooses what it does: "checks" prints
// one line for each check and ends with status 0 when all pass; the others end in different ways.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/goos"
	"strings"
	"time"
	"unsafe"

	"tamaccid/board/qemu/harness/inside"
	"tamaccid/board/qemu/q35"
)

var checks = []inside.Check{
	{Name: "the processor sleeps while idle", Run: sleep},
	{Name: "the wall clock has a plausible date", Run: wallClock},
	{Name: "a nil dereference is a panic", Run: nilDereference},
	{Name: "the text cannot be written", Run: writeText},
	{Name: "constants cannot be written", Run: writeConstant},
	{Name: "freed memory is used again", Run: garbage},
	{Name: "stacks grow", Run: stacks},
}

var ends = map[string]func(){
	"checks":   func() { inside.Run(checks) },
	"args":     func() { fmt.Printf("%q\n", os.Args[1:]) },
	"status":   func() { os.Exit(42) },
	"large":    func() { os.Exit(1000) },
	"panic":    func() { panic("on purpose") },
	"nil":      func() { fmt.Println(*nowhere) },
	"memory":   exhaust,
	"deadlock": func() { select {} },
	"data":     runData,
	"dispatcher": func() { // a fault in one of its hooks
		goos.Idle = func(int64) { sink = make([]byte, *nowhere) }
		time.Sleep(time.Second)
	},
	"random":   func() { fmt.Println(rand.Read(make([]byte, 8))) },
	"overflow": func() { debug.SetMaxStack(1 << 20); fmt.Println(deep(1 << 30)) },
}

// nowhere is never set.
var nowhere *int

func main() {
	if len(os.Args) > 1 {
		if end := ends[os.Args[1]]; end != nil {
			end()
			return
		}
	}
	fmt.Println("machine: unknown argument")
	os.Exit(1)
}

// sleep checks that the processor is halted for most of a second, and woken no more often than the
// runtime's own goroutines have work (every 10 ms at most).
func sleep() error {
	const second = time.Second
	before, naps := q35.Slept()
	time.Sleep(second)
	after, now := q35.Slept()
	if d := after - before; d < second/2 {
		return fmt.Errorf("halted for %v of %v", d, second)
	}
	if n := now - naps; n > 200 {
		return fmt.Errorf("woken %d times", n)
	}
	return nil
}

func wallClock() error {
	if year := time.Now().Year(); year < 2024 || year > 2100 {
		return fmt.Errorf("the year is %d", year)
	}
	return nil
}

// panics returns an error unless f panics with a run-time error that has these words.
func panics(words string, f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch v := recover().(type) {
		case nil:
			err = errors.New("no panic")
		case runtime.Error:
			if !strings.Contains(v.Error(), words) {
				err = v
			}
		default:
			err = fmt.Errorf("panic with %v", v)
		}
	}()
	f()
	return nil
}

func nilDereference() error {
	return panics("nil pointer dereference", func() { fmt.Println(*nowhere) })
}

func writeText() error {
	start, _ := runtime.TextRegion()
	return panics("invalid memory address", func() { *(*byte)(at(uintptr(start))) = 0 })
}

func writeConstant() error {
	const constant = "a string among the constants"
	return panics("invalid memory address", func() { *unsafe.StringData(constant) = 'b' })
}

func at(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// garbage allocates and drops more memory than the machine has.
func garbage() error {
	for range 1 << 9 {
		sink = make([]byte, 1<<20)
	}
	sink = nil
	return nil
}

var sink []byte

func stacks() error {
	done := make(chan int)
	for range 20 {
		go func() { done <- deep(2000) }()
	}
	for range 20 {
		if n := <-done; n != 2000 {
			return fmt.Errorf("depth %d", n)
		}
	}
	return nil
}

func deep(n int) int {
	var frame [64]byte
	if n == 0 {
		return int(frame[0])
	}
	return deep(n-1) + 1 + int(frame[n%64])
}

// exhaust holds memory until there is no more.
func exhaust() {
	var all [][]byte
	for {
		all = append(all, make([]byte, 1<<20))
		all[len(all)-1][0] = 1
	}
}

// runData calls an instruction in data memory.
func runData() {
	ret := []byte{0xc3}
	entry := &ret[0]
	f := &entry
	(*(*func())(unsafe.Pointer(&f)))()
	fmt.Println("data was executed")
}
