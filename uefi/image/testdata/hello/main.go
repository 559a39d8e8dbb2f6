// Program hello has a little of everything that a linker places: code, constants, tables of
// pointers, initialised and zero variables, thread-local storage, type and interface tables.
package main

import "fmt"

type greeter interface{ greet() string }

type (
	world string
	count int
)

func (w world) greet() string { return "Hello " + string(w) + "!" }
func (c count) greet() string { return fmt.Sprint(int(c)) }

var (
	table  = []greeter{world("world"), count(3)}
	byName = map[string]func() string{"world": world("map").greet}
	zeros  [1 << 16]byte
	filled = [...]*[1 << 16]byte{&zeros, &zeros}
)

func main() {
	done := make(chan string)
	go func() {
		for _, g := range table {
			done <- g.greet()
		}
		close(done)
	}()
	for s := range done {
		fmt.Println(s, byName["world"](), len(filled[1]))
	}
}
