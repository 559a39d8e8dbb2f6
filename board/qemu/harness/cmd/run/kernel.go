//go:build linux && !tamago

package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"tamaccid/board/qemu/harness"
)

// Boards that a program can run on.
const (
	boardUEFI = "uefi"
	boardQ35  = "q35"
)

// underneath names what the program runs on.
func (s *settings) underneath() string {
	if s.board == boardQ35 {
		return "no firmware"
	}
	return "UEFI firmware"
}

// target returns the target of make that builds the board's images.
func (s *settings) target() string {
	if s.board == boardQ35 {
		return boardQ35
	}
	return "efi"
}

// kernel returns the kernel image and its command line.
func (s *settings) kernel() (image, line string) {
	name, line, _ := strings.Cut(s.program, " ")
	return filepath.Join(s.kernels, name), line
}

// await waits for the kernel's end. Its output is shown as it comes.
func await(ctx context.Context, machine *harness.Machine, s settings, out io.Writer) error {
	status, err := machine.Exit(ctx)
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("%s ended with status %d", s.program, status)
	}
	return nil
}
