//go:build linux && !tamago

// Command run demonstrates the driver: it boots a QEMU machine with a USB smart card reader and a
// virtual card, loads the driver in the UEFI Shell, runs a program there, and ends with it.
//
//	run [-efi FOLDER] [-card NAME|none] [-driver FILE.efi] [-usb WORD] [-log FILE]
//	    [PROGRAM.efi [ARGUMENT...]]
//
// The program is helloworld.efi unless another is named. The exit code is 0 if the program returned
// EFI_SUCCESS to the Shell, 1 if anything went wrong, 2 for wrong arguments.
//
//	run -board q35 [-kernels FOLDER] [-card NAME|none] [-log FILE] [PROGRAM [ARGUMENT...]]
//
// is the same without firmware: the program is a kernel image, and the exit code is 0 if it ended
// with status 0.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/board/qemu/harness/cmd/internal/program"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/vscard"
)

// defaultLimit ends a run that does not end by itself; a run takes about ten seconds (policy).
const defaultLimit = 3 * time.Minute

// ways are the values of the driver's load option usb (package driver).
var ways = []string{"auto", "direct", "firmware"}

// controllers are the models that QEMU's reader can be plugged into: it is a full-speed device.
var controllers = []string{string(harness.XHCI), string(harness.NECXHCI), string(harness.UHCI)}

// settings are the command line.
type settings struct {
	board      string
	folder     string
	kernels    string
	driver     string
	usb        string
	program    string
	card       string
	controller string
	capture    string
	log        string
	limit      time.Duration
}

func main() { program.Main("run", parse, run) }

// parse reads the command line.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := program.Flags("run", "[PROGRAM [ARGUMENT...]]", stderr)
	flags.StringVar(&s.board, "board", boardUEFI, "`board` that the program runs on: uefi or q35")
	flags.StringVar(&s.kernels, "kernels", "build/q35", "`folder` with the images of board q35")
	flags.StringVar(&s.folder, "efi", "build/efi/x64", "`folder` with the images of board uefi")
	flags.StringVar(&s.driver, "driver", "SmartCardReader.efi", "driver `image` to load")
	flags.StringVar(&s.card, "card", "t0",
		"`card` in the reader: none, or one of "+strings.Join(card.Names(), ", "))
	flags.StringVar(&s.controller, "controller", string(harness.XHCI),
		"USB host controller `model`: "+strings.Join(controllers, ", "))
	flags.StringVar(&s.usb, "usb", "",
		"`word` for the driver's load option usb: "+strings.Join(ways,
			", ")+"; without one it is loaded as it is")
	flags.StringVar(&s.capture, "capture", "", "`file` for the reader's USB packets (pcap)")
	flags.StringVar(&s.log, "log", "build/run.log", "`file` for the whole console")
	flags.DurationVar(&s.limit, "limit", defaultLimit, "how long it all may take")
	if err := program.Parse(flags, args); err != nil {
		return s, err
	}
	switch {
	case s.board != boardUEFI && s.board != boardQ35:
		return s, program.Misused(flags, "there is no -board %q: it is %s or %s", s.board,
			boardUEFI, boardQ35)
	case s.board == boardQ35 && s.usb != "":
		return s, program.Misused(flags,
			"board %s has no firmware to share USB with: leave -usb out", boardQ35)
	case s.usb != "" && !slices.Contains(ways, s.usb):
		return s, program.Misused(flags, "there is no -usb %q: it is one of %s", s.usb,
			strings.Join(ways, ", "))
	case !slices.Contains(controllers, model(s.controller)):
		return s, program.Misused(flags, "there is no -controller %q: it is one of %s",
			s.controller, strings.Join(controllers, ", "))
	case s.limit <= 0:
		return s, program.Misused(flags, "-limit must be positive")
	}
	s.program = "helloworld.efi"
	if s.board == boardQ35 {
		s.program = "helloworld"
	}
	if flags.NArg() > 0 {
		s.program = strings.Join(flags.Args(), " ")
	}
	return s, nil
}

