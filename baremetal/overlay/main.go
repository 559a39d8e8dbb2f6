//go:build !tamago

// Command overlay prepares the installed Go source for machines without an operating system: it
// writes an overlay.json for "go build -overlay".
//
//	go run ./baremetal/overlay -o DIR
//	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -overlay DIR/overlay.json \
//	    -tags tamago,uefi -buildmode=pie ...
//
// The Go tree itself stays as it is. Substitutions are checked: a Go release whose source does not
// hold exactly what is to be replaced is refused, and the error names the release.
//
// Files of our own, which the overlay adds, are in _src: parts of package runtime, which put a
// dispatcher in the place of the Linux kernel, and package runtime/goos, which is TamaGo's contract
// between a runtime and its board.
//
// One overlay serves all architectures. What belongs to one of them is in files that the go command
// selects by GOARCH, and in its row of the table architectures:
//
//	common.go          patches of files that all architectures share
//	amd64.go           the row for amd64: patches of its assembly files
//	_src/runtime       bare.go, bare_mem.go and bare_signal.go are common; names that end in _amd64
//	                   hold the entry, the registers, the traps and the system call numbers
package main

import (
	"embed"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

//go:embed _src
var sources embed.FS

func main() {
	out := flag.String("o", "build/overlay",
		"`folder` for overlay.json and the files that it names")
	flag.Parse()
	goroot, release, err := installed()
	if err == nil {
		err = Generate(goroot, release, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "overlay:", err)
		os.Exit(1)
	}
}

// installed returns the source tree and the release of the go command.
func installed() (goroot, release string, err error) {
	b, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return "", "", fmt.Errorf("go env: %w", err)
	}
	goroot, release, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
	return goroot, release, nil
}

// Generate writes the overlay for the Go tree at goroot into folder out.
func Generate(goroot, release, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	g := generator{src: filepath.Join(goroot, "src"), out: out, replace: map[string]string{}}
	if err := g.patchAll(); err != nil {
		return fmt.Errorf("%s: %w: unsupported Go release", release, err)
	}
	if err := g.addAll(); err != nil {
		return err
	}
	// go.mod makes the folder a module of its own: its files are not packages of this module.
	if err := writeIfChanged(filepath.Join(out, "go.mod"), []byte("module overlay\n")); err != nil {
		return err
	}
	j, err := json.MarshalIndent(map[string]any{"Replace": g.replace}, "", "\t")
	if err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(out, "overlay.json"), append(j, '\n'))
}

// A generator collects the overlay of one Go tree.
type generator struct {
	src, out string
	replace  map[string]string // file of the tree -> file that replaces it, "" removes it
}

// put writes the replacement for a file, which is named relative to src.
func (g *generator) put(file string, content []byte) error {
	o := filepath.Join(g.out, strings.ReplaceAll(file, "/", "_"))
	g.replace[filepath.Join(g.src, file)] = o
	return writeIfChanged(o, content)
}

// patchAll patches and removes files of the Go tree.
func (g *generator) patchAll() error {
	for _, a := range architectures {
		if err := a.checkTraps(g.src); err != nil {
			return err
		}
	}
	for _, p := range allPatches() {
		b, err := os.ReadFile(filepath.Join(g.src, p.file))
		if err != nil {
			return err
		}
		s, err := p.apply(string(b))
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		if err := g.put(p.file, []byte(s)); err != nil {
			return err
		}
	}
	for _, f := range allRemoved() {
		if _, err := os.Stat(filepath.Join(g.src, f)); err != nil {
			return err
		}
		g.replace[filepath.Join(g.src, f)] = ""
	}
	return nil
}

// added maps folders of _src to packages of the Go tree.
var added = map[string]string{
	"runtime": "runtime",
	"goos":    "runtime/goos",
	"signal":  "os/signal",
	"time":    "time",
	"godebug": "internal/godebug",
}

// addAll adds the files of _src.
func (g *generator) addAll() error {
	for dir, pkg := range added {
		names, err := fs.ReadDir(sources, path.Join("_src", dir))
		if err != nil {
			return err
		}
		for _, n := range names {
			b, err := sources.ReadFile(path.Join("_src", dir, n.Name()))
			if err != nil {
				return err
			}
			if err := g.put(path.Join(pkg, n.Name()), b); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeIfChanged leaves a file alone that has the content already, so that its time stays and
// nothing is built again because of it.
func writeIfChanged(name string, b []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(b) {
		return nil
	}
	return os.WriteFile(name, b, 0o644)
}
