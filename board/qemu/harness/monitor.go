//go:build linux && !tamago

package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Bounds of the monitor connection, policy.
const (
	maxEvents   = 1024    // remembered events; the oldest go first
	maxResponse = 4 << 20 // one line of JSON
	// replyTime is how long QEMU may take to answer when the caller's context has no deadline.
	replyTime = 30 * time.Second
)

// A CommandError is QEMU's refusal of a monitor command (QMP specification, 2.4.2).
type CommandError struct {
	Command string
	Class   string
	Desc    string
}

// Error implements error.
func (e *CommandError) Error() string {
	return fmt.Sprintf("qemu: %s: %s (%s)", e.Command, e.Desc, e.Class)
}

// An Event is an asynchronous message of QEMU (QMP specification, 2.5).
type Event struct {
	Name string         `json:"event"`
	Data map[string]any `json:"data"`
}

// A Monitor is the machine's QMP connection. Its methods may be called concurrently.
type Monitor struct {
	conn net.Conn

	run sync.Mutex // one command at a time, so that answers need no numbers

	mu     sync.Mutex
	reply  chan message  // receives the answer to the command in progress
	events []Event       // not yet returned by WaitEvent
	change chan struct{} // closed and replaced when an event arrives
	err    error         // why the connection ended
	closed chan struct{}
}

// message is any of the three kinds of lines that QEMU sends.
type message struct {
	Event
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// newMonitor returns the monitor on a connection, which it owns from then on, and leaves QEMU's
// negotiation mode (QMP specification, 3).
func newMonitor(ctx context.Context, conn net.Conn) (*Monitor, error) {
	m := &Monitor{conn: conn, change: make(chan struct{}), closed: make(chan struct{})}
	go m.receive()
	if err := m.Run(ctx, "qmp_capabilities", nil, nil); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

// receive reads the lines that QEMU sends until the connection ends.
func (m *Monitor) receive() {
	lines := bufio.NewScanner(m.conn)
	lines.Buffer(nil, maxResponse)
	var err error
	for err == nil && lines.Scan() {
		var msg message
		if err = json.Unmarshal(lines.Bytes(), &msg); err != nil {
			break
		}
		switch {
		case msg.Greeting != nil:
		case msg.Name != "":
			m.remember(msg.Event)
		default:
			m.answer(msg)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = ErrGone
	if e := errors.Join(err, lines.Err()); e != nil {
		m.err = fmt.Errorf("%w: monitor: %w", ErrGone, e)
	}
	close(m.closed)
}

func (m *Monitor) remember(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) == maxEvents {
		m.events = m.events[1:]
	}
	m.events = append(m.events, e)
	close(m.change)
	m.change = make(chan struct{})
}

func (m *Monitor) answer(msg message) {
	m.mu.Lock()
	reply := m.reply
	m.reply = nil
	m.mu.Unlock()
	if reply != nil {
		reply <- msg // has room for one
	}
}

// Run executes a command and decodes its answer into result, unless that is nil.
// QEMU's refusal is a *CommandError.
func (m *Monitor) Run(
	ctx context.Context, command string, arguments map[string]any, result any,
) error {
	m.run.Lock()
	defer m.run.Unlock()
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()

	line, err := json.Marshal(struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return fmt.Errorf("qemu: %s: %w", command, err)
	}
	reply := make(chan message, 1)
	m.mu.Lock()
	m.reply = reply
	m.mu.Unlock()
	deadline, _ := ctx.Deadline()
	m.conn.SetWriteDeadline(deadline)
	if _, err := m.conn.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrGone, command, err)
	}
	select {
	case msg := <-reply:
		return msg.decode(command, result)
	case <-m.closed:
		m.mu.Lock()
		defer m.mu.Unlock()
		return fmt.Errorf("%s: %w", command, m.err)
	case <-ctx.Done():
		// A late answer would be taken for the next command's.
		m.conn.Close()
		return fmt.Errorf("%w: monitor command %s", ErrTimeout, command)
	}
}

func (msg message) decode(command string, result any) error {
	if msg.Error != nil {
		return &CommandError{Command: command, Class: msg.Error.Class, Desc: msg.Error.Desc}
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(msg.Return, result); err != nil {
		return fmt.Errorf("qemu: %s: %w", command, err)
	}
	return nil
}

// HMP executes a command of the human monitor and returns what it prints. Such commands report
// errors in their text only.
func (m *Monitor) HMP(ctx context.Context, command string) (string, error) {
	var text string
	err := m.Run(ctx, "human-monitor-command", map[string]any{"command-line": command}, &text)
	return strings.ReplaceAll(text, "\r\n", "\n"), err
}

// WaitEvent returns the first event of a name that accept agrees to (nil accepts all), waiting for
// it if need be. Each event is returned once.
func (m *Monitor) WaitEvent(
	ctx context.Context, name string, accept func(data map[string]any) bool,
) (Event, error) {
	for {
		m.mu.Lock()
		for i, e := range m.events {
			if e.Name == name && (accept == nil || accept(e.Data)) {
				m.events = append(m.events[:i:i], m.events[i+1:]...)
				m.mu.Unlock()
				return e, nil
			}
		}
		change := m.change
		m.mu.Unlock()
		select {
		case <-change:
		case <-m.closed:
			return Event{}, fmt.Errorf("waiting for event %s: %w", name, ErrGone)
		case <-ctx.Done():
			return Event{}, fmt.Errorf("%w: no event %s", ErrTimeout, name)
		}
	}
}
