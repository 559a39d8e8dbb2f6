//go:build linux && !tamago

// Command efitest runs Go packages' own tests inside UEFI firmware: it builds each test program as
// a UEFI image, boots one QEMU machine for all of them, and runs one after the other in the UEFI
// Shell.
//
//	efitest -overlay FILE [-out FOLDER] [-limit TIME] [-skip TEST] [-v] PACKAGE...
//
// The report is that of "go test". There are no files in firmware: a test that reads some is left
// out with -skip, or by its build constraint (!tamago).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tamaccid/board/qemu/harness/cmd/internal/program"
)

// defaultLimit is for one package's tests (policy).
const defaultLimit = 2 * time.Minute

// settings are the command line.
type settings struct {
	overlay  string
	out      string
	limit    time.Duration
	skip     string
	verbose  bool
	patterns []string
}

var errFailed = errors.New("tests failed inside firmware")

func main() { program.Main("efitest", parse, run) }

// parse reads the command line.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := program.Flags("efitest", "PACKAGE...", stderr)
	flags.StringVar(&s.overlay, "overlay", "build/overlay/overlay.json",
		"`file` that baremetal/overlay has written")
	flags.StringVar(&s.out, "out", "build/efitest", "`folder` for the images")
	flags.DurationVar(&s.limit, "limit", defaultLimit, "how long one package's tests may take")
	flags.StringVar(&s.skip, "skip", "", "name of a `test` to leave out in all packages")
	flags.BoolVar(&s.verbose, "v", false, "show each test")
	if err := program.Parse(flags, args); err != nil {
		return s, err
	}
	s.patterns = flags.Args()
	if len(s.patterns) == 0 || s.limit <= 0 {
		return s, program.Misused(flags, "packages are needed, and a positive limit")
	}
	return s, nil
}

func run(ctx context.Context, s settings, out io.Writer) error {
	b, err := newBuilder(s.overlay, s.out)
	if err != nil {
		return err
	}
	packages, err := b.list(ctx, s.patterns)
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return fmt.Errorf("no package among %q has tests for firmware", s.patterns)
	}
	if err := b.writeOverlay(packages); err != nil {
		return err
	}
	var built []testPackage
	for _, p := range packages {
		if err := b.build(ctx, p); err != nil {
			fmt.Fprintf(out, "FAIL\t%s [build failed]: %v", p.path, err)
			continue
		}
		built = append(built, p)
	}
	failed, err := runAll(ctx, s, built, out)
	if err != nil {
		return err
	}
	if failed += len(packages) - len(built); failed > 0 {
		return fmt.Errorf("%w: %d of %d packages", errFailed, failed, len(packages))
	}
	return nil
}
