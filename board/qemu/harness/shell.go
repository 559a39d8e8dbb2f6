//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// typingTime is how long the echo of a command line may take: the firmware's serial driver polls
// for input and takes about a hundred characters a second. It is policy.
const typingTime = 20 * time.Second

var (
	// countdown is what the Shell shows before it would run startup.nsh; any key but ESC ends it
	// (UEFI Shell 2.2, 3.3).
	countdown = regexp.MustCompile(`Press ESC in \d+ seconds`)
	// prompt is at the end of the output while the Shell waits for a command.
	prompt = regexp.MustCompile(`(?:^|\n)((?:Shell|FS\d+:[^\n>]*)> )\z`)
	// ready is either.
	ready = regexp.MustCompile(countdown.String() + `|` + prompt.String())
	// promptOrLine is the prompt, or else the end of a line.
	promptOrLine = regexp.MustCompile(prompt.String() + `|\n`)
	// available is the line of memmap's summary with the free pages.
	available = regexp.MustCompile(`Available\s*:\s*([\d,]+) Pages`)
)

// A Shell is the UEFI Shell on a machine's console. One command runs at a time.
type Shell struct {
	machine *Machine
	running *Command // started, and its end not yet seen
	number  int      // of the last question for a status
	broken  bool     // the state of the console is unknown
}

// Result is what a command printed, and its status.
type Result struct {
	Output string
	// Status is the Shell's %lasterror%: of a program the low 32 bits of its EFI_STATUS, the error
	// bit cleared.
	Status uint32
}

// Err is nil for success.
func (r Result) Err() error {
	if r.Status == 0 {
		return nil
	}
	return fmt.Errorf("status %#x: %s", r.Status, strings.TrimSpace(r.Output))
}

// Shell waits for the firmware to reach its Shell. If the machine has a volume it becomes the
// current directory.
func (m *Machine) Shell(ctx context.Context) (*Shell, error) {
	s := &Shell{machine: m}
	_, match, err := m.Console.Expect(ctx, ready)
	if err == nil && match[1] == "" {
		if err = m.Console.Send(ctx, " "); err == nil {
			_, match, err = m.Console.Expect(ctx, prompt)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("no Shell: %w\nconsole:\n%s", m.explain(err), m.Console.Tail())
	}
	if m.config.Volume == "" {
		return s, nil
	}
	if err := s.command(ctx, "FS0:"); err != nil {
		return nil, err
	}
	_, found, err := s.expectPrompt(ctx)
	if err != nil {
		return nil, s.failed("FS0:", err)
	}
	if !strings.HasPrefix(found, "FS0:") {
		return nil, fmt.Errorf("the Shell has no volume FS0:\nconsole:\n%s", m.Console.Tail())
	}
	return s, nil
}

// Run runs a command to its end. An error means that no end was seen: a hang until the end of ctx,
// an exception in the guest (*GuestError), or the end of the machine (ErrGone). A command that
// fails has a status.
func (s *Shell) Run(ctx context.Context, line string) (Result, error) {
	c, err := s.Start(ctx, line)
	if err != nil {
		return Result{}, err
	}
	return c.Wait(ctx)
}

// FreePages returns the number of free pages of 4 KiB, as the Shell's memmap counts them. The Shell
// itself takes a page or two more now and then, for its history for instance.
func (s *Shell) FreePages(ctx context.Context) (int, error) {
	r, err := s.Run(ctx, "memmap")
	if err != nil {
		return 0, err
	}
	match := available.FindStringSubmatch(r.Output)
	if match == nil {
		return 0, fmt.Errorf("memmap prints no sum of available pages: %w", r.Err())
	}
	return strconv.Atoi(strings.ReplaceAll(match[1], ",", ""))
}

// A Command is one that has been started.
type Command struct {
	shell  *Shell
	line   string
	output strings.Builder
}

// Start starts a command and returns while it runs.
func (s *Shell) Start(ctx context.Context, line string) (*Command, error) {
	if s.running != nil {
		return nil, fmt.Errorf("command %q: %q has not ended", line, s.running.line)
	}
	if s.broken {
		return nil, fmt.Errorf("command %q: %w", line, errBroken)
	}
	if err := s.command(ctx, line); err != nil {
		return nil, err
	}
	s.running = &Command{shell: s, line: line}
	return s.running, nil
}

// command types a command line. The Enter key follows when the echo was right, so no garbled line
// is ever run.
func (s *Shell) command(ctx context.Context, line string) error {
	if line == "" || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("qemu: %q is not a command line", line)
	}
	typing, cancel := context.WithTimeout(ctx, typingTime)
	defer cancel()
	if err := s.enter(typing, line); err != nil {
		return s.failed(line, err)
	}
	return nil
}

