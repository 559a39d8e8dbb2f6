//go:build linux && !tamago

package harness

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// peer plays QEMU's side of QMP: it greets, and answers each command with the lines that the script
// has for it.
func peer(t *testing.T, script map[string]string) *Monitor {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { far.Close() })
	go func() {
		io.WriteString(far, `{"QMP": {"version": {}, "capabilities": []}}`+"\n")
		commands := bufio.NewScanner(far)
		for commands.Scan() {
			answer := `{"return": {}}`
			for command, lines := range script {
				if strings.Contains(commands.Text(), `"`+command+`"`) {
					answer = lines
				}
			}
			if answer == "" {
				continue
			}
			io.WriteString(far, answer+"\n")
			if answer == "not JSON" {
				far.Close()
			}
		}
	}()
	m, err := newMonitor(within(t, 10*time.Second), near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close(); <-m.closed })
	return m
}

func TestMonitorRun(t *testing.T) {
	m := peer(t, map[string]string{
		"query-status": `{"event": "RESUME", "data": {}}` + "\n" +
			`{"return": {"status": "running"}}`,
		"device_add": `{"error": {"class": "GenericError", "desc": "no such bus"}}`,
		"info usb":   `{"return": "a\r\nb\r\n"}`,
	})
	ctx := within(t, 10*time.Second)

	var status struct{ Status string }
	if err := m.Run(ctx, "query-status", nil, &status); err != nil || status.Status != "running" {
		t.Errorf("status %q, %v, although an event came before the answer", status.Status, err)
	}
	var refused *CommandError
	if err := m.Run(ctx, "device_add", nil, nil); !errors.As(err, &refused) ||
		refused.Desc != "no such bus" {
		t.Errorf("refusal %v", err)
	}
	if text, err := m.HMP(ctx, "info usb"); err != nil || text != "a\nb\n" {
		t.Errorf("human monitor %q, %v", text, err)
	}
}

func TestMonitorEvents(t *testing.T) {
	deleted := `{"event": "DEVICE_DELETED", "data": {"device": "`
	m := peer(t, map[string]string{
		"device_del": deleted + `card"}}` + "\n" + deleted + `reader"}}` + "\n" + `{"return": {}}`,
	})
	ctx := within(t, 10*time.Second)
	if err := m.Run(ctx, "device_del", nil, nil); err != nil {
		t.Fatal(err)
	}
	reader := func(data map[string]any) bool { return data["device"] == "reader" }
	if e, err := m.WaitEvent(ctx, "DEVICE_DELETED", reader); err != nil ||
		e.Data["device"] != "reader" {
		t.Errorf("event %v, %v", e, err)
	}
	if e, err := m.WaitEvent(ctx, "DEVICE_DELETED", nil); err != nil || e.Data["device"] != "card" {
		t.Errorf("event %v, %v, want the one passed over", e, err)
	}
	if _, err := m.WaitEvent(within(t, 20*time.Millisecond), "DEVICE_DELETED", nil); !errors.Is(err,
		ErrTimeout) {
		t.Errorf("error %v: each event is returned once", err)
	}
}

func TestMonitorEndsWithItsConnection(t *testing.T) {
	tests := []struct {
		name   string
		answer string
		limit  time.Duration
		want   error
	}{
		{"garbage from QEMU", "not JSON", 10 * time.Second, ErrGone},
		{"no answer", "", 20 * time.Millisecond, ErrTimeout},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := peer(t, map[string]string{"stop": test.answer})
			if err := m.Run(within(t, test.limit), "stop", nil, nil); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if err := m.Run(within(t, 10*time.Second), "cont", nil, nil); !errors.Is(err, ErrGone) {
				t.Errorf("command after it: error %v, want %v", err, ErrGone)
			}
		})
	}
}
