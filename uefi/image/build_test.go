//go:build !tamago

package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// goBuild links testdata/hello for x86-64 and returns the ELF file.
func goBuild(t testing.TB, flags ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "hello")
	args := append([]string{"build", "-trimpath", "-o", out}, flags...)
	cmd := exec.Command("go", append(args, "./testdata/hello")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pie is a position-independent program as the product builds it.
func pie(t testing.TB) []byte { return goBuild(t, "-buildmode=pie", "-ldflags=-s -w") }

func mustConvert(t testing.TB, program []byte) []byte {
	t.Helper()
	b, err := Convert(program, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
