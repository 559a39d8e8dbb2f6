// Package program is the frame of a command line program: signals, arguments, exit codes.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// ErrUsage is a command line that was not understood. The user has been told what is wrong with it.
var ErrUsage = errors.New("wrong arguments")

// Main runs a program until it ends or the user or system ends it, and exits with 0 if it went well or was asked for help, 2 for
// ErrUsage, and 1 for any other error, which is shown.
func Main(name string, run func(ctx context.Context, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
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

// Parse reads the flags of a command line. The error is flag.ErrHelp or ErrUsage; the set has said what is wrong.
func Parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return ErrUsage
}

// Misused says in words what is wrong with a command line, on the set's output, and is ErrUsage.
func Misused(flags *flag.FlagSet, format string, args ...any) error {
	fmt.Fprintf(flags.Output(), "%s: %s\n", flags.Name(), fmt.Sprintf(format, args...))
	return ErrUsage
}
