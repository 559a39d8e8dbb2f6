//go:build tamago && q35

package main

import (
	"bufio"
	"fmt"
	"runtime"
	"strings"

	"tamaccid/board/qemu/q35"
)

var input = bufio.NewReader(q35.Input)

func readLine() (string, error) {
	line, err := input.ReadString('\r')
	return strings.TrimSpace(line), err
}

// stats counts what a driver may leak: pages for controllers, goroutines, bytes.
func stats() string {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprintf("pages %d goroutines %d heap %d", q35.FreeDMA()>>12, runtime.NumGoroutine(),
		m.HeapAlloc)
}
