//go:build linux && !tamago

package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/vscard"
)

const (
	memory   = 1024             // MiB: tests allocate more than a driver (policy)
	bootTime = 90 * time.Second // policy
)

// lab is the machine, as long as it works.
type lab struct {
	volume  string
	limit   time.Duration // of the machine: what all packages may take
	machine *harness.Machine
	shell   *harness.Shell
}

// runAll runs all images and reports. After a test program that hangs or crashes another machine is
// booted. failed is the number of packages whose tests failed.
func runAll(
	ctx context.Context, s settings, packages []testPackage, out io.Writer,
) (failed int, err error) {
	l := &lab{
		volume: filepath.Join(s.out, "images"),
		limit:  bootTime + time.Duration(len(packages))*s.limit,
	}
	defer l.end()
	for _, p := range packages {
		began := time.Now()
		output, err := l.run(ctx, p, s)
		took := time.Since(began).Seconds()
		if err != nil {
			failed++
			indent(out, output)
			fmt.Fprintf(out, "FAIL\t%s\t%.3fs: %v\n", p.path, took, err)
			if ctx.Err() != nil {
				return failed, ctx.Err()
			}
			continue
		}
		if s.verbose {
			indent(out, output)
		}
		fmt.Fprintf(out, "ok  \t%s\t%.3fs\n", p.path, took)
	}
	return failed, nil
}

func (l *lab) run(ctx context.Context, p testPackage, s settings) (output string, err error) {
	if err := l.start(ctx); err != nil {
		l.end()
		return "", err
	}
	line := p.program() + ".efi"
	if s.skip != "" {
		line += " -test.skip=" + s.skip
	}
	if s.verbose {
		line += " -test.v"
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	command, err := l.shell.Start(ctx, line)
	if err != nil {
		defer l.end()
		return l.machine.Console.Tail(), err
	}
	var seen strings.Builder
	result, err := command.Follow(ctx, &seen)
	if err != nil {
		l.end()
		return seen.String(), err
	}
	return result.Output, verdict(result)
}

// verdict returns an error unless the status is 0 and the output has the line PASS of a test
// program.
func verdict(r harness.Result) error {
	switch {
	case r.Status != 0:
		return fmt.Errorf("status %#x", r.Status)
	case strings.Contains(r.Output, "no tests to run"):
		return fmt.Errorf("no tests to run")
	}
	for line := range strings.Lines(r.Output) {
		if strings.TrimSpace(line) == "PASS" {
			return nil
		}
	}
	return fmt.Errorf("no PASS in the output")
}

func (l *lab) start(ctx context.Context) error {
	if l.shell != nil {
		return nil
	}
	machine, err := harness.Start(ctx, harness.Config{
		Memory: memory,
		Volume: l.volume,
		Reader: true, // for the tests of uefi/usbio: firmware has no driver for it
		Card:   vscard.NewSlot(card.T0()).Serve,
		Limit:  l.limit,
	})
	if err != nil {
		return err
	}
	l.machine = machine
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	l.shell, err = machine.Shell(ctx)
	return err
}

func (l *lab) end() {
	if l.machine != nil {
		l.machine.Close()
	}
	l.machine, l.shell = nil, nil
}
