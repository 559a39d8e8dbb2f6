//go:build !tamago

// Command mkkernel makes a kernel image, which QEMU's -kernel loads, of a program that Go's linker
// made.
//
//	mkkernel PROGRAM.elf OUT
//
// The program is linked with CGO_ENABLED=0 go build -buildmode=exe for board q35. The exit code is
// 0 for success, 1 for failure, 2 for wrong arguments.
package main

import (
	"fmt"
	"io"
	"os"

	"tamaccid/board/qemu/q35/kernel"
)

// Exit codes, as the go command uses them.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run is the command without the process around it.
func run(args []string, stderr io.Writer) (exit int) {
	if len(args) != 2 {
		fmt.Fprintln(stderr, "usage: mkkernel PROGRAM.elf OUT")
		return exitUsage
	}
	if err := convert(args[0], args[1]); err != nil {
		fmt.Fprintln(stderr, "mkkernel:", err)
		return exitFailed
	}
	return 0
}

func convert(from, to string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	image, err := kernel.Make(program)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return os.WriteFile(to, image, 0o644)
}
