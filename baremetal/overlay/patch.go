//go:build !tamago

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A patch replaces text in one file of the Go tree.
type patch struct {
	file string
	subs []sub
}

// A sub replaces every occurrence of old, of which there must be exactly n.
type sub struct {
	old, new string
	n        int
}

func (p patch) apply(s string) (string, error) {
	for _, u := range p.subs {
		if n := strings.Count(s, u.old); n != u.n {
			return "", fmt.Errorf("%q found %d times, expected %d", u.old, n, u.n)
		}
		s = strings.ReplaceAll(s, u.old, u.new)
	}
	return s, nil
}

// An architecture is what the overlay patches for one GOARCH alone. Its files in _src/runtime have
// names that end in _GOARCH.
type architecture struct {
	name string // GOARCH
	// trap is the instruction that enters the Linux kernel, as it is written in the Go tree.
	trap    string
	patches []patch
	removed []string
}

// architectures is the table of what the overlay supports.
var architectures = []architecture{amd64}

// allPatches are the patches of all architectures and the common ones.
func allPatches() []patch {
	all := slices.Clone(commonPatches)
	for _, a := range architectures {
		all = append(all, a.patches...)
	}
	return all
}

// allRemoved are the files that all architectures remove, and the common ones.
func allRemoved() []string {
	all := slices.Clone(commonRemoved)
	for _, a := range architectures {
		all = append(all, a.removed...)
	}
	return all
}

// checkTraps searches for a way into the kernel that no patch replaces: a trap in an assembly file
// for linux and this architecture.
func (a architecture) checkTraps(src string) error {
	return filepath.WalkDir(src, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(src, name)
		rel = filepath.ToSlash(rel)
		if d.IsDir() && (rel == "cmd" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		patched := slices.ContainsFunc(a.patches, func(p patch) bool { return p.file == rel })
		if d.IsDir() || patched || !strings.HasSuffix(rel, "_linux_"+a.name+".s") {
			return nil
		}
		b, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(b), a.trap) {
			err = fmt.Errorf("%s: unknown %s", rel, strings.TrimSpace(a.trap))
		}
		return err
	})
}
