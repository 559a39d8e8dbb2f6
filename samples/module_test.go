//go:build !tamago

package samples

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModuleOutsideTheTree runs the module of the top README, with the go.mod and the main.go that
// are printed there, and compares its output with the printed one. The module is in a folder beside
// this one, as the README assumes. Nothing is downloaded.
func TestModuleOutsideTheTree(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	module := filepath.Join(parent, "hello")
	if err := os.Mkdir(module, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tree, filepath.Join(parent, "tamaccid")); err != nil {
		t.Fatal(err)
	}
	for name, fence := range map[string]string{"go.mod": "```go.mod\n", "main.go": "```go\n"} {
		text, err := between(string(readme), fence, "```\n")
		if err != nil {
			t.Fatalf("%s in the README: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	output, err := between(string(readme), "    $ go run .\n", "\n\n")
	if err != nil {
		t.Fatalf("the output in the README: %v", err)
	}

	run := exec.Command("go", "run", ".")
	run.Dir = module
	run.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local")
	var complaints strings.Builder
	run.Stderr = &complaints
	got, err := run.Output()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, &complaints)
	}
	if want := strings.ReplaceAll(output, "    ", "") + "\n"; string(got) != want {
		t.Errorf("printed %q, the README has %q", got, want)
	}
}

// between returns the text between a mark that occurs once and the next end after it.
func between(text, mark, end string) (string, error) {
	if strings.Count(text, mark) != 1 {
		return "", errors.New("not exactly one " + mark)
	}
	_, after, _ := strings.Cut(text, mark)
	part, _, found := strings.Cut(after, end)
	if !found {
		return "", errors.New("no end")
	}
	return part, nil
}
