// Package program has what command line programs share: signals, arguments, exit codes.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// ErrUsage is a wrong command line. The reason has been printed.
var ErrUsage = errors.New("wrong arguments")

// Main reads the command line into settings and runs a program with them until it returns or a
// signal ends it. The exit code is 0 for success and for help, 2 for ErrUsage, and 1 for any other
// error, which is printed.
func Main[S any](
	name string,
	parse func(args []string, stderr io.Writer) (S, error),
	run func(ctx context.Context, s S, out io.Writer) error,
) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, s, os.Stdout)
	}
	stop()
	code := exitCode(err)
	if code == exitFailed {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(code)
}

func exitCode(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, ErrUsage):
		return exitUsage
	}
	return exitFailed
}

// Flags is a set for a program's flags. Operands, such as "[FILE...]", are what its command line
// has behind them.
func Flags(name, operands string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: %s [FLAG...] %s\n", name, operands)
		flags.PrintDefaults()
	}
	return flags
}

// Parse reads the flags of a command line. The error is flag.ErrHelp, after all flags have been
// printed, or ErrUsage, after the reason alone.
func Parse(flags *flag.FlagSet, args []string) error {
	out := flags.Output()
	flags.SetOutput(io.Discard) // a set prints all flags for each mistake
	err := flags.Parse(args)
	flags.SetOutput(out)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flag.ErrHelp):
		flags.Usage()
		return err
	}
	return Misused(flags, "%v; -h lists the flags", err)
}

// Misused prints what is wrong with a command line on the set's output, and returns ErrUsage.
func Misused(flags *flag.FlagSet, format string, args ...any) error {
	fmt.Fprintf(flags.Output(), "%s: %s\n", flags.Name(), fmt.Sprintf(format, args...))
	return ErrUsage
}
