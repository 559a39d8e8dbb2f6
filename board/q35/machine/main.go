//go:build tamago

// Machine checks board q35 from inside. Its argument is what to do: "checks" makes one line of each check and ends with status 0
// when all hold; the others end in a way of their own.
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

	"github.com/usbarmory/tamago/soc/intel/pci"

	"tamaccid/board/q35"
)

var checks = []struct {
	name string
	run  func() error
}{
	{"a timer of 2 ms takes no less", timer},
	{"timers fire in order", timers},
	{"the processor sleeps while nothing is to be done", sleep},
	{"the wall clock tells a date of today", wallClock},
	{"random bytes differ", random},
	{"a nil dereference is a panic", nilDereference},
	{"the text cannot be written", writeText},
	{"constants cannot be written", writeConstant},
	{"memory comes back", garbage},
	{"stacks grow", stacks},
	{"TamaGo's PCI driver finds the host bridge", hostBridge},
}

var ends = map[string]func(){
	"checks":   all,
	"args":     func() { fmt.Printf("%q\n", os.Args[1:]) },
	"status":   func() { os.Exit(42) },
	"large":    func() { os.Exit(1000) },
	"panic":    func() { panic("on purpose") },
	"nil":      func() { fmt.Println(*nowhere) },
	"memory":   exhaust,
	"deadlock": func() { select {} },
	"data":     runData,
	"dispatcher": func() { // its hooks are no place for a mistake
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
	fmt.Println("machine: what to do?")
	os.Exit(1)
}

func all() {
	failed := 0
	for _, c := range checks {
		if err := c.run(); err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", c.name, err)
			continue
		}
		fmt.Printf("ok   %s\n", c.name)
	}
	fmt.Printf("%d of %d checks failed\n", failed, len(checks))
	if failed > 0 {
		os.Exit(1)
	}
}

func timer() error {
	start := time.Now()
	time.Sleep(2 * time.Millisecond)
	if d := time.Since(start); d < 2*time.Millisecond {
		return fmt.Errorf("took %v", d)
	}
	return nil
}

func timers() error {
	order := make(chan int, 3)
	for _, i := range []int{3, 1, 2} {
		time.AfterFunc(time.Duration(i)*20*time.Millisecond, func() { order <- i })
	}
	for want := 1; want <= 3; want++ {
		if got := <-order; got != want {
			return fmt.Errorf("timer %d came as number %d", got, want)
		}
	}
	return nil
}

// sleep looks at what the processor did during a second: it is halted most of the time, and not waked more often than goroutines
// of the runtime's own have work (every 10 ms at most).
func sleep() error {
	const second = time.Second
	before, naps := q35.Slept()
	time.Sleep(second)
	after, now := q35.Slept()
	if d := after - before; d < second/2 {
		return fmt.Errorf("halted for %v of %v", d, second)
	}
	if n := now - naps; n > 200 {
		return fmt.Errorf("waked %d times", n)
	}
	return nil
}

func wallClock() error {
	if year := time.Now().Year(); year < 2024 || year > 2100 {
		return fmt.Errorf("the year is %d", year)
	}
	return nil
}

func random() error {
	a, b := make([]byte, 32), make([]byte, 32)
	for _, p := range [][]byte{a, b} {
		if _, err := rand.Read(p); err != nil {
			return err
		}
	}
	if string(a) == string(b) {
		return errors.New("they do not")
	}
	return nil
}

// panics says whether f panics with a run-time error that has these words.
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
	const constant = "a string that lies among the constants"
	return panics("invalid memory address", func() { *unsafe.StringData(constant) = 'b' })
}

func at(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// garbage makes more of it than the machine has memory.
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

func hostBridge() error {
	const intel = 0x8086
	for _, d := range pci.Devices(0) {
		if d.Slot == 0 && d.Vendor == intel {
			return nil
		}
	}
	return errors.New("there is none")
}

// exhaust holds memory until there is no more.
func exhaust() {
	var all [][]byte
	for {
		all = append(all, make([]byte, 1<<20))
		all[len(all)-1][0] = 1
	}
}

// runData calls an instruction that lies in memory for data.
func runData() {
	ret := []byte{0xc3}
	entry := &ret[0]
	f := &entry
	(*(*func())(unsafe.Pointer(&f)))()
	fmt.Println("data was executed")
}