func (s *Shell) enter(ctx context.Context, line string) error {
	console := s.machine.Console
	if err := console.Send(ctx, line); err != nil {
		return err
	}
	if _, _, err := console.Expect(ctx, regexp.MustCompile(regexp.QuoteMeta(line))); err != nil {
		return err
	}
	if err := console.Send(ctx, "\r"); err != nil {
		return err
	}
	_, _, err := console.Expect(ctx, regexp.MustCompile(`\n`))
	return err
}

func (s *Shell) expectPrompt(ctx context.Context) (before, found string, err error) {
	before, match, err := s.machine.Console.Expect(ctx, prompt)
	if err != nil {
		return "", "", err
	}
	return before, match[1], nil
}

// failed describes a command's failure, after which the state of the console is unknown.
func (s *Shell) failed(line string, err error) error {
	s.broken = true
	return fmt.Errorf("command %q: %w", line, s.machine.explain(err))
}

// Expect waits until the command has printed what matches, and returns what it printed before, and
// the match. It does not detect the command's end: ctx bounds the wait.
func (c *Command) Expect(
	ctx context.Context, pattern *regexp.Regexp,
) (before string, match []string, err error) {
	before, match, err = c.shell.machine.Console.Expect(ctx, pattern)
	if err != nil {
		return "", nil, fmt.Errorf("command %q: %w", c.line, c.shell.machine.explain(err))
	}
	c.output.WriteString(before + match[0])
	return before, match, nil
}

// Wait waits for the command's end.
func (c *Command) Wait(ctx context.Context) (Result, error) {
	return c.Follow(ctx, io.Discard)
}

// Follow waits for the command's end and copies each line to w when it is complete.
func (c *Command) Follow(ctx context.Context, w io.Writer) (Result, error) {
	s := c.shell
	if s.running != c {
		return Result{}, fmt.Errorf("command %q: %w", c.line, errEnded)
	}
	for {
		before, match, err := s.machine.Console.Expect(ctx, promptOrLine)
		if err != nil {
			return Result{}, s.failed(c.line, err)
		}
		ended := match[1] != ""
		if !ended || before != "" {
			before += "\n"
		}
		c.output.WriteString(before)
		io.WriteString(w, before)
		if ended {
			break
		}
	}
	status, err := s.lastError(ctx)
	if err != nil {
		return Result{}, s.failed(c.line, err)
	}
	s.running = nil
	return Result{Output: c.output.String(), Status: status}, nil
}

var (
	errEnded  = errors.New("already waited for")
	errBroken = errors.New("an earlier command has not come back")
)

// lastError asks the Shell for the last status. Numbered questions keep their answers apart from
// other output.
func (s *Shell) lastError(ctx context.Context) (uint32, error) {
	s.number++
	mark := fmt.Sprintf("@%d@", s.number)
	if err := s.enter(ctx, "echo "+mark+"%lasterror%"); err != nil {
		return 0, err
	}
	_, match, err := s.machine.Console.Expect(ctx, regexp.MustCompile(mark+`0x([0-9A-Fa-f]+)\n`))
	if err != nil {
		return 0, err
	}
	if _, _, err := s.expectPrompt(ctx); err != nil {
		return 0, err
	}
	status, err := strconv.ParseUint(match[1], 16, 64)
	return uint32(status), err
}
