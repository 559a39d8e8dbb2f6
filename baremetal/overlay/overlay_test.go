//go:build !tamago

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a small Go tree with the files that the patches name, cut down to the text that the
// patches replace.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(root, "src", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range allPatches() {
		var b strings.Builder
		for _, s := range p.subs {
			b.WriteString(strings.Repeat(s.old+"\n", s.n))
		}
		put(p.file, b.String())
	}
	for _, f := range allRemoved() {
		put(f, "")
	}
	return root
}

func edit(t *testing.T, root, file string, change func(string) string) {
	t.Helper()
	name := filepath.Join(root, "src", file)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(change(string(b))), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheInstalledGoReleaseIsSupported(t *testing.T) {
	goroot, release, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	if err := Generate(goroot, release, t.TempDir()); err != nil {
		t.Fatal(err)
	}
}

func TestEveryReplacementExistsAndIsPatched(t *testing.T) {
	root, out := tree(t), t.TempDir()
	if err := Generate(root, "go1.test", out); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "overlay.json"))
	if err != nil {
		t.Fatal(err)
	}
	var o struct{ Replace map[string]string }
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	for _, p := range allPatches() {
		text, err := os.ReadFile(o.Replace[filepath.Join(root, "src", p.file)])
		if err != nil {
			t.Fatalf("%s: %v", p.file, err)
		}
		for _, s := range p.subs {
			if !strings.Contains(string(text), s.new) {
				t.Errorf("%s: %q is missing", p.file, s.new)
			}
		}
	}
	for _, f := range allRemoved() {
		if to, ok := o.Replace[filepath.Join(root, "src", f)]; !ok || to != "" {
			t.Errorf("%s is not removed", f)
		}
	}
	added := []string{"runtime/bare.go", "runtime/goos/goos.go", "os/signal/bare.go",
		"time/zoneinfo_bare.go", "internal/godebug/godebug_bare.go"}
	for _, a := range architectures {
		added = append(added, "runtime/bare_"+a.name+".go", "runtime/bare_"+a.name+".s")
	}
	for _, f := range added {
		if o.Replace[filepath.Join(root, "src", f)] == "" {
			t.Errorf("%s is not added", f)
		}
	}
}

func TestAnUnknownGoReleaseIsRefusedByName(t *testing.T) {
	cases := []struct {
		name, file string
		change     func(string) string
		want       string
	}{
		{"an anchor has gone", "runtime/malloc.go",
			func(s string) string { return strings.ReplaceAll(s, "heapAddrBits", "addrBits") },
			"runtime/malloc.go"},
		{"there is one system call more", "runtime/sys_linux_amd64.s",
			func(s string) string { return s + "\tSYSCALL\n" }, "expected 40"},
		{"a patched file has no system call any more", "syscall/asm_linux_amd64.s",
			func(s string) string { return "" }, "syscall/asm_linux_amd64.s"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := tree(t)
			edit(t, root, c.file, c.change)
			err := Generate(root, "go1.99", t.TempDir())
			if err == nil || !strings.Contains(err.Error(), "go1.99") ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that names go1.99 and %s", err, c.want)
			}
		})
	}
	t.Run("a system call in a file that no patch names", func(t *testing.T) {
		root := tree(t)
		name := filepath.Join(root, "src", "runtime", "new_linux_amd64.s")
		if err := os.WriteFile(name, []byte("\tSYSCALL\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		err := Generate(root, "go1.99", t.TempDir())
		if err == nil || !strings.Contains(err.Error(), "new_linux_amd64.s") {
			t.Errorf("error %v, want one that names the file", err)
		}
	})
	t.Run("a file to remove does not exist", func(t *testing.T) {
		root := tree(t)
		if err := os.Remove(filepath.Join(root, "src", allRemoved()[0])); err != nil {
			t.Fatal(err)
		}
		if err := Generate(root, "go1.99", t.TempDir()); err == nil {
			t.Error("no error")
		}
	})
}

// One overlay serves all architectures: a patch for one of them must not change another.
func TestPatchesOfAnArchitectureAreInItsOwnFiles(t *testing.T) {
	suffixed := func(file, arch string) bool {
		base := strings.TrimSuffix(file, filepath.Ext(file))
		return strings.HasSuffix(base, "_"+arch)
	}
	for _, a := range architectures {
		for _, p := range a.patches {
			if !suffixed(p.file, a.name) {
				t.Errorf("%s is patched for %s alone", p.file, a.name)
			}
		}
		for _, f := range a.removed {
			if !suffixed(f, a.name) {
				t.Errorf("%s is removed for %s alone", f, a.name)
			}
		}
		for _, p := range commonPatches {
			if suffixed(p.file, a.name) {
				t.Errorf("%s of %s is among the common patches", p.file, a.name)
			}
		}
	}
}
