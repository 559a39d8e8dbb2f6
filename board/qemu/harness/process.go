//go:build linux && !tamago

package harness

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxStderr bounds what is kept of QEMU's own messages. It is policy.
const maxStderr = 16 << 10

// process is one running QEMU, in a process group of its own.
type process struct {
	pid    int
	done   chan struct{} // closed when it has ended
	err    error         // how it ended, valid after done
	stderr tail
}

// startProcess starts a program with a standard input and output, and more files as its descriptors
// 3, 4, ... . The kernel ends it when this program ends.
func startProcess(
	path string, args []string, stdin, stdout *os.File, more ...*os.File,
) (*process, error) {
	p := &process{done: make(chan struct{}), stderr: tail{limit: maxStderr}}
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &p.stderr
	cmd.ExtraFiles = more
	// A child of QEMU that keeps the error output open must not delay Wait.
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started := make(chan error)
	go func() {
		// The death signal is bound to the thread that started the process, so that thread has to
		// stay (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	return p, nil
}

// kill ends the whole process group and waits for the process.
func (p *process) kill() {
	select {
	case <-p.done:
		return // the number may belong to another process now
	default:
	}
	syscall.Kill(-p.pid, syscall.SIGKILL)
	<-p.done
}

// gone describes a process that has ended, with its last messages.
func (p *process) gone() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	if words := strings.TrimSpace(p.stderr.String()); words != "" {
		how += ": " + words
	}
	return fmt.Errorf("%w (%s)", ErrGone, how)
}

// tail is a writer that keeps the end of what is written.
type tail struct {
	mu    sync.Mutex
	limit int
	buf   []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - t.limit; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
