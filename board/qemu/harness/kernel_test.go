//go:build linux && !tamago

package harness

import (
	"errors"
	"os/exec"
	"testing"
)

func TestExitStatus(t *testing.T) {
	gone := errors.New("gone")
	ended := func(script string) error { return exec.Command("sh", "-c", script).Run() }
	for _, c := range []struct {
		name   string
		ended  error
		status int
		err    error
	}{
		{"success", ended("exit 1"), 0, nil},
		{"a failure", ended("exit 7"), 3, nil},
		{"the largest status", ended("exit 255"), 127, nil},
		{"a machine that was switched off, or crashed", nil, 0, ErrNoStatus},
		{"an even number, which no status is", ended("exit 2"), 0, gone},
		{"a signal", ended("kill -KILL $$"), 0, gone},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, err := exitStatus(c.ended, func() error { return gone })
			if status != c.status || !errors.Is(err, c.err) {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
}
