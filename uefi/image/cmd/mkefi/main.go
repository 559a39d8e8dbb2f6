//go:build !tamago

// Command mkefi makes a UEFI image from a program that Go's linker made, and prints the sizes of
// images.
//
//	mkefi [-subsystem app|driver] [-version text] [-url text] PROGRAM.elf OUT.efi
//	mkefi -sizes FILE.efi...
//
// The program is linked with CGO_ENABLED=0 go build -buildmode=pie, or for a fixed address that
// leaves a page for the headers: its text at 0x1000 above a multiple of 64 KiB. It may keep its
// symbols and DWARF: they never get into the image.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"tamaccid/uefi/image"
)

// sbatGeneration counts releases that close a security hole; see image.SBAT.
const sbatGeneration = 1

// Exit codes, as package flag and the go command use them.
const (
	exitFailed = 1
	exitUsage  = 2
)

var errUsage = errors.New("wrong arguments")

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command without the process around it.
func run(args []string, stdout, stderr io.Writer) (exit int) {
	flags := flag.NewFlagSet("mkefi", flag.ContinueOnError)
	flags.SetOutput(stderr)
	subsystem := flags.String("subsystem", "app", "`kind` of image: app or driver")
	version := flags.String("version", "devel", "version for the SBAT entry")
	url := flags.String("url", "tamaccid", "URL of the package for the SBAT entry")
	sizes := flags.Bool("sizes", false, "print the sizes of images instead")
	flags.Usage = func() {
		fmt.Fprintln(stderr,
			"usage: mkefi [flags] PROGRAM.elf OUT.efi\n       mkefi -sizes FILE.efi...")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}

	var err error
	if *sizes {
		err = printSizes(stdout, flags.Args())
	} else {
		err = convert(flags.Args(), *subsystem, image.SBAT{
			Component: "tamaccid", Generation: sbatGeneration,
			Vendor: "tamaccid", Package: "tamaccid", Version: *version, URL: *url,
		})
	}
	switch {
	case errors.Is(err, errUsage):
		flags.Usage()
		return exitUsage
	case err != nil:
		fmt.Fprintln(stderr, "mkefi:", err)
		return exitFailed
	}
	return 0
}

var subsystems = map[string]image.Subsystem{
	"app":    image.Application,
	"driver": image.BootServiceDriver,
}

func convert(args []string, kind string, sbat image.SBAT) error {
	subsystem, known := subsystems[kind]
	if len(args) != 2 || !known {
		return errUsage
	}
	in, out := args[0], args[1]
	program, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	b, err := image.Convert(program, image.Options{Subsystem: subsystem, SBAT: sbat})
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.WriteFile(out, b, 0o644)
}

func printSizes(w io.Writer, files []string) error {
	if len(files) == 0 {
		return errUsage
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := image.Measure(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := fmt.Fprintf(w, "%s\n%v", name, s); err != nil {
			return err
		}
	}
	return nil
}
