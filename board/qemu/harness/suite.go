//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// RequiredVariable is the environment variable that makes a missing QEMU or firmware fail a Suite
// when it is not empty. Without it such a Suite is skipped.
const RequiredVariable = "QEMU_REQUIRED"

// Time limits of a Suite, policy.
const (
	bootTime   = 90 * time.Second // a boot takes 4 s on an idle machine
	suiteLimit = 15 * time.Minute // of one machine
)

// A Suite runs many test cases on one machine. A case whose command does not come back is ended by
// its deadline and fails, and the machine is started again for the cases after it.
type Suite struct {
	// Boot, when set, is called after each boot, before the first case: to load a driver, for
	// instance.
	Boot func(ctx context.Context, sh *Shell) error

	t       *testing.T
	config  Config
	machine *Machine
	shell   *Shell
}

// NewSuite prepares a machine for a test; it is booted for the first case and ended with the test.
// It skips the test in short mode, and where QEMU or the firmware is not installed (but see
// RequiredVariable).
func NewSuite(t *testing.T, config Config) *Suite {
	t.Helper()
	Require(t)
	if config.Limit == 0 {
		config.Limit = suiteLimit
	}
	s := &Suite{t: t, config: config}
	t.Cleanup(s.end)
	return s
}

// Require skips a test in short mode, and where QEMU, its firmware or one of the programs is not
// installed; the latter fails it when RequiredVariable is set.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a machine: not in short mode")
	}
	_, err := FindFirmware()
	if _, missing := platforms[defaultArch].findEmulator(); missing != nil {
		err = missing
	}
	for _, name := range programs {
		if _, missing := exec.LookPath(name); missing != nil {
			err = missing
		}
	}
	switch {
	case err == nil:
	case os.Getenv(RequiredVariable) != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// A Case is one test case of a Suite, on a machine that waits at the Shell's prompt.
type Case struct {
	// Ctx ends at the case's deadline.
	Ctx     context.Context
	Shell   *Shell
	Machine *Machine

	t *testing.T
}

// Run runs a case as a subtest. The limit is the case's alone: a boot that it needs is not counted.
func (s *Suite) Run(name string, limit time.Duration, test func(t *testing.T, c *Case)) bool {
	s.t.Helper()
	return s.t.Run(name, func(t *testing.T) {
		if s.shell == nil {
			if err := s.boot(t); err != nil {
				s.discard(t)
				t.Fatalf("boot: %v", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		defer s.judge(t) // also when the case ends by t.FailNow
		test(t, &Case{Ctx: ctx, Shell: s.shell, Machine: s.machine, t: t})
	})
}

func (s *Suite) boot(t *testing.T) error {
	began := time.Now()
	// The machine outlives this case, its boot does not.
	machine, err := Start(s.t.Context(), s.config)
	if err != nil {
		return err
	}
	s.machine = machine
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	shell, err := machine.Shell(ctx)
	if err != nil {
		return err
	}
	if s.Boot != nil {
		if err := s.Boot(ctx, shell); err != nil {
			return err
		}
	}
	t.Logf("machine ready after %v", time.Since(began).Round(time.Millisecond))
	s.shell = shell
	return nil
}

// judge ends the machine after a case when it cannot be used for another.
func (s *Suite) judge(t *testing.T) {
	t.Helper()
	if s.machine == nil {
		return
	}
	usable := s.shell.running == nil && !s.shell.broken && !isClosed(s.machine.process.done)
	if t.Failed() {
		s.machine.KeepLog(t)
	}
	if !usable {
		s.discard(t)
	}
}

// discard ends a machine that cannot be used any more.
func (s *Suite) discard(t *testing.T) {
	t.Helper()
	if s.machine == nil {
		return
	}
	if s.shell == nil {
		s.machine.KeepLog(t) // it never reached its Shell
	}
	s.end()
}

func (s *Suite) end() {
	if s.machine != nil {
		s.machine.Close()
	}
	s.machine, s.shell = nil, nil
}

// KeepLog writes the console's text to a file and logs the file's name and the last lines.
func (m *Machine) KeepLog(t testing.TB) {
	t.Helper()
	f, err := os.CreateTemp("", "console-*.log")
	if err != nil {
		t.Logf("console: %v\n%s", err, m.Console.Log())
		return
	}
	_, err = f.WriteString(m.Console.Log())
	if err = errors.Join(err, f.Close()); err != nil {
		t.Logf("console: %v", err)
	}
	t.Logf("whole console: %s; its end:\n%s", f.Name(), m.Console.Tail())
}

// Command runs a Shell command to its end. The case is over when the prompt does not come back in
// time.
func (c *Case) Command(line string) Result {
	c.t.Helper()
	r, err := c.Shell.Run(c.Ctx, line)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// Must is Command, and fails the case when the status is not 0.
func (c *Case) Must(line string) Result {
	c.t.Helper()
	r := c.Command(line)
	if err := r.Err(); err != nil {
		c.t.Fatalf("command %q: %v", line, err)
	}
	return r
}

// Background starts a Shell command; Expect and Wait of the result need c.Ctx.
func (c *Case) Background(line string) *Command {
	c.t.Helper()
	command, err := c.Shell.Start(c.Ctx, line)
	if err != nil {
		c.t.Fatal(err)
	}
	return command
}

// Expect waits until a command in the background has printed what matches, and returns the match.
func (c *Case) Expect(command *Command, pattern string) []string {
	c.t.Helper()
	_, match, err := command.Expect(c.Ctx, regexp.MustCompile(pattern))
	if err != nil {
		c.t.Fatal(err)
	}
	return match
}

// Wait waits for the end of a command in the background.
func (c *Case) Wait(command *Command) Result {
	c.t.Helper()
	r, err := command.Wait(c.Ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// Load loads a driver and connects it.
func (c *Case) Load(name string) Image {
	c.t.Helper()
	image, err := c.Shell.Load(c.Ctx, name)
	if err != nil {
		c.t.Fatal(err)
	}
	return image
}

// Unload removes the driver that was loaded last from a file of that name.
func (c *Case) Unload(name string) {
	c.t.Helper()
	r, err := c.Shell.Unload(c.Ctx, name)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		c.t.Fatalf("unload %s: %v", name, err)
	}
}

// FreePages is Shell.FreePages.
func (c *Case) FreePages() int {
	c.t.Helper()
	pages, err := c.Shell.FreePages(c.Ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return pages
}
