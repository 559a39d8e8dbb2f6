//go:build linux && !tamago

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tamaccid/board/qemu/harness"
	"tamaccid/board/qemu/harness/cmd/internal/program"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name string
		args []string
		err  error
	}{
		{"packages", []string{"./ccid/...", "./uefi"}, nil},
		{"no package", nil, program.ErrUsage},
		{"no time", []string{"-limit", "0s", "./ccid"}, program.ErrUsage},
		{"an unknown flag", []string{"-race", "./ccid"}, program.ErrUsage},
		{"help", []string{"-h"}, flag.ErrHelp},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := parse(test.args, io.Discard); !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
		})
	}
}

func TestParseList(t *testing.T) {
	got, err := parseList("tamaccid/ccid\t/src/ccid\tccid\n\n" +
		"tamaccid/ccid/atr\t/src/ccid/atr\tatr\n")
	want := []testPackage{{"tamaccid/ccid", "/src/ccid", "ccid"},
		{"tamaccid/ccid/atr", "/src/ccid/atr", "atr"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if name := got[1].program(); name != "ccid-atr" {
		t.Errorf("program %q", name)
	}
	if _, err := parseList("what is this\n"); err == nil {
		t.Error("a line without fields was taken")
	}
}

func TestOverlayAddsTheBoardAndKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base.json")
	if err := os.WriteFile(base, []byte(`{"Replace": {"/go/src/runtime/a.go": "/build/a.go"}}`),
		0o644); err != nil {
		t.Fatal(err)
	}
	b, err := newBuilder(base, filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.writeOverlay([]testPackage{{"tamaccid/ccid/atr", "/src/ccid/atr",
		"atr"}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.overlay)
	if err != nil {
		t.Fatal(err)
	}
	var got overlay
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Replace["/go/src/runtime/a.go"] != "/build/a.go" {
		t.Errorf("the base is lost: %v", got.Replace)
	}
	source, err := os.ReadFile(got.Replace["/src/ccid/atr/"+boardFile])
	if err != nil || !strings.HasPrefix(string(source), "package atr_test\n") ||
		!strings.Contains(string(source), board) {
		t.Errorf("added file %q, %v", source, err)
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		name   string
		result harness.Result
		good   bool
	}{
		{"success", harness.Result{Output: "PASS\n"}, true},
		{"success with words before", harness.Result{Output: "x\nPASS\n"}, true},
		{"a failed test", harness.Result{Output: "--- FAIL: TestX\nFAIL\n", Status: 21}, false},
		{"an error after PASS", harness.Result{Output: "PASS\n", Status: 21}, false},
		{"a program that is no test", harness.Result{Output: "Hello\n"}, false},
		{"a test program without tests",
			harness.Result{Output: "testing: warning: no tests to run\nPASS\n"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := verdict(test.result); (err == nil) != test.good {
				t.Errorf("verdict %v", err)
			}
		})
	}
}
