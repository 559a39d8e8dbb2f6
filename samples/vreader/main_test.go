//go:build linux && !tamago

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// text is the output of the program.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func TestServeUntilQuit(t *testing.T) {
	dir := t.TempDir()
	o := options{reader: "short", card: "t1", listen: filepath.Join(dir, "reader"),
		capture: filepath.Join(dir, "traffic.pcapng")}
	in, keyboard := io.Pipe()
	var out text
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() { done <- run(ctx, o, in, &out) }()
	var conn net.Conn
	for conn == nil {
		var err error
		if conn, err = net.Dial("unix", o.listen); err != nil && ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	hello := make([]byte, 80) // usbredir's hello: 12 + 64 + 4
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(conn, hello); err != nil || !strings.HasPrefix(string(hello[12:]),
		"tamaccid") {
		t.Fatalf("greeting %q, %v", hello, err)
	}
	io.WriteString(keyboard, "unplug\nreplug\nremove\ninsert t0\ninsert nothing\njump\nquit\n")
	select {
	case err := <-done:
		if err != nil && err != context.Canceled {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("the program continues after quit")
	}
	for _, want := range []string{"Virtual Reader (1209:0001)", "-chardev socket,id=vreader,path=" +
		o.listen, `unknown card "nothing"`, "commands: insert"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it did not print %q:\n%s", want, out.String())
		}
	}
	if info, err := os.Stat(o.capture); err != nil || info.Size() < 100 {
		t.Errorf("no capture: %v", err)
	}
}

func TestInvalidOptions(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	for name, o := range map[string]options{
		"a reader that is unknown": {reader: "nothing", card: "t0", listen: socket},
		"a card that is unknown":   {reader: "tpdu", card: "nothing", listen: socket},
		"a slot that is unknown":   {reader: "tpdu", card: "t0", slot: 1, listen: socket},
		"a speed that is unknown":  {reader: "tpdu", card: "t0", speed: "warp", listen: socket},
		"no address":               {reader: "tpdu", card: "t0"},
	} {
		if err := run(context.Background(), o, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
