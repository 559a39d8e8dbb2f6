//go:build linux && !tamago

package harness

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// guest returns a console and the far end of its line.
func guest(t *testing.T) (*Console, net.Conn) {
	t.Helper()
	return guestWithLimit(t, maxConsole)
}

func guestWithLimit(t *testing.T, limit int) (*Console, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	return newConsole(near, near, nil, limit, amd64.exceptionMark), far
}

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestConsoleExpect(t *testing.T) {
	c, far := guest(t)
	go func() {
		for _, piece := range []string{"one t", "wo\r", "\nthr\x1b[", "1mee fo", "ur"} {
			io.WriteString(far, piece)
		}
	}()
	ctx := within(t, 10*time.Second)
	before, match, err := c.Expect(ctx, regexp.MustCompile(`t(w)o\n`))
	if err != nil || before != "one " || len(match) != 2 || match[1] != "w" {
		t.Fatalf("first: before %q, match %q, %v", before, match, err)
	}
	before, _, err = c.Expect(ctx, regexp.MustCompile(`four`))
	if err != nil || before != "three " {
		t.Fatalf("second: before %q, %v", before, err)
	}
	if want := "one two\nthree four"; c.Log() != want {
		t.Errorf("log %q, want %q", c.Log(), want)
	}
}

func TestConsoleWaitsEnd(t *testing.T) {
	never := regexp.MustCompile(`never`)
	tests := []struct {
		name  string
		limit time.Duration
		say   string
		hang  bool // the line stays open
		check func(error) bool
	}{
		{"at the deadline", 20 * time.Millisecond, "text", true,
			func(err error) bool { return errors.Is(err, ErrTimeout) }},
		{"when the line is closed", 10 * time.Second, "text", false,
			func(err error) bool { return errors.Is(err, ErrGone) }},
		{"when the firmware reports an exception", 10 * time.Second,
			"x\n!!!! X64 Exception Type - 06(#UD - Invalid Opcode)  CPU Apic ID - 00000000 !!!!\n" +
				"RIP  - 0\n", true,
			func(err error) bool {
				var guest *GuestError
				return errors.As(err, &guest) && strings.HasPrefix(guest.Report, "!!!! X64") &&
					strings.Contains(guest.Report, "RIP  - 0") && !strings.Contains(err.Error(),
					"RIP")
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, far := guest(t)
			go func() {
				io.WriteString(far, test.say)
				if !test.hang {
					far.Close()
				}
			}()
			if _, _, err := c.Expect(within(t, test.limit), never); !test.check(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestConsoleMatchesTheLastWordsOfAClosedLine(t *testing.T) {
	c, far := guest(t)
	go func() {
		io.WriteString(far, "last words")
		far.Close()
	}()
	<-c.closed
	if _, _, err := c.Expect(within(t, 10*time.Second), regexp.MustCompile(`words`)); err != nil {
		t.Error(err)
	}
}

func TestConsoleBoundsItsMemory(t *testing.T) {
	const limit = 10_000
	c, far := guestWithLimit(t, limit)
	line := strings.Repeat("x", limit/4)
	for range 20 {
		if _, err := io.WriteString(far, line); err != nil {
			t.Fatal(err)
		}
	}
	go io.WriteString(far, "end")
	if _, _, err := c.Expect(within(t, 10*time.Second), regexp.MustCompile(`end`)); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Log()); n > limit {
		t.Errorf("%d bytes kept, more than %d", n, limit)
	}
}
