//go:build linux && !tamago

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

var input = bufio.NewReader(os.Stdin)

func readLine() (string, error) {
	line, err := input.ReadString('\n')
	return strings.TrimSpace(line), err
}

func stats() string { return fmt.Sprintf("goroutines %d", runtime.NumGoroutine()) }
