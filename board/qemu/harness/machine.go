//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// quitTime is how long QEMU may take to end after quit before it is killed (policy).
const quitTime = 2 * time.Second

// A Machine is a running QEMU.
type Machine struct {
	// Console is the first serial port.
	Console *Console
	// Monitor is the QMP connection.
	Monitor *Monitor

	config  Config
	process *process
	dir     string // private files
	card    *cardServer
	limit   *time.Timer
	// redirected plays the devices of Config.Redirected and Plug, by their identifiers.
	redirected map[string]*cardServer
	expired    atomic.Bool // ended by its time limit
	close      sync.Once
}

// Start starts a machine. It runs until Close, until the end of ctx, or until its time limit.
// Errors about missing software wrap ErrMissing.
func Start(ctx context.Context, config Config) (*Machine, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	path, err := config.platform.findEmulator()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "qemu-") // short: a socket's path ends at 107 bytes (unix(7))
	if err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	m := &Machine{config: config, dir: dir}
	if err := m.start(ctx, path); err != nil {
		m.Close()
		return nil, err
	}
	context.AfterFunc(ctx, m.kill)
	m.limit = time.AfterFunc(config.Limit, func() {
		m.expired.Store(true)
		m.kill()
	})
	return m, nil
}

func (m *Machine) start(ctx context.Context, path string) error {
	f := files{
		vars: filepath.Join(m.dir, "vars.fd"),
		card: filepath.Join(m.dir, "card"),
		dir:  m.dir,
		// Inherited files are numbered from 3.
		monitor: 3,
	}
	if m.config.Kernel == "" {
		if err := copyFile(f.vars, m.config.Firmware.Vars); err != nil {
			return err
		}
	}
	stdin, typed, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("qemu: console: %w", err)
	}
	defer stdin.Close()
	printed, stdout, err := os.Pipe()
	if err != nil {
		typed.Close()
		return fmt.Errorf("qemu: console: %w", err)
	}
	defer stdout.Close()
	enlarge(stdout)
	m.Console = newConsole(printed, typed, m.config.Output, maxConsole,
		m.config.platform.exceptionMark)
	monitor, monitorPeer, err := socketPair("monitor")
	if err != nil {
		return err
	}
	defer monitorPeer.Close()
	if m.config.Card != nil {
		if m.card, err = listenCard(f.card, m.config.Card); err != nil {
			monitor.Close()
			return err
		}
	}
	for i := range m.config.Redirected {
		if err := m.listen(&m.config.Redirected[i]); err != nil {
			monitor.Close()
			return err
		}
	}
	m.process, err = startProcess(path, m.config.arguments(f), stdin, stdout, monitorPeer)
	if err != nil {
		monitor.Close()
		return err
	}
	// From here on only QEMU holds the other ends: they are closed when it ends.
	stdin.Close()
	stdout.Close()
	monitorPeer.Close()
	m.Monitor, err = newMonitor(ctx, monitor)
	return m.explain(err)
}

// explain adds QEMU's last messages to an error that its end has caused.
func (m *Machine) explain(err error) error {
	if err == nil || !errors.Is(err, ErrGone) || m.process == nil {
		return err
	}
	if m.expired.Load() {
		return fmt.Errorf("%w (its time limit of %v is over)", ErrGone, m.config.Limit)
	}
	select {
	case <-m.process.done:
		return m.process.gone()
	case <-time.After(quitTime):
		return err
	}
}

// kill ends QEMU at once.
func (m *Machine) kill() {
	if m.process != nil {
		m.process.kill()
	}
}

// Close ends the machine, orderly if it can, and removes everything that belongs to it.
func (m *Machine) Close() error {
	m.close.Do(func() {
		if m.limit != nil {
			m.limit.Stop()
		}
		if m.Monitor != nil {
			ctx, cancel := context.WithTimeout(context.Background(), quitTime)
			if m.Quit(ctx) == nil {
				m.Wait(ctx)
			}
			cancel()
		}
		m.kill()
		if m.Monitor != nil {
			m.Monitor.conn.Close()
		}
		if m.Console != nil {
			m.Console.close()
		}
		if m.card != nil {
			m.card.close()
		}
		for _, r := range m.redirected {
			r.close()
		}
		os.RemoveAll(m.dir)
	})
	return nil
}

// Quit asks QEMU to end. It does not wait for that.
func (m *Machine) Quit(ctx context.Context) error {
	return m.Monitor.Run(ctx, "quit", nil, nil)
}

// Wait waits until QEMU has ended, for example because the guest switched the machine off.
// The error is nil when QEMU ended with status 0.
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.process.done:
		if m.process.err != nil {
			return m.process.gone()
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: the machine still runs", ErrTimeout)
	}
}

// socketPair returns a connection for us and a file for QEMU.
func socketPair(name string) (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("qemu: %s: %w", name, err)
	}
	ours := os.NewFile(uintptr(fds[0]), name)
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		syscall.Close(fds[1])
		return nil, nil, fmt.Errorf("qemu: %s: %w", name, err)
	}
	return conn, os.NewFile(uintptr(fds[1]), name), nil
}

// pipeSize lets the guest print for a while when its output is not read: every user may have 1 MiB
// (pipe(7), pipe-max-size).
const pipeSize = 1 << 20

// enlarge makes a pipe's buffer larger than the usual 64 KiB, where the host allows it. A socket
// does not serve as console: the kernel counts each written byte there as a whole packet, and a few
// hundred fill it.
func enlarge(pipe *os.File) {
	if raw, err := pipe.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETPIPE_SZ, pipeSize)
		})
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("qemu: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("qemu: %w", err)
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return fmt.Errorf("qemu: %w", err)
	}
	return out.Close()
}
