//go:build !tamago

// Command overlay prepares the installed Go source for a machine without an
// operating system: it writes an overlay.json for "go build -overlay".
//
//	go run ./baremetal/overlay -o DIR
//	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -overlay DIR/overlay.json -tags tamago,uefi -buildmode=pie ...
//
// The Go tree itself is not touched. Substitutions are checked: a Go release
// whose source does not hold exactly what is to be replaced is refused by name.
// What is added lies in _src: files of package runtime, which put a dispatcher
// where the Linux kernel was, and package runtime/goos, which is TamaGo's
// contract between a runtime and its board.
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
	out := flag.String("o", "build/overlay", "`folder` that receives overlay.json and the files it names")
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

// installed asks the go command for its source and its release.
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
	src := filepath.Join(goroot, "src")
	if err := complete(src, release); err != nil {
		return err
	}
	replace := map[string]string{}
	put := func(file string, content []byte) error {
		o := filepath.Join(out, strings.ReplaceAll(file, "/", "_"))
		replace[filepath.Join(src, file)] = o
		return writeIfChanged(o, content)
	}
	for _, p := range patches {
		b, err := os.ReadFile(filepath.Join(src, p.file))
		if err != nil {
			return fmt.Errorf("%s: %w: unsupported Go release", release, err)
		}
		s, err := p.apply(string(b))
		if err != nil {
			return fmt.Errorf("%s: %s: %w: unsupported Go release", release, p.file, err)
		}
		if err := put(p.file, []byte(s)); err != nil {
			return err
		}
	}
	for _, f := range removed {
		if _, err := os.Stat(filepath.Join(src, f)); err != nil {
			return fmt.Errorf("%s: %w: unsupported Go release", release, err)
		}
		replace[filepath.Join(src, f)] = ""
	}
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
			if err := put(path.Join(pkg, n.Name()), b); err != nil {
				return err
			}
		}
	}
	// A module of its own: the files are no packages of the one around it.
	if err := writeIfChanged(filepath.Join(out, "go.mod"), []byte("module overlay\n")); err != nil {
		return err
	}
	j, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(out, "overlay.json"), append(j, '\n'))
}

// writeIfChanged keeps the time of a file that is as it should be, so that
// nothing is built again because of it.
func writeIfChanged(name string, b []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(b) {
		return nil
	}
	return os.WriteFile(name, b, 0o644)
}
