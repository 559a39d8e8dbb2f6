//go:build linux && !tamago

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"tamaccid/sclib"
	"tamaccid/sclib/pcsclite"
)

// establish finds readers through the PC/SC daemon, pcscd.
func establish() (*sclib.Context, error) { return sclib.New(pcsclite.New("")), nil }

var input = bufio.NewReader(os.Stdin)

func readLine() (string, error) {
	line, err := input.ReadString('\n')
	return strings.TrimSpace(line), err
}

func stats() string { return fmt.Sprintf("goroutines %d", runtime.NumGoroutine()) }
