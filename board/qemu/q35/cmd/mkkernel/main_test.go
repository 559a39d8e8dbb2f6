//go:build !tamago

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		exit int
		want string
	}{
		{"no arguments", nil, exitUsage, "usage"},
		{"one argument", []string{text}, exitUsage, "usage"},
		{"no such file", []string{filepath.Join(dir, "none"), filepath.Join(dir, "out")},
			exitFailed, "none"},
		{"a file that is no program", []string{text, filepath.Join(dir, "out")}, exitFailed, text},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr strings.Builder
			if exit := run(c.args, &stderr); exit != c.exit || !strings.Contains(stderr.String(),
				c.want) {
				t.Errorf("exit %d, %q", exit, stderr.String())
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("a file was written")
	}
}
