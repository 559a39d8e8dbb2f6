//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// An Agent is the program in folder agent, running on a machine's console.
type Agent struct {
	machine *Machine
	pending bool // a command has been sent and not answered
}

var (
	agentReady  = regexp.MustCompile(`(?m)^agent: ready$`)
	agentAnswer = regexp.MustCompile(`(?m)^agent: (ok|failed:) ?(.*)\n`)
)

// Agent waits until the agent, which the caller has started on the machine, is ready.
func (m *Machine) Agent(ctx context.Context) (*Agent, error) {
	if _, _, err := m.Console.Expect(ctx, agentReady); err != nil {
		return nil, fmt.Errorf("no agent: %w\nconsole:\n%s", m.explain(err), m.Console.Tail())
	}
	return &Agent{machine: m}, nil
}

// Send sends a command and does not wait for its answer.
func (a *Agent) Send(ctx context.Context, line string) error {
	if a.pending {
		return fmt.Errorf("agent: %q before the answer to another command", line)
	}
	a.pending = true
	return a.machine.explain(a.machine.Console.Send(ctx, line+"\r"))
}

// An AgentError is the agent's report of a command that failed.
type AgentError struct{ Text string }

// Error implements error.
func (e *AgentError) Error() string { return "agent: " + e.Text }

// Answer waits for the answer to the command sent last. A failure is an *AgentError; after any
// other error the agent cannot be used any more.
func (a *Agent) Answer(ctx context.Context) (string, error) {
	_, match, err := a.machine.Console.Expect(ctx, agentAnswer)
	if err != nil {
		return "", fmt.Errorf("agent: %w\nconsole:\n%s", a.machine.explain(err),
			a.machine.Console.Tail())
	}
	a.pending = false
	text := strings.TrimSpace(match[2])
	if match[1] != "ok" {
		return "", &AgentError{text}
	}
	return text, nil
}

// Do sends a command and waits for its answer.
func (a *Agent) Do(ctx context.Context, line string) (string, error) {
	if err := a.Send(ctx, line); err != nil {
		return "", err
	}
	return a.Answer(ctx)
}

// Usable reports whether the agent takes another command after one with this error.
func (a *Agent) Usable(err error) bool {
	var failed *AgentError
	return !a.pending && (err == nil || errors.As(err, &failed))
}
