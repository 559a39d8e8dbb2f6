//go:build !tamago

package main

import (
	"bytes"
	"debug/pe"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDriverIsMadeAndMeasured(t *testing.T) {
	dir := t.TempDir()
	program, driver := filepath.Join(dir, "program.elf"), filepath.Join(dir, "driver.efi")
	build := exec.Command("go", "build", "-buildmode=pie", "-trimpath", "-ldflags=-s -w", "-o",
		program, "../../testdata/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stdout, stderr bytes.Buffer
	if exit := run([]string{"-subsystem", "driver", "-version", "1.2.3", program, driver}, &stdout,
		&stderr); exit != 0 || stdout.Len()+stderr.Len() > 0 {
		t.Fatalf("exit %d, output %q, errors %q", exit, &stdout, &stderr)
	}
	f, err := pe.Open(driver)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := f.OptionalHeader.(*pe.OptionalHeader64).Subsystem
	if got != pe.IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER {
		t.Errorf("subsystem %d", got)
	}
	if sbat, err := f.Section(".sbat").Data(); err != nil || !bytes.Contains(sbat,
		[]byte("\ntamaccid,1,tamaccid,tamaccid,1.2.3,tamaccid\n")) {
		t.Errorf("SBAT is %q, %v", sbat, err)
	}
	if exit := run([]string{"-sizes", driver}, &stdout, &stderr); exit != 0 ||
		!strings.Contains(stdout.String(), "\n.text ") {
		t.Errorf("exit %d, output %q, errors %q", exit, &stdout, &stderr)
	}
}

func TestMistakesAreReported(t *testing.T) {
	dir := t.TempDir()
	text, out := filepath.Join(dir, "text"), filepath.Join(dir, "out.efi")
	if err := os.WriteFile(text, []byte("neither ELF nor PE"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		exit int
		want string
	}{
		{"no file", nil, exitUsage, "usage:"},
		{"no output file", []string{text}, exitUsage, "usage:"},
		{"unknown subsystem", []string{"-subsystem", "runtime", text, out}, exitUsage, "usage:"},
		{"unknown flag", []string{"-frob"}, exitUsage, "usage:"},
		{"nothing to measure", []string{"-sizes"}, exitUsage, "usage:"},
		{"input that does not exist", []string{filepath.Join(dir, "none"), out}, exitFailed,
			"none"},
		{"input that is not ELF", []string{text, out}, exitFailed, text + ": ELF:"},
		{"version that SBAT cannot hold", []string{"-version", "1,2", text, out}, exitFailed,
			"SBAT"},
		{"image that is not PE", []string{"-sizes", text}, exitFailed, text},
	} {
		t.Run(row.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if exit := run(row.args, &stdout, &stderr); exit != row.exit ||
				!strings.Contains(stderr.String(), row.want) {
				t.Errorf("exit %d, errors %q, want exit %d and %q", exit, &stderr, row.exit,
					row.want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("an image was written")
			}
		})
	}
}
