//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// exitDevice takes a kernel's last status from its I/O port, which is what board q35 uses, and ends QEMU.
const exitDevice = "isa-debug-exit,iobase=0xf4,iosize=0x04"

// ErrNoStatus says that a kernel did not tell how it ended: it crashed, or switched the machine off.
var ErrNoStatus = errors.New("qemu: the kernel ended without a status")

// Exit waits for the end of a machine with a kernel, and returns the status that the kernel gave. All that it printed is in the
// console's log then.
func (m *Machine) Exit(ctx context.Context) (status int, err error) {
	select {
	case <-m.process.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: the machine still runs", ErrTimeout)
	}
	<-m.Console.closed
	if m.expired.Load() {
		return 0, m.explain(ErrGone)
	}
	return exitStatus(m.process.err, m.process.gone)
}

// exitStatus reads a status out of how QEMU ended: with twice the status and one (QEMU, isa-debug-exit). QEMU that does not like
// its arguments ends with 1 too, but Start has seen it at work.
func exitStatus(ended error, gone func() error) (int, error) {
	if ended == nil {
		return 0, ErrNoStatus
	}
	var exit *exec.ExitError
	if !errors.As(ended, &exit) || exit.ExitCode() < 0 || exit.ExitCode()&1 == 0 {
		return 0, gone()
	}
	return exit.ExitCode() >> 1, nil
}