// model is a controller's name without its options.
func model(controller string) string {
	name, _, _ := strings.Cut(controller, ",")
	return name
}

// insert returns the card of that name, nil for "none".
func insert(name string) (harness.Card, error) {
	if name == "none" {
		return nil, nil
	}
	c, err := card.Named(name)
	if err != nil {
		return nil, err
	}
	return vscard.NewSlot(c).Serve, nil
}

// run boots a machine, loads the driver and runs the program. The whole console goes into the log
// file, which the error names.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	inserted, err := insert(s.card)
	if err != nil {
		return err
	}
	for _, name := range s.files() {
		if _, err := os.Stat(name); err != nil {
			return fmt.Errorf("%w; the samples come from make %s", err, s.target())
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.log), 0o755); err != nil {
		return err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()

	ctx, cancel := context.WithTimeoutCause(ctx, s.limit,
		fmt.Errorf("no end after %v, which -limit sets", s.limit))
	defer cancel()
	began := time.Now()
	fmt.Fprintf(out, "Starting a machine with %s, a USB smart card reader and %s.\n",
		s.underneath(), describe(s.card))
	config := harness.Config{
		Controller: harness.Controller(s.controller),
		Reader:     true,
		Card:       inserted,
		Capture:    s.capture,
		Output:     log,
		Limit:      s.limit,
	}
	talk := converse
	if s.board == boardQ35 {
		config.Output = io.MultiWriter(log, out)
		config.Kernel, config.CommandLine = s.kernel()
		talk = await
		fmt.Fprintln(out)
	} else {
		config.Volume = s.folder
	}
	machine, err := harness.Start(ctx, config)
	if err != nil {
		return err
	}
	defer machine.Close()
	err = talk(ctx, machine, s, out)
	fmt.Fprintln(out)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // and not what was waited for
		}
		return fmt.Errorf("%w\nThe whole console is in %s", err, s.log)
	}
	fmt.Fprintf(out, "Done in %v.\n", time.Since(began).Round(time.Second/10))
	return nil
}

// loader is the program that gives a driver load options: the Shell's own command has none.
const loader = "loaddriver.efi"

// files are the images that a run needs.
func (s *settings) files() []string {
	if s.board == boardQ35 {
		image, _ := s.kernel()
		return []string{image}
	}
	files := []string{s.driver, strings.Fields(s.program)[0]}
	if s.usb != "" {
		files = append(files, loader)
	}
	for i := range files {
		files[i] = filepath.Join(s.folder, files[i])
	}
	return files
}

func describe(card string) string {
	if card == "none" {
		return "no card"
	}
	return "a virtual card (" + card + ")"
}

// converse types a user's commands, and shows their output.
func converse(ctx context.Context, machine *harness.Machine, s settings, out io.Writer) error {
	shell, err := machine.Shell(ctx)
	if err != nil {
		return err
	}
	if s.usb == "" {
		fmt.Fprintf(out, "\nShell> load %s\n", s.driver)
		image, err := shell.Load(ctx, s.driver)
		if err != nil {
			return err
		}
		fmt.Fprint(out, image.Output)
	} else if err := follow(ctx, shell, fmt.Sprintf("%s %s usb=%s", loader, s.driver, s.usb),
		out); err != nil {
		return err
	}
	return follow(ctx, shell, s.program, out)
}

// follow runs one command, and shows its output as it comes.
func follow(ctx context.Context, shell *harness.Shell, line string, out io.Writer) error {
	fmt.Fprintf(out, "\nShell> %s\n", line)
	command, err := shell.Start(ctx, line)
	if err != nil {
		return err
	}
	result, err := command.Follow(ctx, out)
	if err != nil {
		return err
	}
	if result.Status != 0 {
		return fmt.Errorf("%s ended with status %#x", line, result.Status)
	}
	return nil
}
