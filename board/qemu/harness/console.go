//go:build linux && !tamago

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

var (
	// ErrGone is wrapped by errors of a machine whose QEMU has ended.
	ErrGone = errors.New("qemu: the machine has ended")
	// ErrTimeout is wrapped by errors of waits that end without a match in time.
	ErrTimeout = errors.New("qemu: timeout")
)

// A GuestError is a CPU exception in the machine, as its firmware reported it on the console.
type GuestError struct {
	Report string
}

// Error implements error.
func (e *GuestError) Error() string {
	first, _, _ := strings.Cut(e.Report, "\n")
	return "qemu: exception in the guest: " + first
}

// Bounds of the console's memory and pace, all policy.
const (
	// maxConsole is how many bytes of text are kept; beyond it the older half is dropped.
	maxConsole = 8 << 20
	// scanInterval is the least time between two searches in output that keeps coming.
	scanInterval = 5 * time.Millisecond
	// reportTime is how long an exception report may take to arrive in full.
	reportTime = 500 * time.Millisecond
	// tailLines is how much of the console goes into errors.
	tailLines = 25
)

// A Console is the machine's serial console: text typed and text printed. Its methods may be called
// concurrently, but only one caller at a time may use Expect.
type Console struct {
	out    io.ReadCloser // what the guest prints
	in     input         // what is typed
	copyTo io.Writer
	limit  int           // of the text kept
	mark   string        // how the report of an exception begins
	change chan struct{} // has a token when something arrived
	closed chan struct{} // closed at the end of the output

	mu   sync.Mutex
	text []byte
	read int // text before it was consumed by Expect
}

// input is a file or connection for what is typed.
type input interface {
	io.WriteCloser
	SetWriteDeadline(time.Time) error
}

func newConsole(out io.ReadCloser, in input, copyTo io.Writer, limit int, mark string) *Console {
	c := &Console{out: out, in: in, copyTo: copyTo, limit: limit, mark: mark,
		change: make(chan struct{}, 1), closed: make(chan struct{})}
	go c.receive()
	return c
}

// receive reads the guest's output as soon as it comes. The guest must not wait: firmware treats a
// serial port that is not ready in time as broken, and drops the text, or even ends the program
// that prints.
func (c *Console) receive() {
	defer close(c.closed)
	var t terminal
	raw := make([]byte, 4096)
	for {
		n, err := c.out.Read(raw)
		if text := t.filter(nil, raw[:n]); len(text) > 0 {
			c.append(text)
			if c.copyTo != nil {
				c.copyTo.Write(text)
			}
			select {
			case c.change <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *Console) append(text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, text...)
	if len(c.text) > c.limit {
		drop := len(c.text) / 2
		c.text = append([]byte(nil), c.text[drop:]...)
		c.read = max(0, c.read-drop)
	}
}

// Log returns all text so far, escape sequences removed.
func (c *Console) Log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// Tail returns the last lines of the text, for error messages.
func (c *Console) Tail() string {
	lines := strings.Split(strings.TrimSpace(c.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// Send types text. The guest takes about a hundred characters a second.
func (c *Console) Send(ctx context.Context, text string) error {
	deadline, _ := ctx.Deadline() // without one the zero time, which means none here too
	c.in.SetWriteDeadline(deadline)
	if _, err := io.WriteString(c.in, text); err != nil {
		return fmt.Errorf("qemu: console: %w", err)
	}
	return nil
}

// Expect waits until the text not yet consumed matches, and consumes it to the match's end. It
// returns the text before the match, and the match with its submatches. A pattern that ends in \z
// matches what is the end at the moment.
func (c *Console) Expect(
	ctx context.Context, pattern *regexp.Regexp,
) (before string, match []string, err error) {
	for {
		ended := isClosed(c.closed) // before the text is read, so that the last text is not missed
		before, match, err := c.scan(pattern)
		if match != nil {
			return before, match, nil
		}
		if err != nil {
			return "", nil, c.settle(ctx, err)
		}
		if ended {
			return "", nil, ErrGone
		}
		select {
		case <-ctx.Done():
			return "", nil, fmt.Errorf("%w: console shows no match for %q", ErrTimeout, pattern)
		case <-c.closed:
			continue
		case <-c.change:
		}
		time.Sleep(scanInterval)
	}
}

// scan searches the unconsumed text once.
func (c *Console) scan(pattern *regexp.Regexp) (before string, match []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := c.text[c.read:]
	at, exception := pattern.FindSubmatchIndex(text), bytes.Index(text, []byte(c.mark))
	if exception >= 0 && (at == nil || exception < at[1]) {
		return "", nil, &GuestError{Report: string(text[exception:])}
	}
	if at != nil {
		for i := 0; i < len(at); i += 2 {
			if at[i] < 0 {
				match = append(match, "")
				continue
			}
			match = append(match, string(text[at[i]:at[i+1]]))
		}
		c.read += at[1]
		return string(text[:at[0]]), match, nil
	}
	return "", nil, nil
}

// settle waits for an exception report to arrive in full.
func (c *Console) settle(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
	case <-c.closed:
	case <-time.After(reportTime):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	text := string(c.text[c.read:])
	if at := strings.Index(text, c.mark); at >= 0 {
		c.read = len(c.text)
		return &GuestError{Report: text[at:]}
	}
	return err
}

// close ends both directions and waits until the output has been read.
func (c *Console) close() {
	c.in.Close()
	c.out.Close()
	<-c.closed
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
