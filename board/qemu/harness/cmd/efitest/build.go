//go:build linux && !tamago

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tamaccid/uefi/image"
)

// board is the package with which a program runs on UEFI firmware. The overlay adds a file to the
// package's tests that imports it.
const board = "tamaccid/board/uefi"

// added is that file. It also makes the garbage collector run ten times as often as usual, which
// tests the runtime's memory.
const added = `package %s_test

import (
	"runtime/debug"

	_ %q
)

func init() { debug.SetGCPercent(10) }
`

// boardFile is the added file's name, which no package uses.
const boardFile = "zz_board_test.go"

// testPackage is a package with tests that build for firmware.
type testPackage struct {
	path, dir, name string
}

// program is the package's name as a file: ccid-atr for tamaccid/ccid/atr.
func (p testPackage) program() string {
	_, inside, found := strings.Cut(p.path, "/")
	if !found {
		inside = p.path
	}
	return strings.ReplaceAll(inside, "/", "-")
}

// overlay is the file format of "go build -overlay".
type overlay struct {
	Replace map[string]string
}

// builder makes test images.
type builder struct {
	base    overlay
	folder  string // ELF files and what the overlay adds
	volume  string // images
	overlay string // the extended overlay's file
}

func newBuilder(overlayFile, out string) (*builder, error) {
	out, err := filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	b := &builder{folder: out, volume: filepath.Join(out, "images"),
		overlay: filepath.Join(out, "overlay.json")}
	if err := os.RemoveAll(b.volume); err != nil { // images of packages that are gone
		return nil, err
	}
	if err := os.MkdirAll(b.volume, 0o755); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(overlayFile)
	if err != nil {
		return nil, fmt.Errorf("%w (go run ./baremetal/overlay makes it)", err)
	}
	if err := json.Unmarshal(text, &b.base); err != nil {
		return nil, fmt.Errorf("%s: %w", overlayFile, err)
	}
	return b, nil
}

// flags are the go command's flags for board uefi.
var flags = []string{"-tags", "tamago,uefi"}

// command is the go command with firmware's environment.
func command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "go", args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	return c
}

// list finds the packages that have tests for firmware.
func (b *builder) list(ctx context.Context, patterns []string) ([]testPackage, error) {
	if err := b.writeOverlay(nil); err != nil {
		return nil, err
	}
	const format = `{{if or .TestGoFiles .XTestGoFiles}}` +
		`{{.ImportPath}}{{"\t"}}{{.Dir}}{{"\t"}}{{.Name}}{{end}}`
	args := append([]string{"list", "-overlay", b.overlay, "-f", format}, flags...)
	c := command(ctx, append(args, patterns...)...)
	c.Stderr = os.Stderr
	text, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return parseList(string(text))
}

func parseList(text string) ([]testPackage, error) {
	var packages []testPackage
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) == 1 && fields[0] == "" {
			continue
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("go list: unexpected line %q", line)
		}
		packages = append(packages, testPackage{fields[0], fields[1], fields[2]})
	}
	return packages, nil
}

// writeOverlay writes the overlay with the board added to the packages' tests.
func (b *builder) writeOverlay(packages []testPackage) error {
	all := overlay{Replace: make(map[string]string)}
	for name, with := range b.base.Replace {
		all.Replace[name] = with
	}
	for _, p := range packages {
		file := filepath.Join(b.folder, p.program()+"_board.go.txt")
		if err := os.WriteFile(file, fmt.Appendf(nil, added, p.name, board), 0o644); err != nil {
			return err
		}
		all.Replace[filepath.Join(p.dir, boardFile)] = file
	}
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(b.overlay, text, 0o644)
}

// build makes an image of a package's tests. The overlay must have been written for the package.
func (b *builder) build(ctx context.Context, p testPackage) error {
	elf := filepath.Join(b.folder, p.program()+".elf")
	args := append([]string{"test", "-c", "-vet=off", "-overlay", b.overlay, "-buildmode=pie",
		"-trimpath",
		"-ldflags=-s -w", "-o", elf}, flags...)
	c := command(ctx, append(args, p.path)...)
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	return b.convert(elf, filepath.Join(b.volume, p.program()+".efi"))
}

func (b *builder) convert(elf, efi string) error {
	program, err := os.ReadFile(elf)
	if err != nil {
		return err
	}
	out, err := image.Convert(program, image.Options{
		Subsystem: image.Application,
		SBAT: image.SBAT{Component: "tamaccid", Generation: 1, Vendor: "tamaccid",
			Package: "tamaccid", Version: "test",
			URL: "tamaccid"},
	})
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(efi, out, 0o644), os.Remove(elf))
}

// indent prints a program's output, indented.
func indent(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprint(w, "    ", line)
	}
}
