//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// exitDevice ends QEMU with the status that a kernel writes to its I/O port, as board q35 does.
const exitDevice = "isa-debug-exit,iobase=0xf4,iosize=0x04"

// ErrNoStatus is a kernel's end without a status: it crashed, or switched the machine off.
var ErrNoStatus = errors.New("qemu: the kernel ended without a status")

// Exit waits for the end of a machine with a kernel, and returns the kernel's status. The console's
// log is complete then.
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

// exitStatus returns the status in QEMU's exit code, which is twice the status and one (QEMU,
// isa-debug-exit). QEMU ends with 1 for wrong arguments too, but Start has excluded that.
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
